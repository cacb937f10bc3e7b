// /v1/messages and /v1/messages/count_tokens.
//
//   message_start, ping
//     ─► content_block_start, …_delta, content_block_stop
//        (a block for each thought, text and call)
//     ─► message_delta ─► message_stop
#include <utility>

#include "base/log.h"
#include "base/visible.h"
#include "server/answer.h"
#include "server/conversation.h"

namespace godwit::server {
namespace {

using engine::Event;
using engine::FinishReason;
using text::ChatMessage;
using text::ContentPart;

constexpr std::string_view kRoute = "/v1/messages";
// Clients send thoughts back only with a signature. Ours says nothing: thoughts are believed.
constexpr const char* kSignature = "Z29kd2l0";

struct MessagesCall {
  engine::GenerationRequest request;
  std::string model;
  bool stream = false;
};

// Claude Code opens its first system block with a line that is another in each request; in the
// prompt it would make every one of them a miss.
std::string without_billing_line(const std::string& text) {
  if (!text.starts_with("x-anthropic-billing-header:")) return text;
  const size_t end = text.find('\n');
  return end == std::string::npos ? std::string() : text.substr(end + 1);
}

Status read_system(Fields& fields, std::vector<ChatMessage>& messages) {
  const Json* system = fields.find("system");
  if (!system) return {};
  std::string joined;
  if (system->is_string()) {
    joined = without_billing_line(system->as_string());
  } else if (system->is_array()) {
    TRY(auto blocks, fields.find_objects("system"));
    for (Fields& block : blocks) {
      std::string type = "text";
      TRY_STATUS(block.read("type", type));
      TRY(std::string text, block.require_string("text"));
      TRY_STATUS(block.ignore({"cache_control", "citations"}));
      if (&block == &blocks.front()) text = without_billing_line(text);
      if (!text.empty()) joined += (joined.empty() ? "" : "\n\n") + text;
    }
  } else {
    return fields.wrong("system", "string or array of text blocks");
  }
  if (joined.empty()) return {};
  ChatMessage message;
  message.role = "system";
  message.content.push_back(text_part(std::move(joined)));
  messages.push_back(std::move(message));
  return {};
}

// {"type": "base64", "media_type", "data"} or {"type": "url", "url"}.
Result<ContentPart> read_image(Fields& block, const MediaSource& media) {
  TRY(auto source, block.find_object("source"));
  if (!source) return block.wrong("source", "object");
  TRY(const std::string type, source->require_string("type"));
  TRY_STATUS(source->ignore({"media_type"}));
  if (type == "base64") {
    TRY(const std::string data, source->require_string("data"));
    TRY(auto bytes, MediaSource::from_base64(data, source->path_of("data")));
    return media_part(ContentPart::Kind::kImage, std::move(bytes));
  }
  if (type == "url") {
    TRY(const std::string url, source->require_string("url"));
    TRY(auto bytes, media.from_url(url, "image", source->path_of("url")));
    return media_part(ContentPart::Kind::kImage, std::move(bytes));
  }
  return bad_input("{}: expected base64 or url, found {}", source->path_of("type"),
                   in_quotes(type));
}

// A document whose source is text.
Result<ContentPart> read_document(Fields& block) {
  TRY(auto source, block.find_object("source"));
  if (!source) return block.wrong("source", "object");
  TRY(const std::string type, source->require_string("type"));
  if (type != "text") {
    return bad_input("{}: only documents of plain text are supported, found {}",
                     source->path_of("type"), in_quotes(type));
  }
  TRY(std::string text, source->require_string("data"));
  TRY_STATUS(source->ignore({"media_type"}));
  return text_part(std::move(text));
}

// What was found for the model: its title, where it is from, and its text.
Result<ContentPart> read_search_result(Fields& block) {
  TRY(const std::string title, block.require_string("title"));
  TRY(const std::string source, block.require_string("source"));
  if (!block.find("content")) return block.wrong("content", "array of text blocks");
  std::string text = fmt::format("{}\nSource: {}\n\n", title, source);
  TRY(auto content, block.find_objects("content"));
  for (Fields& piece : content) {
    TRY(const std::string type, piece.require_string("type"));
    if (type != "text")
      return bad_input("{}: expected text, found {}", piece.path_of("type"), in_quotes(type));
    TRY_STATUS(piece.ignore({"cache_control", "citations"}));
    TRY(const std::string words, piece.require_string("text"));
    text += words + "\n";
  }
  return text_part(text + "\n");
}

// What Claude Code's search for tools finds. The tool itself is in the request, and so in the
// prompt, whether its loading is deferred or not.
Result<ContentPart> read_tool_reference(Fields& block) {
  TRY(const std::string name, block.require_string("tool_name"));
  return text_part(fmt::format("The tool {} is available.\n", name));
}

// A text, picture, document or find, of a user or of a tool.
Result<ContentPart> read_part_block(Fields& block, const std::string& type,
                                    const MediaSource& media) {
  TRY_STATUS(block.ignore({"cache_control", "citations"}));
  if (type == "text") {
    TRY(std::string text, block.require_string("text"));
    return text_part(std::move(text));
  }
  if (type == "image") return read_image(block, media);
  if (type == "document") return read_document(block);
  if (type == "search_result") return read_search_result(block);
  if (type == "tool_reference") return read_tool_reference(block);
  return bad_input("{}: expected text, image, document, search_result or tool_result, found {}",
                   block.path_of("type"), in_quotes(type));
}

Result<std::vector<ContentPart>> read_parts(Fields& fields, const MediaSource& media) {
  std::vector<ContentPart> parts;
  const Json* content = fields.find("content");
  if (!content) return parts;
  if (content->is_string()) {
    parts.push_back(text_part(content->as_string()));
    return parts;
  }
  if (!content->is_array()) return fields.wrong("content", "string or array of blocks");
  TRY(auto blocks, fields.find_objects("content"));
  for (Fields& block : blocks) {
    TRY(const std::string type, block.require_string("type"));
    TRY(ContentPart part, read_part_block(block, type, media));
    parts.push_back(std::move(part));
  }
  return parts;
}

// A user's turn may hold tool results, which are messages of their own to the template.
Status read_user_blocks(Fields& fields, const MediaSource& media,
                        std::vector<ChatMessage>& messages) {
  const auto is_user = [&] { return !messages.empty() && messages.back().content_is_parts; };
  const size_t before = messages.size();
  TRY(auto blocks, fields.find_objects("content"));
  if (blocks.empty())
    return bad_input("{}: expected at least one block, found none", fields.path_of("content"));
  for (Fields& block : blocks) {
    TRY(const std::string type, block.require_string("type"));
    if (type == "tool_result") {
      ChatMessage result;
      result.role = "tool";
      TRY_STATUS(block.read("tool_use_id", result.tool_call_id));
      TRY(result.content, read_parts(block, media));
      TRY_STATUS(block.ignore({"cache_control"}));
      bool is_error = false;
      TRY_STATUS(block.read("is_error", is_error));
      if (is_error && result.content.empty()) result.content.push_back(text_part("error"));
      messages.push_back(std::move(result));
      continue;
    }
    TRY(ContentPart part, read_part_block(block, type, media));
    if (messages.size() == before || !is_user()) {
      messages.emplace_back();
      messages.back().role = "user";
      messages.back().content_is_parts = true;
    }
    messages.back().content.push_back(std::move(part));
  }
  return {};
}

Status read_assistant_block(Fields& block, ChatMessage& message) {
  TRY(const std::string type, block.require_string("type"));
  TRY_STATUS(block.ignore({"cache_control", "citations", "signature", "caller"}));
  if (type == "text") {
    TRY(std::string text, block.require_string("text"));
    message.content.push_back(text_part(std::move(text)));
  } else if (type == "thinking") {
    TRY(const std::string thought, block.require_string("thinking"));
    message.reasoning_content = message.reasoning_content.value_or("") + thought;
  } else if (type == "tool_use") {
    text::ToolCall call;
    TRY_STATUS(block.read("id", call.id));
    TRY(call.name, block.require_string("name"));
    TRY(const Json* input, block.find_map("input"));
    call.arguments = input ? *input : Json::object();
    message.tool_calls.push_back(std::move(call));
  } else {
    block.ignore_rest();
    if (type == "redacted_thinking") return {};
    log_info("{}: {}: a block of type {} is ignored", kRoute, block.path(), in_quotes(type));
  }
  return {};
}

Status read_message(Fields& fields, const MediaSource& media, std::vector<ChatMessage>& messages) {
  TRY(const std::string role, fields.require_string("role"));
  if (role != "user" && role != "assistant" && role != "system") {
    return bad_input("{}: expected user, assistant or system, found {}", fields.path_of("role"),
                     in_quotes(role));
  }
  const Json* content = fields.find("content");
  if (!content || (!content->is_string() && !content->is_array()))
    return fields.wrong("content", "string or array of blocks");
  if (content->is_array() && role == "user") return read_user_blocks(fields, media, messages);
  ChatMessage message;
  message.role = role;
  if (content->is_string()) {
    message.content.push_back(text_part(content->as_string()));
  } else if (role == "system") {
    TRY(message.content, read_parts(fields, media));
  } else {
    TRY(auto blocks, fields.find_objects("content"));
    for (Fields& block : blocks) TRY_STATUS(read_assistant_block(block, message));
  }
  messages.push_back(std::move(message));
  return {};
}

Status read_all_messages(Fields& fields, const MediaSource& media,
                         std::vector<ChatMessage>& messages) {
  const Json* list = fields.find("messages");
  if (!list || !list->is_array()) return fields.wrong("messages", "array");
  if (list->items().empty())
    return bad_input("messages: expected at least one message, found none");
  TRY(auto said, fields.find_objects("messages"));
  for (Fields& one : said) TRY_STATUS(read_message(one, media, messages));
  return {};
}

// {name, description, input_schema} → as the templates take them. Tools that Anthropic's own
// servers would run are left out.
Status read_messages_tools(Fields& fields, std::vector<Json>& tools) {
  TRY(auto list, fields.find_objects("tools"));
  for (Fields& tool : list) {
    std::string type = "custom";
    TRY_STATUS(tool.read("type", type));
    if (type != "custom") {
      TRY_STATUS(leave_out_tool(tool, kRoute, type));
      continue;
    }
    TRY(Json function, read_flat_function(tool, "input_schema"));
    TRY_STATUS(tool.ignore({"cache_control", "eager_input_streaming", "defer_loading",
                            "allowed_callers", "input_examples"}));
    tools.push_back(std::move(function));
  }
  return {};
}

Status read_choice(Fields& fields, engine::GenerationRequest& request) {
  TRY(auto choice, fields.find_object("tool_choice"));
  if (!choice) return {};
  TRY(const std::string type, choice->require_string("type"));
  const Json word = value(type == "any" ? "required" : type);
  const Json named = Json::object();
  TRY_STATUS(apply_tool_choice(type == "tool" ? &named : &word, "tool_choice.type", request.tools));
  bool one_call = false;
  TRY_STATUS(choice->ignore({"name"}));
  TRY_STATUS(choice->read("disable_parallel_tool_use", one_call));
  if (one_call) request.max_tool_calls = 1;
  return {};
}

// Off unless asked for. Adaptive thinking takes its budget from output_config.effort.
Status read_messages_thinking(Fields& fields, engine::GenerationRequest& request) {
  request.thinking = engine::Thinking::kOff;
  std::optional<std::string> effort;
  TRY(auto output, fields.find_object("output_config"));
  if (output) {
    TRY_STATUS(output->read("effort", effort));
    engine::GenerationRequest unused;  // a wrong word is told also where nothing is thought
    if (effort) TRY_STATUS(apply_effort(*effort, output->path_of("effort"), unused));
    TRY_STATUS(check_response_format(*output, "format"));
  }
  TRY_STATUS(check_response_format(fields, "output_format"));
  TRY(auto thinking, fields.find_object("thinking"));
  if (!thinking) return {};
  TRY(const std::string type, thinking->require_string("type"));
  TRY_STATUS(thinking->ignore({"display"}));
  if (type == "disabled") return {};
  if (type != "enabled" && type != "adaptive") {
    return bad_input("thinking.type: expected enabled, adaptive or disabled, found {}",
                     in_quotes(type));
  }
  request.thinking = engine::Thinking::kOn;
  if (effort) TRY_STATUS(apply_effort(*effort, "output_config.effort", request));
  return thinking->read("budget_tokens", request.thinking_budget, 0, 1 << 24);
}

Result<MessagesCall> read_call(const Api& api, std::string_view body) {
  TRY(const Json json, parse_body(body));
  TRY(Fields fields, Fields::of(json, ""));
  MessagesCall call;
  engine::GenerationRequest& request = call.request;
  TRY_STATUS(fields.read("model", call.model));
  TRY_STATUS(read_system(fields, request.messages));
  TRY_STATUS(read_all_messages(fields, api.media, request.messages));
  TRY_STATUS(read_messages_tools(fields, request.tools));
  TRY_STATUS(read_choice(fields, request));
  TRY_STATUS(read_messages_thinking(fields, request));
  TRY_STATUS(continue_last_message(request));
  TRY_STATUS(read_sampling(fields, request.sampling));
  TRY_STATUS(fields.read("max_tokens", request.max_tokens, 1, 1 << 24));
  TRY_STATUS(fields.read("stop_sequences", request.stop));
  TRY_STATUS(fields.read("stream", call.stream));
  TRY_STATUS(fields.ignore({"metadata", "service_tier", "cache_control", "container", "mcp_servers",
                            "betas", "context_management", "inference_geo", "speed"}));
  fields.note_unknown(kRoute);
  return call;
}

// Tokens that were reused are not counted as input, as with Anthropic's own caches.
Json usage_json(const engine::Usage& usage) {
  return Json::object({{"input_tokens", value(usage.prompt_tokens - usage.reused_tokens)},
                       {"cache_creation_input_tokens", value(0)},
                       {"cache_read_input_tokens", value(usage.reused_tokens)},
                       {"output_tokens", value(usage.completion_tokens)}});
}

const char* stop_reason(const Event& done) {
  switch (done.finish) {
    case FinishReason::kStopString:
      return "stop_sequence";
    case FinishReason::kLength:
      return "max_tokens";
    case FinishReason::kToolCalls:
      return "tool_use";
    default:
      return "end_turn";
  }
}

Json stop_sequence(const Event& done) {
  return done.finish == FinishReason::kStopString ? value(done.stop_string) : Json();
}

class MessagesFormat final : public AnswerFormat {
 public:
  MessagesFormat(std::string model, std::string request)
      : model_(std::move(model)), request_(std::move(request)), id_(new_id("msg_")) {}

