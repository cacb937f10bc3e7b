// /v1/chat/completions.
#include <utility>

#include "server/conversation.h"
#include "server/openai_common.h"

namespace godwit::server {
namespace {

using engine::Event;
using engine::FinishReason;

constexpr int kMaxChoices = 16;

struct ChatCall {
  engine::GenerationRequest request;
  std::string model;
  int choices = 1;
  bool stream = false, include_usage = false, include_progress = false, logprobs = false;
};

Status read_lengths(Fields& fields, engine::GenerationRequest& request) {
  std::optional<int> most;
  TRY_STATUS(fields.read("max_tokens", most, -1, 1 << 24));
  TRY_STATUS(fields.read("max_completion_tokens", most, 1, 1 << 24));
  if (most) request.max_tokens = *most;
  TRY_STATUS(fields.read("stop", request.stop));
  return fields.read("ignore_eos", request.ignore_end);
}

Status read_stream_options(Fields& fields, ChatCall& call) {
  TRY_STATUS(fields.read("stream", call.stream));
  TRY(auto options, fields.find_object("stream_options"));
  if (!options) return {};
  TRY_STATUS(options->read("include_usage", call.include_usage));
  TRY_STATUS(options->ignore({"include_obfuscation"}));
  return options->read("include_progress", call.include_progress);
}

Status read_logprobs(Fields& fields, ChatCall& call) {
  int top = 0;
  TRY_STATUS(fields.read("logprobs", call.logprobs));
  TRY_STATUS(fields.read("top_logprobs", top, 0, 20));
  if (top > 0 && !call.logprobs)
    return bad_input("top_logprobs: expected logprobs to be true as well");
  if (call.logprobs) call.request.logprobs = top;
  return {};
}

Result<ChatCall> read_chat(const Api& api, std::string_view body) {
  TRY(const Json json, parse_body(body));
  TRY(Fields fields, Fields::of(json, ""));
  ChatCall call;
  engine::GenerationRequest& request = call.request;
  TRY_STATUS(fields.read("model", call.model));
  TRY(request.messages, read_messages(fields, api.media));
  if (const Json* tools = fields.find("tools")) {
    TRY(request.tools, read_tools(*tools, "tools"));
  }
  if (fields.find("functions")) return bad_input("functions: expected the newer field tools");
  TRY_STATUS(apply_tool_choice(fields.find("tool_choice"), "tool_choice", request.tools));
  TRY_STATUS(read_parallel_calls(fields, request));
  TRY_STATUS(check_response_format(fields, "response_format"));
  TRY_STATUS(read_sampling(fields, request.sampling));
  TRY_STATUS(read_thinking(fields, request));
  TRY_STATUS(read_lengths(fields, request));
  TRY_STATUS(read_stream_options(fields, call));
  TRY_STATUS(read_logprobs(fields, call));
  TRY_STATUS(fields.read("n", call.choices, 1, kMaxChoices));
  TRY_STATUS(fields.read("add_generation_prompt", request.template_options.add_generation_prompt));
  bool goes_on = false;
  TRY_STATUS(fields.read("continue_final_message", goes_on));
  if (goes_on) {
    TRY_STATUS(continue_last_message(request));
    request.template_options.add_generation_prompt = true;
  }
  TRY_STATUS(refuse_constraints(fields));
  TRY_STATUS(fields.ignore({"user", "metadata", "store", "service_tier", "safety_identifier",
                            "add_special_tokens", "prompt_cache_key", "prompt_cache_retention"}));
  fields.note_unknown("/v1/chat/completions");
  return call;
}

std::string_view finish_word(FinishReason reason) {
  switch (reason) {
    case FinishReason::kLength:
      return "length";
    case FinishReason::kToolCalls:
      return "tool_calls";
    default:
      return "stop";
  }
}

class ChatFormat final : public ChoicesFormat {
 public:
  ChatFormat(const ChatCall& call, ModelUse model)
      : ChoicesFormat({"chatcmpl-", "chat.completion", "chat.completion.chunk"}, std::move(model),
                      call.choices, call.choices),
        include_progress_(call.include_progress),
        logprobs_(call.logprobs) {
    include_usage_ = call.include_usage;
  }

  std::string begin() override {
    std::string bytes;
    for (size_t i = 0; i < done_.size(); ++i) {
      bytes += delta(static_cast<int>(i),
                     Json::object({{"role", value("assistant")}, {"content", value("")}}));
    }
    return bytes;
  }

