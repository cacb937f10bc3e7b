#include "engine/prepare.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <random>
#include <utility>

#include "media/load.h"
#include "text/trim.h"

namespace godwit::engine {
namespace {

using Boundary = text::PromptPiece::Boundary;
using text::ContentPart;
using text::EncodedPrompt;

constexpr int64_t kShortText = 64;  // messages that end nearer to each other share one
// The reference answers about a single pixel; there is nothing to see in one, and what sends it
// (a beacon, an unfinished download, an upload that failed) is better told so.
constexpr media::PictureLimits kSeen{.min_pixels = 2};

// Of a file as what it is looked at: a GIF may be a picture or a clip.
media::ContentHash hash_of(const text::MediaBytes& media, ContentPart::Kind kind) {
  cache::Hash128 hash = media.bytes ? cache::hash_bytes(*media.bytes) : cache::Hash128{};
  for (const auto& frame : media.frames) {
    const cache::Hash128 parts[] = {hash, cache::hash_bytes(*frame)};
    hash = cache::hash_bytes(parts, sizeof parts);
  }
  if (kind == ContentPart::Kind::kVideo) {
    const struct {
      cache::Hash128 bytes;
      double rate;
    } clip{hash, media.frames_per_second};
    hash = cache::hash_bytes(&clip, sizeof clip);
  }
  return {hash.low, hash.high};
}

// In the words by which agents know that they must make their history shorter.
tl::unexpected<Error> too_long(int64_t tokens, const PrepareContext& context) {
  return bad_input(
      "prompt is too long: {} tokens > {} maximum; the maximum context length is {} tokens (the "
      "model's own is {})",
      tokens, context.context, context.context, context.config.text.max_context);
}

Result<PreparedMedia> prepare_media(const PrepareContext& context, const ContentPart& part) {
  const text::MediaBytes& source = *part.media;
  const auto key = hash_of(source, part.kind);
  PreparedMedia prepared;
  prepared.facts = context.vision.facts(key);
  const auto known_rows = [&] {
    return context.vision.rows(prepared.facts->content, prepared.facts->values(context.config));
  };
  if (prepared.facts) prepared.rows = known_rows();
  const bool is_known = prepared.rows || (prepared.facts && context.only_ids);
  if (!is_known) {
    const media::MediaFile file{source.name, source.bytes, source.frames, source.frames_per_second,
                                source.frame_names};
    const model::VisionConfig& v = *context.config.vision;
    const media::PatchGeometry geometry{v.patch_size, v.temporal_patch_size, v.merge_size};
    auto patched = part.kind == ContentPart::Kind::kImage
                       ? media::patches_from_picture_file(file, context.conventions.picture_limits,
                                                          kSeen, geometry)
                       : media::patches_from_video_file(file, context.conventions.video_limits,
                                                        context.conventions.video_sampling,
                                                        {.cancelled = context.cancelled}, geometry);
    if (!patched) return tl::unexpected(patched.error());
    patched->resized = {};
    prepared.facts = std::make_shared<const MediaFacts>(
        MediaFacts{patched->content_hash, patched->grid, patched->slice_seconds});
    context.vision.keep_facts(key, *prepared.facts);
    prepared.rows = known_rows();  // the same pixels in another file
    if (!prepared.rows && !context.only_ids)
      prepared.patches = context.decoded.keep(std::move(*patched));
  }
  const media::Grid& grid = prepared.facts->grid;
  const int merge = context.config.vision->merge_size;
  prepared.rows_per_slice = int64_t{grid.h} * grid.w / merge / merge;
  return prepared;
}

Result<std::vector<PreparedMedia>> prepare_all_media(const PrepareContext& context,
                                                     const GenerationRequest& request) {
  std::vector<PreparedMedia> all;
  int64_t tokens = 0;
  for (const auto& message : request.messages) {
    for (const ContentPart& part : message.content) {
      if (part.kind != ContentPart::Kind::kImage && part.kind != ContentPart::Kind::kVideo)
        continue;
      if (!part.media)
        return bad_input("media {}: expected a picture or clip, found no bytes", all.size() + 1);
      if (!context.has_vision) {
        return bad_input("{}: expected a model that sees, found one without a vision tower",
                         part.media->name);
      }
      if (context.cancelled && *context.cancelled) return failed("the request was cancelled");
      TRY(PreparedMedia prepared, prepare_media(context, part));
      // Before the next one is decoded: each may take hundreds of megabytes.
      tokens += prepared.facts->grid.t * prepared.rows_per_slice;
      if (tokens > context.context && !context.only_ids) return too_long(tokens, context);
      all.push_back(std::move(prepared));
    }
  }
  return all;
}

// Keys of ids, with those of pads from the content that stands there.
std::vector<cache::Key> make_keys(std::span<const int32_t> ids,
                                  const std::vector<PreparedMedia>& media) {
  std::vector<cache::Key> keys(ids.size());
  std::transform(ids.begin(), ids.end(), keys.begin(), cache::token_key);
  for (const PreparedMedia& item : media) {
    const media::ContentHash& content = item.facts->content;
    int64_t row = 0;
    for (int64_t first : item.slices) {
      for (int64_t i = 0; i < item.rows_per_slice; ++i)
        keys[first + i] = cache::media_key(content.low ^ (content.high * 31), row++);
    }
  }
  return keys;
}

bool ends_message(Boundary boundary) {
  return boundary == Boundary::kSystem || boundary == Boundary::kMessage ||
         boundary == Boundary::kGeneration;
}

// Puts `tokens` in the place of ids [begin, end) and moves what lies behind. (Assistant turns hold
// no media.)
void replace_tokens(EncodedPrompt& prompt, std::vector<PreparedMedia>& media, size_t begin,
                    size_t end, const std::vector<int32_t>& tokens) {
  prompt.ids.erase(prompt.ids.begin() + begin, prompt.ids.begin() + end);
  prompt.ids.insert(prompt.ids.begin() + begin, tokens.begin(), tokens.end());
  const auto move = [&](auto& position) {
    if (static_cast<size_t>(position) >= end) position += tokens.size() - (end - begin);
  };
  for (auto& mark : prompt.marks) move(mark.token);
  for (auto& item : media) {
    for (auto& first : item.slices) move(first);
  }
}

using Differences = std::map<int, std::string>;  // by message

// Assistant turns that were generated here and say the same get the tokens that were generated,
// unless the official history is wanted. Returns what else the client or the template has changed.
Differences restore_turns(const PrepareContext& context, const GenerationRequest& request,
                          EncodedPrompt& prompt, std::vector<PreparedMedia>& media) {
  Differences differences;
  for (size_t m = 0; m < prompt.marks.size(); ++m) {
    const auto& mark = prompt.marks[m];
    if (!ends_message(mark.boundary) || mark.message_index < 0 ||
        mark.message_index >= static_cast<int>(request.messages.size())) {
      continue;
    }
    const text::ChatMessage& message = request.messages[mark.message_index];
    if (message.role != "assistant") continue;
    size_t begin = 0;
    for (size_t before = m; before-- > 0;) {
      if (!ends_message(prompt.marks[before].boundary)) continue;
      begin = prompt.marks[before].token;
      break;
    }
    const auto keys = make_keys(prompt.ids, media);
    const cache::Hash128 before = hash_keys(std::span(keys).first(begin));
    if (!context.official_history) {
      if (const auto tokens = context.turns.find(before, message, context.tokenizer)) {
        replace_tokens(prompt, media, begin, mark.token, *tokens);
        continue;
      }
    }
    const auto difference = context.turns.difference(before, message);
    if (difference)
      differences[mark.message_index] =
          difference->empty() ? "written anew by the template" : *difference;
  }
  return differences;
}

void add_stops(const EncodedPrompt& prompt, int64_t grain, Prepared& prepared) {
  const auto n = static_cast<int64_t>(prepared.ids.size());
  std::vector<int64_t>& stops = prepared.stops;
  int64_t message_end = 0;
  for (const auto& mark : prompt.marks) {
    const auto token = static_cast<int64_t>(mark.token);
    if (mark.boundary == Boundary::kNone || token <= 0 || token >= n) continue;
    if (mark.boundary != Boundary::kMessage) {
      prepared.lasting.push_back(token);
    } else if (token - message_end < kShortText) {
      continue;
    } else {
      message_end = token;
    }
    stops.push_back(token);
  }
  std::sort(stops.begin(), stops.end());
  stops.erase(std::unique(stops.begin(), stops.end()), stops.end());
  // In long runs between them, at multiples of the scheduler's grain.
  const int64_t step = std::max(grain, kLongText / grain * grain);
  std::vector<int64_t> more;
  int64_t last = 0;
  for (size_t i = 0; i <= stops.size(); ++i) {
    const int64_t end = i < stops.size() ? stops[i] : n;
    for (int64_t at = last + step; at < end; at += step) more.push_back(at);
    last = end;
  }
  stops.insert(stops.end(), more.begin(), more.end());
  std::sort(stops.begin(), stops.end());
}

// Messages in order, for telling where reuse ended.
void add_sections(const EncodedPrompt& prompt, const GenerationRequest& request,
                  const Differences& differences, Prepared& prepared) {
  int64_t begin = 0;
  for (const auto& mark : prompt.marks) {
    if (!ends_message(mark.boundary)) continue;
    std::string name = "the system block";
    if (mark.message_index >= 0 && mark.message_index < static_cast<int>(request.messages.size())) {
      name = fmt::format("message {} ({})", mark.message_index + 1,
                         request.messages[mark.message_index].role);
      if (const auto found = differences.find(mark.message_index); found != differences.end())
        name += ": " + found->second + ",";
    }
    prepared.sections.emplace_back(begin, std::move(name));
    begin = static_cast<int64_t>(mark.token);
  }
  if (begin < static_cast<int64_t>(prepared.ids.size()))
    prepared.sections.emplace_back(begin, "the generation prompt");
}

Status prepare_conversation(const PrepareContext& context, const GenerationRequest& request,
                            Prepared& prepared) {
  TRY(const text::RenderedPrompt rendered,
      text::render_tolerant(context.conventions.chat_template.version, request.messages,
                            request.tools, template_options(request)));
  prepared.answer.starts_in_thinking = rendered.starts_in_thinking;
  TRY(prepared.media, prepare_all_media(context, request));
  std::vector<text::MediaLayout> layouts;
  for (const PreparedMedia& item : prepared.media)
    layouts.push_back({item.rows_per_slice, item.facts->slice_seconds});
  TRY(EncodedPrompt encoded, text::encode_prompt(rendered, context.tokenizer, layouts));
  if (!request.answer_prefix.empty()) {
    if (rendered.starts_in_thinking)
      return bad_input("an answer that has begun cannot go on with thinking: turn thinking off");
    // The space before the next word belongs to that word's token.
    prepared.answer.prefix = text::trim_end(request.answer_prefix);
    context.tokenizer.encode(prepared.answer.prefix, text::SpecialTokens::kPlain, encoded.ids);
  }

  std::vector<PreparedMedia> in_order;
  for (const auto& span : encoded.media) {
    if (span.media_index < 0 || span.media_index >= static_cast<int>(prepared.media.size()))
      continue;
    PreparedMedia item = prepared.media[span.media_index];
    item.slices.assign(span.slices.begin(), span.slices.end());
    in_order.push_back(std::move(item));
  }
  prepared.media = std::move(in_order);
  const Differences differences = restore_turns(context, request, encoded, prepared.media);
  for (const auto& mark : encoded.marks) {
    if (mark.boundary == Boundary::kGeneration)
      prepared.answer_begin = static_cast<int64_t>(mark.token);
  }
  prepared.ids = std::move(encoded.ids);
  add_stops(encoded, context.grain, prepared);
  add_sections(encoded, request, differences, prepared);
  return {};
}

Status check_ids(const std::vector<int32_t>& ids, int64_t vocabulary) {
  for (int32_t id : ids) {
    if (id < 0 || id >= vocabulary)
      return bad_input("prompt: expected token ids below {}, found {}", vocabulary, id);
  }
  return {};
}

// Every token of every answer is compared with each of them.
Status check_stops(const std::vector<std::string>& stops) {
  constexpr size_t kMost = 64, kMostBytes = 16384;
  size_t bytes = 0;
  for (const std::string& stop : stops) bytes += stop.size();
  if (stops.size() > kMost || bytes > kMostBytes)
    return bad_input("stop: expected at most {} strings of {} bytes in all, found {} of {}", kMost,
                     kMostBytes, stops.size(), bytes);
  return {};
}

uint64_t draw_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32 | device()) >> 11;  // 53 bits: exact in any JSON reader
}

}  // namespace

