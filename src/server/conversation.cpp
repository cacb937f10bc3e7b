#include "server/conversation.h"

#include <algorithm>
#include <charconv>
#include <mutex>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/visible.h"

namespace godwit::server {
namespace {

using text::ChatMessage;
using text::ContentPart;

// {"url": "…"} or the URL alone.
Result<std::string> url_of(Fields& fields, std::string_view key) {
  const Json* found = fields.find(key);
  if (found && found->is_string()) return found->as_string();
  if (!found || !found->is_object()) return fields.wrong(key, "string or object with a url");
  TRY(Fields inner, fields.open(*found, fields.path_of(key)));
  TRY_STATUS(inner.ignore({"detail"}));
  return inner.require_string("url");
}

Result<ContentPart> read_media(Fields& fields, std::string_view key, ContentPart::Kind kind,
                               const MediaSource& source) {
  TRY(const std::string url, url_of(fields, key));
  const std::string_view what = kind == ContentPart::Kind::kImage ? "image" : "video";
  TRY(auto media, source.from_url(url, what, fields.path_of(key)));
  return media_part(kind, std::move(media));
}

// {"type": "video_url", "video_url": URL, "fps": 2}; "video" may also be the frames: [URL, …].
Result<ContentPart> read_video(Fields& fields, std::string_view key, const MediaSource& source) {
  auto clip = std::make_shared<text::MediaBytes>();
  clip->name = fields.path_of(key);
  TRY_STATUS(fields.read("fps", clip->frames_per_second, 0.001, 1000));
  const Json* video = fields.find(key);
  if (key != "video" || !video || !video->is_array()) {
    TRY(ContentPart part, read_media(fields, key, ContentPart::Kind::kVideo, source));
    clip->bytes = part.media->bytes;
    clip->name = part.media->name;
    part.media = std::move(clip);
    return part;
  }
  if (video->items().empty()) return fields.wrong("video", "at least one frame");
  for (size_t i = 0; i < video->items().size(); ++i) {
    const Json& frame = video->items()[i];
    const std::string path = fmt::format("{}[{}]", clip->name, i);
    std::string url;
    if (frame.is_string()) {
      url = frame.as_string();
    } else {
      TRY(Fields inner, fields.open(frame, path));
      TRY_STATUS(inner.ignore({"type"}));
      TRY(url, url_of(inner, inner.find("image_url") ? "image_url" : "image"));
    }
    TRY(const auto picture, source.from_url(url, "image", path));
    clip->frames.push_back(picture->bytes);
  }
  return media_part(ContentPart::Kind::kVideo, std::move(clip));
}

Status read_content(Fields& fields, ChatMessage& message, const MediaSource& source) {
  const Json* content = fields.find("content");
  if (!content) {
    message.content_is_null = true;
  } else if (content->is_string()) {
    message.content.push_back(text_part(content->as_string()));
  } else if (content->is_array()) {
    message.content_is_parts = true;
    for (size_t i = 0; i < content->items().size(); ++i) {
      const std::string path = fmt::format("{}[{}]", fields.path_of("content"), i);
      TRY(ContentPart part, read_part(fields, content->items()[i], path, source));
      message.content.push_back(std::move(part));
    }
  } else {
    return fields.wrong("content", "string, array of parts or null");
  }
  return {};
}

Result<text::ToolCall> read_call(Fields& fields) {
  text::ToolCall call;
  TRY_STATUS(fields.read("id", call.id));
  TRY_STATUS(fields.ignore({"type", "index"}));
  TRY(auto inner, fields.find_object("function"));
  Fields& function = inner ? *inner : fields;
  TRY(call.name, function.require_string("name"));
  const Json* arguments = function.find("arguments");
  if (arguments && !arguments->is_object() && !arguments->is_string())
    return function.wrong("arguments", "string with a JSON object");
  const bool empty = !arguments || (arguments->is_string() && arguments->as_string().empty());
  call.arguments = empty ? Json::object() : *arguments;
  if (call.arguments.is_string()) {
    std::string text = call.arguments.as_string();
    replace_halves(text);
    call.arguments = Json::string(std::move(text));
  }
  return call;
}

Result<ChatMessage> read_message(Fields& fields, const MediaSource& source) {
  ChatMessage message;
  TRY(message.role, fields.require_string("role"));
  if (message.role == "function") message.role = "tool";
  static constexpr std::string_view kRoles[] = {"system", "developer", "user", "assistant", "tool"};
  if (std::find(std::begin(kRoles), std::end(kRoles), message.role) == std::end(kRoles)) {
    return bad_input("{}: expected system, developer, user, assistant or tool, found {}",
                     fields.path_of("role"), in_quotes(message.role));
  }
  TRY_STATUS(read_content(fields, message, source));
  TRY_STATUS(fields.read("reasoning_content", message.reasoning_content));
  for (const std::string_view key : {"reasoning", "thinking"}) {  // others' names, and shapes
    const Json* reasoning = fields.find(key);
    if (reasoning && reasoning->is_string() && !message.reasoning_content)
      message.reasoning_content = reasoning->as_string();
  }
  TRY(auto calls, fields.find_objects("tool_calls"));
  for (Fields& said : calls) {
    TRY(auto call, read_call(said));
    message.tool_calls.push_back(std::move(call));
  }
  TRY(auto older, fields.find_object("function_call"));  // before there were tool_calls
  if (older) {
    TRY(auto call, read_call(*older));
    if (calls.empty()) message.tool_calls.push_back(std::move(call));
  }
  TRY_STATUS(fields.read("tool_call_id", message.tool_call_id));
  TRY_STATUS(fields.ignore({"name", "refusal", "audio", "annotations"}));
  return message;
}

Status read_logit_bias(Fields& fields, engine::SamplingOptions& sampling) {
  TRY(const Json* bias, fields.find_map("logit_bias"));
  if (!bias) return {};
  for (const auto& [key, number] : bias->members()) {
    int32_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0)
      return bad_input("{}: expected token ids as keys, found {}", fields.path_of("logit_bias"),
                       in_quotes(key));
    if (!number.is_number() || !(number.as_double() >= -100 && number.as_double() <= 100)) {
      return bad_input(
          "{}.{}: expected number from -100 to 100, found {}", fields.path_of("logit_bias"), key,
          number.is_number() ? number.literal().substr(0, 40) : std::string(kind_name(number)));
    }
    sampling.logit_bias[id] = static_cast<float>(number.as_double());
  }
  return {};
}

// True the first time that it is asked. The set stays small whatever clients send.
bool is_news(std::string text) {
  constexpr size_t kMost = 256;
  static std::mutex mutex;
  static std::set<std::string> told;
  const std::lock_guard lock(mutex);
  return told.size() < kMost && told.insert(std::move(text)).second;
}

}  // namespace

