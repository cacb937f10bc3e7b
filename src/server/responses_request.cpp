// The body of /v1/responses → GenerationRequest. A list of items becomes messages: a thought, a
// text and calls that follow each other are one turn of the assistant.
#include <set>
#include <utility>

#include "base/log.h"
#include "base/visible.h"
#include "server/conversation.h"
#include "server/responses.h"

namespace godwit::server {
namespace {

using text::ChatMessage;

constexpr std::string_view kRoute = "/v1/responses";

class ItemReader {
 public:
  ItemReader(const Fields& body, const MediaSource& media, std::vector<ChatMessage>& messages)
      : body_(body), media_(media), messages_(messages) {}

  Status read(const Json& json, const std::string& path) {
    TRY(Fields item, body_.open(json, path));
    std::string type = "message";
    TRY_STATUS(item.read("type", type));
    TRY_STATUS(item.ignore({"id", "status", "phase"}));
    if (type == "message") return read_message(item);
    if (type == "reasoning") return read_reasoning(item);
    if (type == "function_call" || type == "custom_tool_call") return read_call(item, type);
    if (type == "function_call_output" || type == "custom_tool_call_output")
      return read_output(item);
    // What tools of OpenAI's own servers left, and marks of compaction.
    log_info("{}: {}: an item of type {} is ignored", kRoute, path, in_quotes(type));
    item.ignore_rest();
    return {};
  }

 private:
  // A string or a list of parts.
  Status read_content(Fields& item, std::string_view key, ChatMessage& message) {
    const Json* content = item.find(key);
    if (content && content->is_string()) {
      message.content.push_back(text_part(content->as_string()));
      return {};
    }
    if (!content || !content->is_array()) return item.wrong(key, "string or array of parts");
    message.content_is_parts = true;
    for (size_t i = 0; i < content->items().size(); ++i) {
      TRY(auto part, read_part(item, content->items()[i],
                               fmt::format("{}[{}]", item.path_of(key), i), media_));
      message.content.push_back(std::move(part));
    }
    return {};
  }

  Status read_message(Fields& item) {
    ChatMessage message;
    TRY(message.role, item.require_string("role"));
    if (message.role != "user" && message.role != "assistant" && message.role != "system" &&
        message.role != "developer") {
      return bad_input("{}: expected user, assistant, system or developer, found {}",
                       item.path_of("role"), in_quotes(message.role));
    }
    TRY_STATUS(read_content(item, "content", message));
    const bool joins = message.role == "assistant" && is_assistant() &&
                       messages_.back().content.empty() && messages_.back().tool_calls.empty();
    if (joins) {
      messages_.back().content = std::move(message.content);
    } else {
      messages_.push_back(std::move(message));
    }
    return {};
  }

  // The thought's own text, else its summary, else what we sent as encrypted_content.
  Status read_reasoning(Fields& item) {
    std::string thought;
    for (const std::string_view key : {"content", "summary"}) {
      TRY(auto parts, item.find_objects(key));
      if (!thought.empty()) continue;
      for (Fields& part : parts) {
        TRY_STATUS(part.require_string("type"));
        TRY(const std::string text, part.require_string("text"));
        thought += text;
      }
    }
    std::string encrypted;
    TRY_STATUS(item.read("encrypted_content", encrypted));
    if (thought.empty() && !encrypted.empty()) {
      const auto decoded = decode_base64(encrypted);  // another server's: not ours to read
      if (decoded && decoded->starts_with(kThoughtMark))
        thought = decoded->substr(kThoughtMark.size());
    }
    add_assistant().reasoning_content = std::move(thought);
    return {};
  }

  Status read_call(Fields& item, const std::string& type) {
    text::ToolCall call;
    TRY_STATUS(item.read("call_id", call.id));
    TRY(call.name, item.require_string("name"));
    if (type == "function_call") {
      std::string arguments;
      TRY_STATUS(item.read("arguments", arguments));
      call.arguments = arguments.empty() ? Json::object() : value(std::move(arguments));
    } else {
      TRY(std::string input, item.require_string("input"));
      call.arguments = Json::object({{"input", value(std::move(input))}});
    }
    ChatMessage& message = is_assistant() ? messages_.back() : add_assistant();
    message.tool_calls.push_back(std::move(call));
    return {};
  }

  Status read_output(Fields& item) {
    ChatMessage message;
    message.role = "tool";
    TRY_STATUS(item.read("call_id", message.tool_call_id));
    TRY_STATUS(read_content(item, "output", message));
    messages_.push_back(std::move(message));
    return {};
  }