  std::string event(int, const Event& event) override {
    // What is reused is known with the first tokens that were computed.
    if (event.kind == Event::Kind::kPromptProgress && event.done == 0) return {};
    if (!std::exchange(started_, true)) start_message(event.usage);
    switch (event.kind) {
      case Event::Kind::kPromptProgress:
        emit("ping", {});
        break;
      case Event::Kind::kReasoning:
        open(Block::kThinking);
        add("thinking_delta", "thinking", event.text);
        break;
      case Event::Kind::kContent:
        open(Block::kText);
        add("text_delta", "text", event.text);
        break;
      case Event::Kind::kToolCallBegin:
        close();
        open_call(event.text);
        break;
      case Event::Kind::kToolArguments:
        add("input_json_delta", "partial_json", event.text);
        break;
      case Event::Kind::kToolCallEnd:
        close();
        break;
      case Event::Kind::kDone:
        close();
        end_message(event);
        break;
      default:
        break;
    }
    return std::exchange(out_, {});
  }

  std::string keep_alive() override {
    if (!started_) return AnswerFormat::keep_alive();  // no event comes before message_start
    emit("ping", {});
    return std::exchange(out_, {});
  }

  std::string error(int status, const std::string& message) override {
    const std::string body = error_body(Dialect::kAnthropic, status, message, request_);
    return "event: error\ndata: " + body + "\n\n";
  }