ContentPart text_part(std::string text) {
  ContentPart part;
  part.text = std::move(text);
  return part;
}

ContentPart media_part(ContentPart::Kind kind, std::shared_ptr<const text::MediaBytes> media) {
  ContentPart part;
  part.kind = kind;
  part.media = std::move(media);
  return part;
}

Result<ContentPart> read_part(const Fields& holder, const Json& json, const std::string& path,
                              const MediaSource& source) {
  if (json.is_string()) return text_part(json.as_string());
  TRY(Fields fields, holder.open(json, path));
  TRY(const std::string type, fields.require_string("type"));
  TRY_STATUS(fields.ignore({"cache_control", "detail", "annotations", "logprobs"}));
  if (type == "text" || type == "input_text" || type == "output_text") {
    TRY(std::string text, fields.require_string("text"));
    return text_part(std::move(text));
  }
  if (type == "refusal") {
    TRY(std::string text, fields.require_string("refusal"));
    return text_part(std::move(text));
  }
  if (type == "image_url" || type == "input_image")
    return read_media(fields, "image_url", ContentPart::Kind::kImage, source);
  if (type == "image") return read_media(fields, "image", ContentPart::Kind::kImage, source);
  if (type == "video_url" || type == "input_video") return read_video(fields, "video_url", source);
  if (type == "video") return read_video(fields, "video", source);
  if (type == "input_audio" || type == "audio")
    return bad_input("{}: this model does not hear: audio is not supported", path);
  if (type == "file" || type == "input_file")
    return bad_input("{}: files are not supported; send their text, or pictures of the pages",
                     path);
  return bad_input("{}.type: expected text, image_url, video_url or video, found {}", path,
                   in_quotes(type));
}

