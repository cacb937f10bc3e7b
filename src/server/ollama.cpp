// Ollama's /api/chat and /api/generate: lines of JSON, unless "stream" is false.
#include "server/ollama.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/log.h"
#include "base/visible.h"
#include "server/answer.h"
#include "server/conversation.h"
#include "server/openai_common.h"

namespace godwit::server {
namespace {

using engine::Event;
using engine::FinishReason;
using text::ChatMessage;
using text::ContentPart;

enum class Endpoint { kChat, kGenerate };

struct OllamaCall {
  engine::GenerationRequest request;
  std::string model;
  bool stream = true, logprobs = false;
  std::optional<std::chrono::seconds> keep_alive;
  bool load_only = false;  // no prompt: the model is loaded, or unloaded with keep_alive 0
};

// Bare base64; data URLs are taken, too, as some clients send them.
Status read_images(Fields& fields, const MediaSource& media, ChatMessage& message) {
  std::vector<std::string> images;
  TRY_STATUS(fields.read("images", images));
  for (size_t i = 0; i < images.size(); ++i) {
    const std::string path = fmt::format("{}[{}]", fields.path_of("images"), i);
    const bool is_url = images[i].starts_with("data:");
    auto bytes =
        is_url ? media.from_url(images[i], "image", path) : media.from_base64(images[i], path);
    if (!bytes) return tl::unexpected(bytes.error());
    message.content.push_back(media_part(ContentPart::Kind::kImage, std::move(*bytes)));
    message.content_is_parts = true;
  }
  return {};
}

Status read_calls(Fields& fields, ChatMessage& message) {
  TRY(auto calls, fields.find_objects("tool_calls"));
  for (Fields& call : calls) {
    TRY(auto function, call.find_object("function"));
    if (!function) return call.wrong("function", "object");
    text::ToolCall read;
    TRY_STATUS(call.read("id", read.id));
    TRY_STATUS(call.ignore({"type"}));
    TRY_STATUS(function->ignore({"index"}));
    TRY(read.name, function->require_string("name"));
    const Json* arguments = function->find("arguments");
    if (arguments && !arguments->is_object() && !arguments->is_string())
      return function->wrong("arguments", "object");
    read.arguments = arguments ? *arguments : Json::object();
    message.tool_calls.push_back(std::move(read));
  }
  return {};
}

Result<ChatMessage> read_message(Fields& fields, const MediaSource& media) {
  ChatMessage message;
  TRY(message.role, fields.require_string("role"));
  if (message.role != "system" && message.role != "user" && message.role != "assistant" &&
      message.role != "tool") {
    return bad_input("{}: expected system, user, assistant or tool, found {}",
                     fields.path_of("role"), in_quotes(message.role));
  }
  TRY_STATUS(read_images(fields, media, message));  // before the text, as Ollama places them
  std::string content;
  TRY_STATUS(fields.read("content", content));
  if (!content.empty()) message.content.push_back(text_part(std::move(content)));
  TRY_STATUS(fields.read("thinking", message.reasoning_content));
  TRY_STATUS(read_calls(fields, message));
  TRY_STATUS(fields.read("tool_call_id", message.tool_call_id));
  TRY_STATUS(fields.ignore({"tool_name"}));
  return message;
}

Status read_options(Fields& fields, engine::GenerationRequest& request) {
  TRY(auto options, fields.find_object("options"));
  if (!options) return {};
  TRY_STATUS(read_sampling(*options, request.sampling));
  TRY_STATUS(options->read("repeat_penalty", request.sampling.repetition_penalty, 0.01, 100));
  TRY_STATUS(options->read("num_predict", request.max_tokens, -2, 1 << 24));
  if (request.max_tokens < 0) request.max_tokens = -1;  // -1: no end; -2: fill the context
  TRY_STATUS(options->read("stop", request.stop));
  TRY_STATUS(options->ignore({"num_ctx", "num_batch", "num_gpu", "num_thread", "num_keep",
                              "main_gpu", "use_mmap", "repeat_last_n", "numa", "low_vram"}));
  return {};
}

// true, false, "low", "medium", "high"; absent: as the model's template has it.
Status read_think(Fields& fields, engine::GenerationRequest& request) {
  const Json* think = fields.find("think");
  if (!think) return {};
  if (think->is_string()) return apply_effort(think->as_string(), "think", request);
  if (!think->is_bool()) return fields.wrong("think", "boolean, low, medium or high");
  request.thinking = think->as_bool() ? engine::Thinking::kOn : engine::Thinking::kOff;
  return {};
}

// null and "" are nothing; "json" and schemas are refused.
Status read_format(Fields& fields) {
  const Json* format = fields.find("format");
  if (!format || (format->is_string() && format->as_string().empty())) return {};
  return bad_input("format: not supported yet: answers cannot be bound to JSON or a schema");
}

Status read_common(Fields& fields, OllamaCall& call) {
  TRY(call.model, fields.require_string("model"));
  TRY_STATUS(fields.read("stream", call.stream));
  TRY_STATUS(read_options(fields, call.request));
  TRY_STATUS(read_think(fields, call.request));
  TRY_STATUS(read_format(fields));
  int top = 0;
  TRY_STATUS(fields.read("logprobs", call.logprobs));
  TRY_STATUS(fields.read("top_logprobs", top, 0, 20));
  if (call.logprobs) call.request.logprobs = top;
  TRY(call.keep_alive, read_keep_alive(fields));
  return {};
}

Result<OllamaCall> read_chat(const Api& api, std::string_view body) {
  TRY(const Json json, parse_body(body));
  TRY(Fields fields, Fields::of(json, ""));
  OllamaCall call;
  TRY(auto messages, fields.find_objects("messages"));
  for (Fields& said : messages) {
    TRY(ChatMessage message, read_message(said, api.media));
    call.request.messages.push_back(std::move(message));
  }
  if (call.request.messages.empty()) call.load_only = true;
  if (const Json* tools = fields.find("tools")) {
    TRY(call.request.tools, read_tools(*tools, "tools"));
  }
  TRY_STATUS(read_common(fields, call));
  TRY_STATUS(continue_last_message(call.request));
  fields.note_unknown("/api/chat");
  return call;
}

Result<OllamaCall> read_generate(const Api& api, std::string_view body) {
  TRY(const Json json, parse_body(body));
  TRY(Fields fields, Fields::of(json, ""));
  OllamaCall call;
  std::string prompt, system, suffix;
  bool raw = false;
  TRY_STATUS(fields.read("prompt", prompt));
  TRY_STATUS(fields.read("system", system));
  TRY_STATUS(fields.read("suffix", suffix));
  TRY_STATUS(fields.read("raw", raw));
  if (!suffix.empty()) return bad_input("suffix: filling in is not supported");
  ChatMessage user;
  user.role = "user";
  TRY_STATUS(read_images(fields, api.media, user));
  if (prompt.empty() && user.content.empty()) {
    call.load_only = true;
  } else if (raw) {
    if (!user.content.empty()) return bad_input("raw: expected a prompt without images");
    call.request.raw_text = std::move(prompt);
    call.request.parse_output = false;
  } else {
    if (!system.empty()) {
      call.request.messages.emplace_back();
      call.request.messages.back().role = "system";
      call.request.messages.back().content.push_back(text_part(std::move(system)));
    }
    user.content.push_back(text_part(std::move(prompt)));
    call.request.messages.push_back(std::move(user));
  }
  TRY_STATUS(read_common(fields, call));
  TRY_STATUS(fields.ignore({"context", "template"}));
  if (fields.find("context")) log_info("/api/generate: context is ignored");
  if (fields.find("template")) log_info("/api/generate: template is ignored");
  fields.note_unknown("/api/generate");
  return call;
}

// "1h30m", "300ms", "-1s" as Go has it; a number alone: seconds. Nothing: another text.
std::optional<double> seconds_of(std::string_view text) {
  const double sign = text.starts_with('-') ? -1 : 1;
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  static constexpr std::pair<std::string_view, double> kUnits[] = {
      {"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}};
  if (text.empty()) return std::nullopt;
  for (double sum = 0;;) {
    double number = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (error != std::errc() || text.front() == '-') return std::nullopt;
    const bool alone = sum == 0 && end == text.data() + text.size();
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    const size_t letters = std::min(text.find_first_of("0123456789."), text.size());
    const auto* unit = std::find_if(std::begin(kUnits), std::end(kUnits), [&](const auto& known) {
      return known.first == text.substr(0, letters);
    });
    if (!alone && unit == std::end(kUnits)) return std::nullopt;
    sum += number * (alone ? 1 : unit->second);
    text.remove_prefix(letters);
    if (text.empty()) return sign * sum;
  }
}

int64_t nanoseconds(double seconds) { return std::llround(seconds * 1e9); }

class OllamaFormat final : public AnswerFormat {
 public:
  OllamaFormat(Endpoint endpoint, const OllamaCall& call, std::shared_ptr<engine::Engine> engine)
      : endpoint_(endpoint),
        name_(call.model),
        logprobs_(call.logprobs),
        engine_(std::move(engine)) {}

  std::string content_type() const override { return "application/x-ndjson"; }

  std::string event(int, const Event& event) override {
    switch (event.kind) {
      case Event::Kind::kReasoning:
        return line(said({}, event.text, {}));
      case Event::Kind::kContent: {
        Json json = said(event.text, {}, {});
        if (logprobs_) json.set("logprobs", chat_logprobs(*engine_, event.logprobs));
        return line(std::move(json));
      }
      case Event::Kind::kToolCallBegin:
        call_ = {new_id("call_"), event.text, {}};
        return {};
      case Event::Kind::kToolArguments:
        call_.arguments += event.text;
        return {};
      case Event::Kind::kToolCallEnd:
        return line(said({}, {}, {call_}, event.index));
      case Event::Kind::kDone:
        return line(finished(said({}, {}, {}), event));
      default:
        return {};
    }
  }

  std::string keep_alive() override { return line(said({}, {}, {})); }

  std::string error(int status, const std::string& message) override {
    return error_body(Dialect::kOllama, status, message) + "\n";
  }

  HttpReply whole(std::vector<Answer>& answers) override {
    const Answer& answer = answers.front();
    Json json = said(answer.content, answer.reasoning, answer.calls);
    if (logprobs_) json.set("logprobs", chat_logprobs(*engine_, answer.logprobs));
    return json_reply(finished(std::move(json), answer.done));
  }

  // The answer to a request without a prompt.
  HttpReply loaded(const std::string& reason) const {
    Json json = said({}, {}, {});
    json.set("done", value(true));
    json.set("done_reason", value(reason));
    return json_reply(json);
  }

 private:
  static std::string line(const Json& json) { return json.dump() + "\n"; }

  Json said(const std::string& content, const std::string& reasoning,
            const std::vector<CalledTool>& calls, int first_call = 0) const {
    Json json = Json::object({{"model", value(name_)}, {"created_at", value(now_rfc3339())}});
    if (endpoint_ == Endpoint::kGenerate) {
      json.set("response", value(content));
      if (!reasoning.empty()) json.set("thinking", value(reasoning));
      json.set("done", value(false));
      return json;
    }
    Json message = Json::object({{"role", value("assistant")}, {"content", value(content)}});
    if (!reasoning.empty()) message.set("thinking", value(reasoning));
    Json::Array list;
    for (const CalledTool& call : calls) {
      auto arguments = checkpoint::parse_json(call.arguments);
      if (!arguments) continue;  // cut short by num_predict
      list.push_back(Json::object(
          {{"id", value(call.id)},
           {"function", Json::object({{"index", value(first_call + static_cast<int>(list.size()))},
                                      {"name", value(call.name)},
                                      {"arguments", std::move(*arguments)}})}}));
    }
    if (!list.empty()) message.set("tool_calls", Json::array(std::move(list)));
    json.set("message", std::move(message));
    json.set("done", value(false));
    return json;
  }

  static Json finished(Json json, const Event& done) {
    const engine::Timings& t = done.timings;
    json.set("done", value(true));
    json.set("done_reason", value(done.finish == FinishReason::kLength ? "length" : "stop"));
    json.set("total_duration",
             value(nanoseconds(t.queued + t.prepare + t.vision + t.prefill + t.decode)));
    json.set("load_duration", value(nanoseconds(t.queued)));
    json.set("prompt_eval_count", value(done.usage.prompt_tokens));
    json.set("prompt_eval_duration", value(nanoseconds(t.prepare + t.vision + t.prefill)));
    json.set("eval_count", value(done.usage.completion_tokens));
    json.set("eval_duration", value(nanoseconds(t.decode)));
    json.set("cached_tokens", value(done.usage.reused_tokens));
    json.set("godwit", godwit_extension(done));
    return json;
  }

  Endpoint endpoint_;
  std::string name_;  // as the client has it
  bool logprobs_;
  std::shared_ptr<engine::Engine> engine_;
  CalledTool call_;  // as it grows
};

HttpReply answer(const Api& api, Endpoint endpoint, const HttpRequest& http) {
  auto call =
      endpoint == Endpoint::kChat ? read_chat(api, http.body) : read_generate(api, http.body);
  if (!call) return error_reply(Dialect::kOllama, call.error());
  const std::string_view name = without_tag(api.models, call->model);
  const bool unload = call->load_only && call->keep_alive && call->keep_alive->count() == 0;
  if (unload && api.models.knows(name)) {
    api.models.keep(name, std::chrono::seconds(0));
    api.models.unload_idle();
    return OllamaFormat(endpoint, *call, nullptr).loaded("unload");
  }
  auto model = api.models.use(name);
  if (!model) return error_reply(Dialect::kOllama, model.error());
  if (call->keep_alive) api.models.keep(model->name, *call->keep_alive);
  auto format = std::make_unique<OllamaFormat>(endpoint, *call, model->engine);
  if (call->load_only) return format->loaded("load");
  std::vector<engine::GenerationRequest> requests;
  requests.push_back(std::move(call->request));
  return generate(api, Dialect::kOllama, std::move(*model), std::move(requests), std::move(format),
                  call->stream ? Delivery::kStream : Delivery::kWhole);
}

}  // namespace

Result<std::optional<std::chrono::seconds>> read_keep_alive(Fields& fields) {
  const Json* keep = fields.find("keep_alive");
  if (!keep) return std::optional<std::chrono::seconds>();
  std::optional<double> seconds;
  if (keep->is_number()) seconds = keep->as_double();
  if (keep->is_string()) seconds = seconds_of(keep->as_string());
  if (!seconds) return fields.wrong("keep_alive", "number of seconds or duration as \"5m\"");
  const double whole = *seconds < 0 ? -1 : std::min(std::ceil(*seconds), 1e9);
  return std::optional(std::chrono::seconds(static_cast<int64_t>(whole)));
}

std::vector<Route> ollama_routes(const Api& api) {
  return {{"POST", "/api/chat",
           [&api](const HttpRequest& http) { return answer(api, Endpoint::kChat, http); }},
          {"POST", "/api/generate",
           [&api](const HttpRequest& http) { return answer(api, Endpoint::kGenerate, http); }}};
}

}  // namespace godwit::server