  std::string_view call_id_prefix() const override { return "toolu_"; }

  HttpReply whole(std::vector<Answer>& answers) override {
    const Answer& answer = answers.front();
    Json::Array content;
    if (!answer.reasoning.empty()) {
      content.push_back(Json::object({{"type", value("thinking")},
                                      {"thinking", value(answer.reasoning)},
                                      {"signature", value(kSignature)}}));
    }
    if (!answer.content.empty())
      content.push_back(Json::object({{"type", value("text")}, {"text", value(answer.content)}}));
    for (const CalledTool& call : answer.calls) {
      auto input = checkpoint::parse_json(call.arguments);  // cut short by max_tokens: not JSON
      content.push_back(Json::object({{"type", value("tool_use")},
                                      {"id", value(call.id)},
                                      {"name", value(call.name)},
                                      {"input", input ? std::move(*input) : Json::object()}}));
    }
    Json message = head(std::move(content));
    message.set("stop_reason", value(stop_reason(answer.done)));
    message.set("stop_sequence", stop_sequence(answer.done));
    Json usage = usage_json(answer.done.usage);
    usage.set("godwit", godwit_extension(answer.done));
    message.set("usage", std::move(usage));
    return json_reply(message);
  }

 private:
  enum class Block { kNone, kThinking, kText, kTool };