Result<std::vector<ChatMessage>> read_messages(Fields& fields, const MediaSource& source) {
  TRY(const Json* given, fields.find_list("messages"));
  if (!given) return fields.wrong("messages", "array");
  if (given->items().empty())
    return bad_input("messages: expected at least one message, found none");
  TRY(auto said, fields.find_objects("messages"));
  std::vector<ChatMessage> read;
  for (Fields& one : said) {
    TRY(ChatMessage message, read_message(one, source));
    read.push_back(std::move(message));
  }
  return read;
}

Result<std::vector<Json>> read_tools(const Json& tools, const std::string& path) {
  if (!tools.is_array()) return bad_input("{}: expected array, found {}", path, kind_name(tools));
  std::vector<Json> read;
  for (size_t i = 0; i < tools.items().size(); ++i) {
    const std::string where = fmt::format("{}[{}]", path, i);
    TRY(Fields fields, Fields::of(tools.items()[i], where));
    std::string type = "function";
    TRY_STATUS(fields.read("type", type));
    if (type != "function")
      return bad_input("{}.type: expected function, found {}", where, in_quotes(type));
    TRY(auto function, fields.find_object("function"));
    if (!function) return fields.wrong("function", "object");
    TRY_STATUS(function->require_string("name"));
    TRY_STATUS(function->find_map("parameters"));
    std::string description;
    TRY_STATUS(function->read("description", description));
    bool strict = false;
    TRY_STATUS(function->read("strict", strict));
    if (strict)
      return bad_input("{}: strict tools are not supported yet", function->path_of("strict"));
    // What the template prints is what the official client sends, less what only the API knows.
    Json tool = tools.items()[i];
    for (auto& [key, inner] : tool.members()) {
      if (key != "function") continue;
      auto& members = inner.members();
      members.erase(std::remove_if(members.begin(), members.end(),
                                   [](const auto& member) { return member.first == "strict"; }),
                    members.end());
    }
    read.push_back(std::move(tool));
  }
  return read;
}

Status apply_tool_choice(const Json* choice, const std::string& path, std::vector<Json>& tools) {
  if (!choice) return {};
  const std::string_view word = choice->is_string()
                                    ? std::string_view(choice->as_string())
                                    : std::string_view(choice->is_object() ? "named" : "");
  if (word == "auto") return {};
  if (word == "none") {
    tools.clear();
    return {};
  }
  if (word == "required" || word == "named")
    return bad_input("{}: a tool call cannot be forced yet: only auto and none are supported",
                     path);
  return bad_input(
      "{}: expected auto, none, required or object, found {}", path,
      choice->is_string() ? in_quotes(choice->as_string()) : std::string(kind_name(*choice)));
}

Status read_parallel_calls(Fields& fields, engine::GenerationRequest& request) {
  bool parallel = true;
  TRY_STATUS(fields.read("parallel_tool_calls", parallel));
  if (!parallel) request.max_tool_calls = 1;
  return {};
}

