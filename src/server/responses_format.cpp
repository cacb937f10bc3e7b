// The answer of /v1/responses, as events or whole.
//
//   response.created, .in_progress
//     ─► output_item.added, its parts and deltas, output_item.done
//        (an item for each thought, text and call)
//     ─► response.completed, .incomplete or .failed
#include <utility>

#include "server/conversation.h"
#include "server/openai_common.h"
#include "server/responses.h"

namespace godwit::server {
namespace {

using engine::Event;
using engine::FinishReason;

class ResponsesFormat final : public AnswerFormat {
 public:
  ResponsesFormat(ResponsesCall call, ModelUse model, std::shared_ptr<ResponseStore> store,
                  size_t bytes)
      : call_(std::move(call)),
        model_(std::move(model)),
        store_(std::move(store)),
        bytes_(bytes),
        id_(new_id("resp_")),
        created_(unix_time()) {}

  std::string begin() override {
    emit("response.created", {{"response", response("in_progress")}});
    emit("response.in_progress", {{"response", response("in_progress")}});
    return std::exchange(out_, {});
  }

  std::string event(int, const Event& event) override {
    answer_.add(event, "call_");
    switch (event.kind) {
      case Event::Kind::kReasoning:
        open(Kind::kReasoning);
        add_reasoning(event.text);
        break;
      case Event::Kind::kContent:
        open(Kind::kMessage);
        add_text(event);
        break;
      case Event::Kind::kToolCallBegin:
        close("completed");
        open(Kind::kCall);
        break;
      case Event::Kind::kToolArguments:
        add_arguments(event.text);
        break;
      case Event::Kind::kToolCallEnd:
        close("completed");
        break;
      case Event::Kind::kDone:
        finish();
        break;
      default:
        break;
    }
    return std::exchange(out_, {});
  }

  // By this event agents know that they must make their history shorter.
  bool begins_with(const Error& error) const override { return is_too_long(error.message); }

  std::string error(int status, const std::string& message) override {
    Json json = response("failed");
    json.set("error",
             Json::object({{"code", is_too_long(message)
                                        ? value(kTooLong)
                                        : value(status < 500 ? "invalid_prompt" : "server_error")},
                           {"message", value(message)}}));
    emit("response.failed", {{"response", std::move(json)}});
    return std::exchange(out_, {});
  }

  // The events of the stream build the items; here nobody sees them.
  HttpReply whole(std::vector<Answer>& answers) override {
    const Answer& answer = answers.front();
    const auto add = [&](Event::Kind kind, const std::string& text) {
      Event step;
      step.kind = kind;
      step.text = text;
      if (kind == Event::Kind::kContent) step.logprobs = answer.logprobs;
      event(0, step);
    };
    if (!answer.reasoning.empty()) add(Event::Kind::kReasoning, answer.reasoning);
    if (!answer.content.empty()) add(Event::Kind::kContent, answer.content);
    for (const CalledTool& called : answer.calls) {
      add(Event::Kind::kToolCallBegin, called.name);
      add(Event::Kind::kToolArguments, called.arguments);
      const bool is_cut =
          &called == &answer.calls.back() && answer.done.finish == FinishReason::kLength;
      if (!is_cut) add(Event::Kind::kToolCallEnd, {});
    }
    event(0, answer.done);
    return json_reply(final_);
  }

 private:
  enum class Kind { kNone, kReasoning, kMessage, kCall };

  void emit(const char* type, Json::Object members) {
    Json json = Json::object(std::move(members));
    json.members().insert(json.members().begin(),
                          {{"type", value(type)}, {"sequence_number", value(sequence_++)}});
    out_ += sse(type, json);
  }

  // An event of the open item.
  void item_event(const char* type, Json::Object members) {
    members.insert(members.begin(), {{"item_id", value(item_id_)}, {"output_index", index()}});
    emit(type, std::move(members));
  }

  Json index() const { return value(static_cast<int>(output_.size())); }

