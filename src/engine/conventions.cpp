// The files that may lie beside a checkpoint's weights, read leniently about what is absent and
// strictly about what is there: a value of another kind or beyond its range is an error, never a
// default.
#include "engine/conventions.h"

#include <cmath>
#include <functional>
#include <limits>
#include <set>
#include <tuple>

#include "base/mapped_file.h"

namespace godwit::engine {
namespace {

using checkpoint::Json;

// One such file's fields; the first fault is kept. A field that is absent or null leaves its
// target.
class Fields {
 public:
  Fields(const char* file, const std::optional<Json>& json)
      : Fields(file, json ? &*json : nullptr) {}
  Fields(std::string place, const Json* json) : place_(std::move(place)) {
    if (!json || json->is_null()) return;
    if (json->is_object())
      json_ = json;
    else
      fault("an object", *json);
  }

  const Json* find(const char* key) const {
    const Json* value = json_ ? json_->find(key) : nullptr;
    return value && !value->is_null() ? value : nullptr;
  }
  template <class T>
  void number(const char* key, double least, double most, T& target) {
    const Json* value = find(key);
    if (!value) return;
    const bool whole = !std::is_integral_v<T> || value->as_int64();
    const double number = value->is_number() && whole ? value->as_double() : NAN;
    if (number >= least && number <= most)
      target = static_cast<T>(number);
    else
      fault(key,
            fmt::format("{} of {} to {}", std::is_integral_v<T> ? "an integer" : "a number", least,
                        most),
            *value);
  }
  // The model was made for this value alone.
  void fixed(const char* key, int64_t expected) {
    const Json* value = find(key);
    if (value && value->as_int64() != expected) fault(key, fmt::format("{}", expected), *value);
  }
  // [0.5, 0.5, 0.5], the only one that is known.
  void halves(const char* key) {
    const Json* value = find(key);
    if (!value) return;
    bool good = value->is_array();
    for (size_t i = 0; good && i < value->items().size(); ++i)
      good = value->items()[i].is_number() && value->items()[i].as_double() == 0.5;
    if (!good) fault(key, "0.5 three times", *value);
  }
  void object(const char* key, const std::function<void(Fields&)>& read) {
    Fields inner(fmt::format("{}: {}", place_, key), find(key));
    read(inner);
    if (status_ && !inner.status_) status_ = inner.status_;
  }
  const Status& status() const { return status_; }

 private:
  void fault(const std::string& expected, const Json& found) {
    if (status_) status_ = bad_input("{}: expected {}, found {}", place_, expected, found.dump());
  }
  void fault(const char* key, const std::string& expected, const Json& found) {
    if (status_)
      status_ = bad_input("{}: {}: expected {}, found {}", place_, key, expected, found.dump());
  }