Result<Json> read_flat_function(Fields& tool, std::string_view schema_key) {
  bool strict = false;
  TRY_STATUS(tool.read("strict", strict));
  if (strict) return bad_input("{}: strict tools are not supported yet", tool.path_of("strict"));
  TRY(const std::string name, tool.require_string("name"));
  std::string description;
  TRY_STATUS(tool.read("description", description));
  TRY(const Json* schema, tool.find_map(schema_key));
  Json function = Json::object({{"name", value(name)}});
  if (!description.empty()) function.set("description", value(description));
  if (schema) function.set("parameters", *schema);
  return Json::object({{"type", value("function")}, {"function", std::move(function)}});
}

Status leave_out_tool(Fields& tool, std::string_view route, std::string_view type) {
  std::string name;
  TRY_STATUS(tool.read("name", name));
  tool.ignore_rest();
  const std::string note =
      fmt::format("{}: a tool{} of type {} is left out: only functions are supported", route,
                  name.empty() ? "" : " " + in_quotes(name), in_quotes(type));
  if (is_news(note)) {
    log_warn("{}", note);
  } else {
    log_info("{}", note);
  }
  return {};
}

Status check_response_format(Fields& fields, std::string_view key) {
  TRY(auto format, fields.find_object(key));
  if (!format) return {};
  TRY(const std::string type, format->require_string("type"));
  if (type == "text") return {};
  if (type == "json_object" || type == "json_schema") {
    return bad_input("{}: {} is not supported yet: answers cannot be bound to a schema",
                     format->path_of("type"), type);
  }
  return bad_input("{}: expected text, json_object or json_schema, found {}",
                   format->path_of("type"), in_quotes(type));
}

Status refuse_constraints(Fields& fields) {
  for (const std::string_view key :
       {"grammar", "guided_json", "guided_regex", "guided_grammar", "guided_choice",
        "guided_decoding", "json_schema", "structured_outputs", "regex", "ebnf"}) {
    const Json* found = fields.find(key);
    const bool nothing = !found || (found->is_string() && found->as_string().empty());
    if (!nothing)
      return bad_input("{}: not supported yet: answers cannot be bound to a schema or grammar",
                       key);
  }
  return {};
}

Status read_sampling(Fields& fields, engine::SamplingOptions& sampling) {
  TRY_STATUS(fields.read("temperature", sampling.temperature, 0, 100));
  TRY_STATUS(fields.read("top_p", sampling.top_p, 0, 1));
  TRY_STATUS(fields.read("top_k", sampling.top_k, -1, 1 << 24));
  TRY_STATUS(fields.read("min_p", sampling.min_p, 0, 1));
  TRY_STATUS(fields.read("presence_penalty", sampling.presence_penalty, -100, 100));
  TRY_STATUS(fields.read("frequency_penalty", sampling.frequency_penalty, -100, 100));
  TRY_STATUS(fields.read("repetition_penalty", sampling.repetition_penalty, 0.01, 100));
  TRY_STATUS(fields.read("seed", sampling.seed));
  if (sampling.top_k == -1) sampling.top_k = 0;  // vLLM's word for "off"
  return read_logit_bias(fields, sampling);
}

Status apply_effort(std::string_view effort, const std::string& path,
                    engine::GenerationRequest& request) {
  request.template_options.kwargs.set("reasoning_effort", value(effort));
  request.thinking = engine::Thinking::kOn;
  if (effort == "none" || effort == "minimal") {
    request.thinking = engine::Thinking::kOff;
  } else if (effort == "low") {
    request.thinking_budget = 512;
  } else if (effort == "medium") {
    request.thinking_budget = 2048;
  } else if (effort == "high") {
    request.thinking_budget = 8192;
  } else if (effort != "xhigh" && effort != "max") {
    return bad_input("{}: expected none, minimal, low, medium, high, xhigh or max, found {}", path,
                     in_quotes(effort));
  }
  return {};
}