  Json response(const char* status) const {
    Json json = Json::object({{"id", value(id_)},
                              {"object", value("response")},
                              {"created_at", value(created_)},
                              {"status", value(status)},
                              {"background", value(false)},
                              {"error", Json()},
                              {"incomplete_details", Json()},
                              {"model", value(model_.name)},
                              {"output", Json::array(output_)},
                              {"store", value(call_.store)},
                              {"usage", Json()}});
    for (const auto& [key, member] : call_.echo.members()) json.set(key, member);
    return json;
  }

  // The open item as it stands.
  Json item(const char* status) const {
    Json json = Json::object({{"id", value(item_id_)}});
    if (kind_ == Kind::kReasoning) {
      json.set("type", value("reasoning"));
      const bool started = !text_.empty();
      json.set("summary", started && call_.summaries ? Json::array({text_part_json("summary_text")})
                                                     : Json::array());
      if (!call_.summaries)
        json.set("content",
                 started ? Json::array({text_part_json("reasoning_text")}) : Json::array());
      if (call_.encrypted)
        json.set("encrypted_content", value(encode_base64(std::string(kThoughtMark) + text_)));
    } else if (kind_ == Kind::kMessage) {
      json.set("type", value("message"));
      json.set("role", value("assistant"));
      json.set("content", text_.empty() ? Json::array() : Json::array({output_text()}));
    } else {
      json.set("type", value("function_call"));
      json.set("call_id", value(answer_.calls.back().id));
      json.set("name", value(answer_.calls.back().name));
      json.set("arguments", value(text_));
    }
    json.set("status", value(status));
    return json;
  }

  Json text_part_json(const char* type) const {
    return Json::object({{"type", value(type)}, {"text", value(text_)}});
  }
  Json output_text() const {
    return Json::object({{"type", value("output_text")},
                         {"text", value(text_)},
                         {"annotations", Json::array()},
                         {"logprobs", logprobs(text_.empty() ? std::vector<engine::TokenLogprob>()
                                                             : answer_.logprobs)}});
  }
  Json logprobs(const std::vector<engine::TokenLogprob>& list) const {
    return call_.logprobs ? chat_logprobs(*model_.engine, list) : Json::array();
  }

  // Nothing if an item of the kind is open; a call always opens a new one.
  void open(Kind kind) {
    if (kind == kind_) return;
    close("completed");
    kind_ = kind;
    text_.clear();
    item_id_ = new_id(kind == Kind::kReasoning ? "rs_" : kind == Kind::kMessage ? "msg_" : "fc_");
    emit("response.output_item.added", {{"output_index", index()}, {"item", item("in_progress")}});
    const Json zero = value(0);
    if (kind == Kind::kMessage) {
      item_event("response.content_part.added", {{"content_index", zero}, {"part", output_text()}});
    } else if (kind == Kind::kReasoning && call_.summaries) {
      item_event("response.reasoning_summary_part.added",
                 {{"summary_index", zero}, {"part", text_part_json("summary_text")}});
    } else if (kind == Kind::kReasoning) {
      item_event("response.content_part.added",
                 {{"content_index", zero}, {"part", text_part_json("reasoning_text")}});
    }
  }

  void add_reasoning(const std::string& text) {
    text_ += text;
    const char* index_key = call_.summaries ? "summary_index" : "content_index";
    item_event(
        call_.summaries ? "response.reasoning_summary_text.delta" : "response.reasoning_text.delta",
        {{index_key, value(0)}, {"delta", value(text)}});
  }
  void add_text(const Event& event) {
    text_ += event.text;
    item_event("response.output_text.delta", {{"content_index", value(0)},
                                              {"delta", value(event.text)},
                                              {"logprobs", logprobs(event.logprobs)}});
  }
  void add_arguments(const std::string& text) {
    text_ += text;
    item_event("response.function_call_arguments.delta", {{"delta", value(text)}});
  }