  std::string place_;
  const Json* json_ = nullptr;
  Status status_;
};

constexpr const char* kGgufEnd = "tokenizer.ggml.eos_token_id";
constexpr double kMost = std::numeric_limits<int>::max();

// "do_sample": false is greedy; a file that says nothing about sampling leaves the defaults.
Status read_generation_config(const std::optional<Json>& file, SamplingRules& rules) {
  Fields fields("generation_config.json", file);
  fields.number("temperature", 0, kMost, rules.temperature);
  fields.number("top_k", 0, kMost, rules.top_k);
  fields.number("top_p", 0, 1, rules.top_p);
  fields.number("min_p", 0, 1, rules.min_p);
  fields.number("repetition_penalty", 0, kMost, rules.repetition_penalty);
  fields.number("presence_penalty", -kMost, kMost, rules.presence_penalty);
  const Json* do_sample = fields.find("do_sample");
  if (do_sample && do_sample->is_bool() && !do_sample->as_bool()) rules.temperature = 0;
  return fields.status();
}

void read_gguf_sampling(const checkpoint::GgufFile& file, SamplingRules& rules) {
  const auto set = [&](std::string_view key, auto& target) {
    target = static_cast<std::remove_reference_t<decltype(target)>>(
        file.real_or("general.sampling." + std::string(key), target).value_or(target));
  };
  set("temp", rules.temperature);
  set("top_k", rules.top_k);
  set("top_p", rules.top_p);
  set("min_p", rules.min_p);
  set("penalty_repeat", rules.repetition_penalty);
}

// eos_token_id: one id or a list of them.
Status add_ends(const std::optional<Json>& file, int32_t vocabulary, std::set<int32_t>& ends) {
  Fields fields("generation_config.json", file);
  const Json* value = fields.find("eos_token_id");
  if (!value) return {};
  const Json::Array one = {*value};
  for (const Json& item : value->is_array() ? value->items() : one) {
    const auto id = item.is_number() ? item.as_int64() : std::nullopt;
    if (!id || *id < 0 || *id >= vocabulary)
      return bad_input(
          "generation_config.json: eos_token_id: expected a token id below {} or a list of them, "
          "found {}",
          vocabulary, value->dump());
    ends.insert(static_cast<int32_t>(*id));
  }
  return {};
}

Result<MarkupIds> find_markup(const checkpoint::ModelFiles& files,
                              const text::Tokenizer& tokenizer) {
  for (const char* name : {"<|im_start|>", "<|im_end|>"}) {
    if (!tokenizer.id_of(name))
      return bad_input("tokenizer: expected the token {}, which turns are made of, found none",
                       name);
  }
  MarkupIds ids;
  ids.think = tokenizer.id_of("<think>").value_or(-1);
  ids.think_end = tokenizer.id_of("</think>").value_or(-1);
  ids.tool_call = tokenizer.id_of("<tool_call>").value_or(-1);
  ids.tool_call_end = tokenizer.id_of("</tool_call>").value_or(-1);
  std::set<int32_t> ends;
  for (const char* name : {"<|im_end|>", "<|endoftext|>"}) {
    if (const auto id = tokenizer.id_of(name)) ends.insert(*id);
  }
  const int32_t vocabulary = tokenizer.vocabulary_size();
  TRY_STATUS(add_ends(files.generation_config, vocabulary, ends));
  if (files.gguf && files.gguf->metadata().contains(kGgufEnd)) {
    TRY(const int64_t end, files.gguf->integer(kGgufEnd));
    if (end < 0 || end >= vocabulary)
      return bad_input("{}: expected a token id below {}, found {}", kGgufEnd, vocabulary, end);
    ends.insert(static_cast<int32_t>(end));
  }
  ids.ends.assign(ends.begin(), ends.end());
  if (ids.think_end >= 0) ids.close_think = tokenizer.encode("\n</think>\n\n");
  return ids;
}

// As `godwit quantize` writes them; other converters leave them out.
void read_gguf_limits(const checkpoint::GgufFile& file, const std::string& prefix,
                      media::PixelLimits& limits) {
  const auto set = [&](const char* key, int64_t& target) {
    target = file.integer_or(prefix + key, target).value_or(target);
  };
  set("min_pixels", limits.min_pixels);
  set("max_pixels", limits.max_pixels);
}

// preprocessor_config.json and video_preprocessor_config.json. Patches are cut by the tower's own
// sizes and are (x − 127.5) / 127.5.
Status read_preprocessor(Fields& fields, const model::VisionConfig& vision,
                         media::PixelLimits& limits) {
  fields.fixed("patch_size", vision.patch_size);
  fields.fixed("temporal_patch_size", vision.temporal_patch_size);
  fields.fixed("merge_size", vision.merge_size);
  fields.halves("image_mean");
  fields.halves("image_std");
  fields.object("size", [&](Fields& size) {
    constexpr double kPixels = 1e12;
    size.number("shortest_edge", 1, kPixels, limits.min_pixels);
    size.number("longest_edge", 1, kPixels, limits.max_pixels);
  });
  return fields.status();
}

Status read_preprocessors(const checkpoint::ModelFiles& files, const model::VisionConfig& vision,
                          Conventions& conventions) {
  Fields pictures("preprocessor_config.json", files.preprocessor_config);
  TRY_STATUS(read_preprocessor(pictures, vision, conventions.picture_limits));
  Fields videos("video_preprocessor_config.json", files.video_preprocessor_config);
  auto& sampling = conventions.video_sampling;
  videos.number("fps", 0.001, 1000, sampling.frames_per_second);
  videos.number("min_frames", 1, kMost, sampling.min_frames);
  videos.number("max_frames", 1, kMost, sampling.max_frames);
  return read_preprocessor(videos, vision, conventions.video_limits);
}

// Prompts are made with the tokenizer's pads, positions with the configuration's.
Status check_pads(const model::ModelConfig& config, const text::Tokenizer& tokenizer) {
  for (const auto& [key, name, id] :
       {std::tuple("image_token_id", "<|image_pad|>", config.image_token),
        std::tuple("video_token_id", "<|video_pad|>", config.video_token)}) {
    const auto known = tokenizer.id_of(name);
    if (known && *known != id)
      return bad_input("{}: expected {}, the tokenizer's {}, found {}", key, *known, name, id);
  }
  return {};
}

// chat_template_of() goes on without one of another type.
Status check_template(const checkpoint::GgufFile& file) {
  const auto text = file.text_or("tokenizer.chat_template", "");
  if (!text) return tl::unexpected<Error>(text.error());
  return {};
}

}  // namespace

text::TemplateChoice chat_template_of(const checkpoint::ModelFiles& files) {
  std::optional<std::string> text = files.chat_template;
  if (!text && files.gguf) {
    if (auto found = files.gguf->text("tokenizer.chat_template")) text = *found;
  }
  std::string version;
  if (files.gguf) version = files.gguf->text_or("godwit.chat_template_version", "").value_or("");
  if (files.tokenizer_config && files.tokenizer_config->is_object()) {
    const Json* named = files.tokenizer_config->find("chat_template_version");
    if (named && named->is_string()) version = named->as_string();
  }
  return text::choose_template(text, version);
}

Result<std::unique_ptr<text::Tokenizer>> open_tokenizer(const checkpoint::ModelFiles& files) {
  if (files.gguf) return text::Tokenizer::from_gguf(*files.gguf);
  if (files.tokenizer_json_path.empty())
    return bad_input("{}: expected a tokenizer.json, found none", files.path);
  TRY(const std::string json, read_file(files.tokenizer_json_path));
  auto tokenizer = text::Tokenizer::from_json(
      json, files.tokenizer_config ? files.tokenizer_config->dump() : std::string());
  if (!tokenizer) return in_context(files.path, std::move(tokenizer.error()));
  return tokenizer;
}

Result<Conventions> read_conventions(const checkpoint::ModelFiles& files,
                                     const model::ModelConfig& config,
                                     const text::Tokenizer& tokenizer) {
  if (tokenizer.vocabulary_size() > config.text.vocab_size)
    return bad_input("{}: expected a tokenizer of at most {} ids, found {}", files.path,
                     config.text.vocab_size, tokenizer.vocabulary_size());
  Conventions conventions;
  conventions.chat_template = chat_template_of(files);
  if (files.gguf) read_gguf_sampling(*files.gguf, conventions.sampling);
  Status read = read_generation_config(files.generation_config, conventions.sampling);
  if (auto markup = find_markup(files, tokenizer); markup)
    conventions.markup = std::move(*markup);
  else if (read)
    read = tl::unexpected<Error>(markup.error());
  if (read && config.vision) read = check_pads(config, tokenizer);
  if (read && config.vision) read = read_preprocessors(files, *config.vision, conventions);
  if (read && files.gguf) read = check_template(*files.gguf);
  if (!read) return in_context(files.path, read.error());
  const auto checked = resolve_sampling({}, conventions.sampling, tokenizer.vocabulary_size());
  if (!checked) return in_context(files.path + ": sampling defaults", checked.error());
  if (files.mmproj) {
    read_gguf_limits(*files.mmproj, "clip.vision.image_", conventions.picture_limits);
    read_gguf_limits(*files.mmproj, "godwit.video_", conventions.video_limits);
  }
  for (int32_t id = 0; id < tokenizer.vocabulary_size(); ++id) {
    if (tokenizer.token_bytes(id).empty()) conventions.undecodable.push_back(id);
  }
  return conventions;
}

}  // namespace godwit::engine