  bool is_assistant() const { return !messages_.empty() && messages_.back().role == "assistant"; }
  ChatMessage& add_assistant() {
    messages_.emplace_back();
    messages_.back().role = "assistant";
    return messages_.back();
  }

  const Fields& body_;
  const MediaSource& media_;
  std::vector<ChatMessage>& messages_;
};

std::string_view id_prefix(const Json& item) {
  const Json* type = item.find("type");
  if (!type || !type->is_string() || type->as_string() == "message") return "msg_";
  if (type->as_string() == "reasoning") return "rs_";
  return type->as_string().ends_with("_output") ? "fco_" : "fc_";
}

// {"type": "item_reference", "id": …} stands for an item of a response that was stored: each once,
// so that a small request does not become a large one.
class ReferenceReader {
 public:
  explicit ReferenceReader(ResponseStore& store) : store_(store) {}

  // The item itself if it is none.
  Result<Json> follow(const Json& item, const std::string& path) {
    const Json* type = item.find("type");
    if (!type || !type->is_string() || type->as_string() != "item_reference") return item;
    TRY(Fields fields, Fields::of(item, path));
    TRY(const std::string id, fields.require_string("id"));
    if (!followed_.insert(id).second)
      return bad_input("{}: item {} is referred to twice", path, in_quotes(id));
    const auto stored = store_.item(id);
    if (!stored)
      return bad_input("{}: item {} was not stored, or is no longer; send the item itself", path,
                       in_quotes(id));
    bytes_ += stored->dump().size();
    return *stored;
  }
  size_t bytes() const { return bytes_; }