  std::string event(int choice, const Event& event) override {
    switch (event.kind) {
      case Event::Kind::kPromptProgress:
        return include_progress_ ? progress(event) : std::string();
      case Event::Kind::kReasoning:
        return delta(choice, Json::object({{"reasoning_content", value(event.text)}}));
      case Event::Kind::kContent:
        return delta(choice, Json::object({{"content", value(event.text)}}), {}, event.logprobs);
      case Event::Kind::kToolCallBegin:
        return tool_call(
            choice, event.index,
            {{"id", value(new_id("call_"))},
             {"type", value("function")},
             {"function", Json::object({{"name", value(event.text)}, {"arguments", value("")}})}});
      case Event::Kind::kToolArguments:
        return tool_call(choice, event.index,
                         {{"function", Json::object({{"arguments", value(event.text)}})}});
      case Event::Kind::kDone:
        done_[choice] = event;
        return delta(choice, Json::object(), value(finish_word(event.finish)));
      default:
        return {};
    }
  }

 private:
  std::string delta(int index, Json delta, Json finish = {},
                    const std::vector<engine::TokenLogprob>& logprobs = {}) const {
    return chunk({Json::object({{"index", value(index)},
                                {"delta", std::move(delta)},
                                {"logprobs", logprobs_json(logprobs)},
                                {"finish_reason", std::move(finish)}})});
  }

  std::string tool_call(int choice, int index, Json::Object members) const {
    members.insert(members.begin(), {"index", value(index)});
    return delta(choice,
                 Json::object({{"tool_calls", Json::array({Json::object(std::move(members))})}}));
  }

  std::string progress(const Event& event) const {
    const Json progress =
        Json::object({{"done", value(event.done)}, {"total", value(event.total)}});
    return chunk({}, {{"godwit", Json::object({{"prompt_progress", progress}})}});
  }

  Json logprobs_json(const std::vector<engine::TokenLogprob>& logprobs) const {
    if (!logprobs_ || logprobs.empty()) return {};
    return Json::object(
        {{"content", chat_logprobs(*model_.engine, logprobs)}, {"refusal", Json()}});
  }

  Json::Array choices(std::vector<Answer>& answers) override {
    Json::Array list;
    for (const Answer& answer : answers) {
      list.push_back(Json::object({{"index", value(static_cast<int>(list.size()))},
                                   {"message", message(answer)},
                                   {"logprobs", logprobs_json(answer.logprobs)},
                                   {"finish_reason", value(finish_word(answer.done.finish))}}));
    }
    return list;
  }

  static Json message(const Answer& answer) {
    const bool null_content = answer.content.empty() && !answer.calls.empty();
    Json json = Json::object({{"role", value("assistant")},
                              {"content", null_content ? Json() : value(answer.content)},
                              {"refusal", Json()}});
    if (!answer.reasoning.empty()) json.set("reasoning_content", value(answer.reasoning));
    Json::Array calls;
    for (const CalledTool& call : answer.calls) {
      calls.push_back(Json::object(
          {{"id", value(call.id)},
           {"type", value("function")},
           {"function",
            Json::object({{"name", value(call.name)}, {"arguments", value(call.arguments)}})}}));
    }
    if (!calls.empty()) json.set("tool_calls", Json::array(std::move(calls)));
    return json;
  }

  bool include_progress_, logprobs_;
};

HttpReply chat(const Api& api, const HttpRequest& http) {
  auto call = read_chat(api, http.body);
  if (!call) return error_reply(Dialect::kOpenAi, call.error());
  auto model = api.models.use(call->model);
  if (!model) return error_reply(Dialect::kOpenAi, model.error());
  auto format = std::make_unique<ChatFormat>(*call, *model);
  return generate(api, Dialect::kOpenAi, std::move(*model),
                  repeat_request(std::move(call->request), call->choices), std::move(format),
                  call->stream ? Delivery::kStream : Delivery::kWhole);
}

}  // namespace

Result<ChatRequest> read_chat_request(const Api& api, std::string_view body) {
  TRY(ChatCall call, read_chat(api, body));
  return ChatRequest{std::move(call.request), std::move(call.model)};
}

std::vector<Route> openai_chat_routes(const Api& api) {
  return {{"POST", "/v1/chat/completions",
           [&api](const HttpRequest& http) { return chat(api, http); }}};
}

}  // namespace godwit::server