Status read_thinking(Fields& fields, engine::GenerationRequest& request) {
  std::optional<std::string> effort;
  TRY_STATUS(fields.read("reasoning_effort", effort));
  if (effort) TRY_STATUS(apply_effort(*effort, fields.path_of("reasoning_effort"), request));
  TRY(const Json* kwargs, fields.find_map("chat_template_kwargs"));
  std::optional<bool> enable;
  if (kwargs) {
    constexpr size_t kMost = 64;
    const Json::Object& members = kwargs->members();
    if (members.size() > kMost)
      return bad_input("{}: expected at most {} members, found {}",
                       fields.path_of("chat_template_kwargs"), kMost, members.size());
    for (const auto& [key, member] : members) request.template_options.kwargs.set(key, member);
    TRY(Fields named, Fields::of(*kwargs, fields.path_of("chat_template_kwargs")));
    TRY_STATUS(named.read("enable_thinking", enable));
  }
  TRY_STATUS(fields.read("enable_thinking", enable));
  if (enable) request.thinking = *enable ? engine::Thinking::kOn : engine::Thinking::kOff;
  TRY_STATUS(fields.read("thinking_budget", request.thinking_budget, 0, 1 << 24));
  return {};
}

Status continue_last_message(engine::GenerationRequest& request) {
  if (request.messages.empty()) return {};
  const ChatMessage& last = request.messages.back();
  if (last.role != "assistant" || !last.tool_calls.empty()) return {};
  if (request.messages.size() == 1)
    return bad_input("messages: expected a user's message before the answer that has begun");
  if (request.thinking == engine::Thinking::kOn)
    return bad_input("messages: an answer that has begun cannot go on with thinking");
  request.thinking = engine::Thinking::kOff;
  for (const ContentPart& part : last.content) request.answer_prefix += part.text;
  request.messages.pop_back();
  return {};
}

Json openai_usage(const std::vector<engine::Event>& done, size_t per_prompt) {
  int prompt = 0, cached = 0, completion = 0, reasoning = 0, accepted = 0, rejected = 0;
  for (size_t i = 0; i < done.size(); ++i) {
    const engine::Usage& usage = done[i].usage;
    completion += usage.completion_tokens;
    reasoning += usage.reasoning_tokens;
    accepted += usage.accepted_drafts;
    rejected += usage.drafted_tokens - usage.accepted_drafts;
    if (i % per_prompt != 0) continue;
    prompt += usage.prompt_tokens;
    cached += usage.reused_tokens;
  }
  Json usage =
      Json::object({{"prompt_tokens", value(prompt)},
                    {"completion_tokens", value(completion)},
                    {"total_tokens", value(prompt + completion)},
                    {"prompt_tokens_details", Json::object({{"cached_tokens", value(cached)}})},
                    {"completion_tokens_details",
                     Json::object({{"reasoning_tokens", value(reasoning)},
                                   {"accepted_prediction_tokens", value(accepted)},
                                   {"rejected_prediction_tokens", value(rejected)}})}});
  if (!done.empty()) usage.set("godwit", godwit_extension(done.front()));
  return usage;
}

Json godwit_extension(const engine::Event& done) {
  const auto& usage = done.usage;
  const auto& t = done.timings;
  return Json::object({{"reuse_note", value(usage.reuse_note)},
                       {"vision_tokens", value(usage.vision_tokens)},
                       {"pictures_encoded", value(usage.pictures_encoded)},
                       {"pictures_reused", value(usage.pictures_reused)},
                       {"drafted_tokens", value(usage.drafted_tokens)},
                       {"accepted_drafts", value(usage.accepted_drafts)},
                       {"seed", Json::number_literal(std::to_string(done.seed))},
                       {"timings", Json::object({{"queued", value(t.queued)},
                                                 {"prepare", value(t.prepare)},
                                                 {"vision", value(t.vision)},
                                                 {"prefill", value(t.prefill)},
                                                 {"decode", value(t.decode)},
                                                 {"first_token", value(t.first_token)}})}});
}

}  // namespace godwit::server