 private:
  ResponseStore& store_;
  std::set<std::string> followed_;
  size_t bytes_ = 0;
};

Status read_input(Fields& fields, const MediaSource& media, ResponseStore& store,
                  ResponsesCall& call) {
  const Json* input = fields.find("input");
  if (!input) return {};
  if (input->is_string()) {
    ChatMessage message;
    message.role = "user";
    message.content.push_back(text_part(input->as_string()));
    call.messages.push_back(std::move(message));
    Json part = Json::object({{"type", value("input_text")}, {"text", *input}});
    call.input.push_back(Json::object({{"id", value(new_id("msg_"))},
                                       {"type", value("message")},
                                       {"role", value("user")},
                                       {"content", Json::array({std::move(part)})}}));
    return {};
  }
  if (!input->is_array()) return fields.wrong("input", "string or array of items");
  ItemReader reader(fields, media, call.messages);
  ReferenceReader references(store);
  for (size_t i = 0; i < input->items().size(); ++i) {
    const std::string path = fmt::format("input[{}]", i);
    TRY(Json item, references.follow(input->items()[i], path));
    TRY_STATUS(reader.read(item, path));
    const Json* id = item.find("id");
    if (!id || !id->is_string()) item.set("id", value(new_id(id_prefix(item))));
    if (!item.find("type")) item.set("type", value("message"));
    call.input.push_back(std::move(item));
  }
  call.referenced_bytes = references.bytes();
  return {};
}

// {type: function, name, description, parameters} → as the templates take them. Tools that OpenAI's
// own servers would run, and those that take free text, are left out.
Status read_responses_tools(Fields& fields, std::vector<Json>& tools) {
  TRY(auto list, fields.find_objects("tools"));
  for (Fields& tool : list) {
    TRY(const std::string type, tool.require_string("type"));
    if (std::string_view(type) != "function") {
      TRY_STATUS(leave_out_tool(tool, kRoute, type));
      continue;
    }
    TRY(Json function, read_flat_function(tool, "parameters"));
    tools.push_back(std::move(function));
  }
  return {};
}

Status read_reasoning_options(Fields& fields, ResponsesCall& call) {
  TRY_STATUS(read_thinking(fields, call.request));
  TRY(auto reasoning, fields.find_object("reasoning"));
  if (!reasoning) return {};
  std::optional<std::string> effort, summary;
  TRY_STATUS(reasoning->read("effort", effort));
  TRY_STATUS(reasoning->read("generate_summary", summary));
  TRY_STATUS(reasoning->read("summary", summary));
  call.summaries = summary && *summary != "none";
  if (effort) return apply_effort(*effort, "reasoning.effort", call.request);
  return {};
}

// What this server cannot do, and what must not be ignored in silence.
Status refuse_unsupported(Fields& fields) {
  bool background = false;
  TRY_STATUS(fields.read("background", background));
  if (background) return bad_input("background: answers in the background are not supported");
  for (const std::string_view key : {"conversation", "prompt"}) {
    if (fields.find(key))
      return bad_input("{}: not supported; send instructions and input, or previous_response_id",
                       key);
  }
  TRY(auto text, fields.find_object("text"));
  if (!text) return {};
  TRY_STATUS(text->ignore({"verbosity"}));
  return check_response_format(*text, "format");
}

Status read_logprobs(Fields& fields, ResponsesCall& call) {
  std::vector<std::string> include;
  TRY_STATUS(fields.read("include", include));
  int top = 0;
  TRY_STATUS(fields.read("top_logprobs", top, 0, 20));
  for (const std::string& what : include) {
    if (what == "reasoning.encrypted_content") call.encrypted = true;
    if (what == "message.output_text.logprobs") call.logprobs = true;
  }
  if (call.logprobs) call.request.logprobs = top;
  return {};
}

// Instructions, the turns before, this request's items.
Status join_messages(Fields& fields, ResponseStore& store, ResponsesCall& call) {
  std::vector<ChatMessage>& messages = call.request.messages;
  std::string instructions;
  TRY_STATUS(fields.read("instructions", instructions));
  if (!instructions.empty()) {
    messages.emplace_back();
    messages.back().role = "system";
    messages.back().content.push_back(text_part(std::move(instructions)));
  }
  TRY_STATUS(fields.read("previous_response_id", call.previous));
  if (!call.previous.empty()) {
    TRY(const StoredTurns turns, store.conversation(call.previous));
    for (const auto& turn : turns)
      messages.insert(messages.end(), turn->messages.begin(), turn->messages.end());
  }
  messages.insert(messages.end(), call.messages.begin(), call.messages.end());
  if (messages.empty())
    return fields.wrong("input", "string or array of items with at least one message");
  return {};
}

Json echo_of(const Json& body) {
  const auto given = [&](std::string_view key, Json otherwise) {
    const Json* found = body.find(key);
    return found && !found->is_null() ? *found : std::move(otherwise);
  };
  Json reasoning = Json::object({{"effort", Json()}, {"summary", Json()}});
  if (const Json* found = body.find("reasoning"); found && found->is_object()) {
    for (const char* key : {"effort", "summary"})
      if (const Json* member = found->find(key)) reasoning.set(key, *member);
  }
  const Json format = Json::object({{"format", Json::object({{"type", value("text")}})}});
  return Json::object({{"instructions", given("instructions", {})},
                       {"max_output_tokens", given("max_output_tokens", {})},
                       {"metadata", given("metadata", Json::object())},
                       {"parallel_tool_calls", given("parallel_tool_calls", value(true))},
                       {"previous_response_id", given("previous_response_id", {})},
                       {"reasoning", std::move(reasoning)},
                       {"temperature", given("temperature", {})},
                       {"text", format},
                       {"tool_choice", given("tool_choice", value("auto"))},
                       {"tools", given("tools", Json::array())},
                       {"top_p", given("top_p", {})},
                       {"truncation", value("disabled")}});
}

}  // namespace

Result<ResponsesCall> read_responses_call(const Api& api, ResponseStore& store,
                                          std::string_view body) {
  TRY(const Json json, parse_body(body));
  TRY(Fields fields, Fields::of(json, ""));
  ResponsesCall call;
  TRY_STATUS(fields.read("model", call.model));
  TRY_STATUS(refuse_unsupported(fields));
  TRY_STATUS(refuse_constraints(fields));
  TRY_STATUS(read_input(fields, api.media, store, call));
  TRY_STATUS(join_messages(fields, store, call));
  TRY_STATUS(read_responses_tools(fields, call.request.tools));
  TRY_STATUS(apply_tool_choice(fields.find("tool_choice"), "tool_choice", call.request.tools));
  TRY_STATUS(read_parallel_calls(fields, call.request));
  TRY_STATUS(read_sampling(fields, call.request.sampling));
  TRY_STATUS(read_reasoning_options(fields, call));
  TRY_STATUS(read_logprobs(fields, call));
  TRY_STATUS(fields.read("max_output_tokens", call.request.max_tokens, 1, 1 << 24));
  TRY_STATUS(fields.read("stream", call.stream));
  TRY_STATUS(fields.read("store", call.store));
  TRY_STATUS(fields.ignore({"user", "metadata", "service_tier", "truncation", "safety_identifier",
                            "max_tool_calls", "stream_options", "client_metadata",
                            "prompt_cache_key", "prompt_cache_retention"}));
  fields.note_unknown(kRoute);
  call.echo = echo_of(json);
  return call;
}

}  // namespace godwit::server