  Json head(Json::Array content) const {
    return Json::object({{"id", value(id_)},
                         {"type", value("message")},
                         {"role", value("assistant")},
                         {"model", value(model_)},
                         {"content", Json::array(std::move(content))},
                         {"stop_reason", Json()},
                         {"stop_sequence", Json()}});
  }

  // An event: {"type": its name, …}.
  void emit(const char* name, Json::Object members) {
    members.insert(members.begin(), {"type", value(name)});
    out_ += sse(name, Json::object(std::move(members)));
  }

  void start_message(const engine::Usage& usage) {
    Json message = head({});
    message.set("usage", usage_json(usage));
    emit("message_start", {{"message", std::move(message)}});
  }

  void start_block(Block block, Json json) {
    block_ = block;
    emit("content_block_start", {{"index", value(index_)}, {"content_block", std::move(json)}});
  }

  // Nothing if one of the kind is open.
  void open(Block block) {
    if (block_ == block) return;
    close();
    if (block == Block::kThinking) {
      start_block(block, Json::object({{"type", value("thinking")},
                                       {"thinking", value("")},
                                       {"signature", value("")}}));
    } else {
      start_block(block, Json::object({{"type", value("text")}, {"text", value("")}}));
    }
  }

  void open_call(const std::string& name) {
    start_block(Block::kTool, Json::object({{"type", value("tool_use")},
                                            {"id", value(new_id("toolu_"))},
                                            {"name", value(name)},
                                            {"input", Json::object()}}));
  }