text::TemplateOptions template_options(const GenerationRequest& request) {
  text::TemplateOptions options = request.template_options;
  if (request.thinking != Thinking::kAuto) {
    options.kwargs.set("enable_thinking",
                       checkpoint::Json::boolean(request.thinking == Thinking::kOn));
  }
  return options;
}

Result<Prepared> prepare(const PrepareContext& context, const GenerationRequest& request) {
  const auto begin = std::chrono::steady_clock::now();
  const int64_t vocabulary = context.config.text.vocab_size;
  TRY_STATUS(check_stops(request.stop));
  Prepared prepared;
  prepared.answer = {.parse = request.parse_output,
                     .tools = request.tools,
                     .stop = request.stop,
                     .thinking_budget = request.thinking_budget,
                     .max_tool_calls = request.max_tool_calls};
  TRY(prepared.sampling,
      resolve_sampling(request.sampling, context.conventions.sampling, vocabulary));
  if (!request.sampling.seed) prepared.sampling.seed = draw_seed();
  if (request.thinking_budget && *request.thinking_budget < 0) {
    return bad_input("thinking budget: expected 0 or more, found {}", *request.thinking_budget);
  }
  if (request.logprobs > 256)
    return bad_input("logprobs: expected at most 256, found {}", request.logprobs);

  if (request.raw_ids) {
    prepared.ids = *request.raw_ids;
  } else if (request.raw_text) {
    context.tokenizer.encode(*request.raw_text, text::SpecialTokens::kRecognise, prepared.ids);
  } else {
    TRY_STATUS(prepare_conversation(context, request, prepared));
  }
  TRY_STATUS(check_ids(prepared.ids, vocabulary));
  const auto n = static_cast<int64_t>(prepared.ids.size());
  if (request.raw_ids || request.raw_text) {
    add_stops({}, context.grain, prepared);
    // Text is often continued again, or with more after it.
    std::vector<int64_t>& stops = prepared.stops;
    const bool is_new = stops.empty() || stops.back() < n - 1;
    if (request.task == Task::kGenerate && n > kShortText && is_new) stops.push_back(n - 1);
  }
  if (n == 0) return bad_input("prompt: expected at least one token, found none");
  const bool generates = request.task == Task::kGenerate;  // then one more must fit
  if (n + generates > context.context && !context.only_ids) return too_long(n, context);
  if (request.task == Task::kScore) {
    if (request.score_from < 1 || request.score_from >= n) {
      return bad_input("score: expected a first token of 1 to {}, found {}", n - 1,
                       request.score_from);
    }
    // Logits of few rows at a time: a vocabulary is wide.
    for (int64_t at = request.score_from - 1; at < n; at += kScoreRows) {
      if (at > 0) prepared.cuts.push_back(at);
    }
    std::vector<int64_t> stops;
    std::set_union(prepared.stops.begin(), prepared.stops.end(), prepared.cuts.begin(),
                   prepared.cuts.end(), std::back_inserter(stops));
    prepared.stops = std::move(stops);
  }
  prepared.task = request.task;
  prepared.pooling = request.pooling;
  prepared.score_from = request.score_from;

  prepared.keys = make_keys(prepared.ids, prepared.media);
  std::vector<model::VisionGrid> grids;
  for (const PreparedMedia& item : prepared.media) {
    const media::Grid& grid = item.facts->grid;
    for (size_t slice = 0; slice < item.slices.size(); ++slice)
      grids.push_back({1, grid.h, grid.w});
  }
  prepared.positions.resize(prepared.ids.size());
  prepared.next_position =
      model::assign_positions(prepared.ids, context.config, grids, prepared.positions);
  prepared.max_new_tokens = context.context - n;
  if (request.max_tokens >= 0)
    prepared.max_new_tokens = std::min<int64_t>(prepared.max_new_tokens, request.max_tokens);
  prepared.logprobs = request.logprobs;
  prepared.ignore_end = request.ignore_end;
  prepared.draft_tokens = request.draft_tokens;
  prepared.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return prepared;
}

}  // namespace godwit::engine