  void close(const char* status) {
    if (kind_ == Kind::kNone) return;
    const Json zero = value(0);
    if (kind_ == Kind::kMessage) {
      const Json part = output_text();
      item_event(
          "response.output_text.done",
          {{"content_index", zero}, {"text", value(text_)}, {"logprobs", *part.find("logprobs")}});
      item_event("response.content_part.done", {{"content_index", zero}, {"part", part}});
    } else if (kind_ == Kind::kCall) {
      item_event("response.function_call_arguments.done",
                 {{"name", value(answer_.calls.back().name)}, {"arguments", value(text_)}});
    } else if (call_.summaries) {
      item_event("response.reasoning_summary_text.done",
                 {{"summary_index", zero}, {"text", value(text_)}});
      item_event("response.reasoning_summary_part.done",
                 {{"summary_index", zero}, {"part", text_part_json("summary_text")}});
    } else {
      item_event("response.reasoning_text.done", {{"content_index", zero}, {"text", value(text_)}});
      item_event("response.content_part.done",
                 {{"content_index", zero}, {"part", text_part_json("reasoning_text")}});
    }
    Json whole = item(status);
    emit("response.output_item.done", {{"output_index", index()}, {"item", whole}});
    output_.push_back(std::move(whole));
    kind_ = Kind::kNone;
  }

  void finish() {
    const Event& done = answer_.done;
    const bool is_cut = done.finish == FinishReason::kLength;
    close(is_cut ? "incomplete" : "completed");
    const char* status = is_cut                                    ? "incomplete"
                         : done.finish == FinishReason::kCancelled ? "cancelled"
                                                                   : "completed";
    final_ = response(status);
    if (is_cut)
      final_.set("incomplete_details", Json::object({{"reason", value("max_output_tokens")}}));
    const engine::Usage& usage = done.usage;
    final_.set("usage",
               Json::object({{"input_tokens", value(usage.prompt_tokens)},
                             {"input_tokens_details",
                              Json::object({{"cached_tokens", value(usage.reused_tokens)}})},
                             {"output_tokens", value(usage.completion_tokens)},
                             {"output_tokens_details",
                              Json::object({{"reasoning_tokens", value(usage.reasoning_tokens)}})},
                             {"total_tokens", value(usage.prompt_tokens + usage.completion_tokens)},
                             {"godwit", godwit_extension(done)}}));
    if (call_.store) keep();
    emit(is_cut ? "response.incomplete" : "response.completed", {{"response", final_}});
  }

  void keep() {
    text::ChatMessage said;
    said.role = "assistant";
    if (!answer_.reasoning.empty()) said.reasoning_content = answer_.reasoning;
    if (!answer_.content.empty()) said.content.push_back(text_part(answer_.content));
    for (const CalledTool& call : answer_.calls)
      said.tool_calls.push_back({call.id, call.name, value(call.arguments)});
    call_.messages.push_back(std::move(said));
    // The body is kept twice, read and as items; a value takes more than its text.
    const size_t about = 4096 + 4 * (bytes_ + answer_.reasoning.size() + answer_.content.size());
    store_->put(
        {id_, call_.previous, final_, std::move(call_.input), std::move(call_.messages), about});
  }

  ResponsesCall call_;
  ModelUse model_;
  std::shared_ptr<ResponseStore> store_;
  size_t bytes_;
  std::string id_;
  int64_t created_;
  int sequence_ = 0;
  std::string out_;     // events not yet taken
  Json::Array output_;  // items that are done
  Kind kind_ = Kind::kNone;
  std::string item_id_, text_;  // of the open item
  Answer answer_;
  Json final_;
};

}  // namespace

std::unique_ptr<AnswerFormat> responses_format(ResponsesCall call, ModelUse model,
                                               std::shared_ptr<ResponseStore> store, size_t bytes) {
  return std::make_unique<ResponsesFormat>(std::move(call), std::move(model), std::move(store),
                                           bytes);
}

}  // namespace godwit::server