  void add(const char* type, const char* key, const std::string& text) {
    emit("content_block_delta",
         {{"index", value(index_)},
          {"delta", Json::object({{"type", value(type)}, {key, value(text)}})}});
  }

  void close() {
    if (block_ == Block::kNone) return;
    if (block_ == Block::kThinking) add("signature_delta", "signature", kSignature);
    emit("content_block_stop", {{"index", value(index_)}});
    block_ = Block::kNone;
    ++index_;
  }

  void end_message(const Event& done) {
    Json usage = usage_json(done.usage);
    usage.set("godwit", godwit_extension(done));
    emit("message_delta", {{"delta", Json::object({{"stop_reason", value(stop_reason(done))},
                                                   {"stop_sequence", stop_sequence(done)}})},
                           {"usage", std::move(usage)}});
    emit("message_stop", {});
  }

  std::string model_, request_, id_;
  std::string out_;  // events not yet taken
  bool started_ = false;
  Block block_ = Block::kNone;
  int index_ = 0;  // of the open block, or of the next
};

HttpReply messages(const Api& api, const HttpRequest& http) {
  auto call = read_call(api, http.body);
  if (!call) return error_reply(Dialect::kAnthropic, call.error());
  auto model = api.models.use(call->model);
  if (!model) return error_reply(Dialect::kAnthropic, model.error());
  auto format = std::make_unique<MessagesFormat>(model->name, http.id);
  std::vector<engine::GenerationRequest> requests;
  requests.push_back(std::move(call->request));
  return generate(api, Dialect::kAnthropic, std::move(*model), std::move(requests),
                  std::move(format), call->stream ? Delivery::kStream : Delivery::kWhole);
}

HttpReply count_tokens(const Api& api, const HttpRequest& http) {
  auto call = read_call(api, http.body);
  if (!call) return error_reply(Dialect::kAnthropic, call.error());
  auto model = api.models.use(call->model);
  if (!model) return error_reply(Dialect::kAnthropic, model.error());
  const auto ids = model->engine->prompt_ids(call->request);
  if (!ids) return error_reply(Dialect::kAnthropic, ids.error());
  return json_reply(Json::object({{"input_tokens", value(static_cast<int64_t>(ids->size()))}}));
}

}  // namespace

std::vector<Route> anthropic_routes(const Api& api) {
  return {{"POST", "/v1/messages", [&api](const HttpRequest& http) { return messages(api, http); }},
          {"POST", "/v1/messages/count_tokens",
           [&api](const HttpRequest& http) { return count_tokens(api, http); }}};
}

}  // namespace godwit::server
