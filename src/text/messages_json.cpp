// messages_from_json: the chat-completions shape, as clients of many kinds write it.
//
// What a template itself would refuse (an unknown role, an unknown part, content that is a number)
// is kept for the renderers, whose errors differ; what no conversation can mean is refused here
// with its path.
#include <fmt/format.h>

#include "base/visible.h"
#include "text/chat_template.h"

namespace godwit::text {
namespace {

std::string describe(const Json* json) {
  if (!json) return "nothing";
  switch (json->kind()) {
    case Json::Kind::kNull:
      return "null";
    case Json::Kind::kBool:
      return json->as_bool() ? "true" : "false";
    case Json::Kind::kNumber:
      return "a number";
    case Json::Kind::kString:
      return "a string";
    case Json::Kind::kArray:
      return "a list";
    case Json::Kind::kObject:
      return "an object";
  }
  return "nothing";
}

// A part that is a bare string is searched for the keys, as the templates do: they ask Python for
// `'text' in item`.
ContentPart part_from_json(const Json& json) {
  const Json* type = json.find("type");
  const std::string_view name = type && type->is_string() ? type->as_string() : std::string_view();
  const auto has = [&](std::string_view key) {
    return json.is_string() ? json.as_string().find(key) != std::string::npos
                            : json.find(key) != nullptr;
  };
  if (has("image") || has("image_url") || name == "image" || name == "input_image")
    return {ContentPart::Kind::kImage, {}, nullptr};
  if (has("video") || has("video_url") || name == "video")
    return {ContentPart::Kind::kVideo, {}, nullptr};
  if (has("text")) {
    const Json* text = json.find("text");
    return {ContentPart::Kind::kText, text ? python_str(*text) : std::string(), nullptr};
  }
  const std::string found = !json.is_object() ? describe(&json)
                            : name.empty()    ? "an object without a type"
                                              : fmt::format("type {}", in_quotes(name));
  return {ContentPart::Kind::kUnknown, found, nullptr};
}

void read_content(const Json* content, ChatMessage& message) {
  if (!content || content->is_null()) {
    message.content_is_null = true;
  } else if (content->is_string()) {
    message.content.push_back({ContentPart::Kind::kText, content->as_string(), nullptr});
  } else if (content->is_array()) {
    message.content_is_parts = true;
    for (const Json& part : content->items()) message.content.push_back(part_from_json(part));
  } else {
    message.content.push_back({ContentPart::Kind::kUnknown, describe(content), nullptr});
  }
}

// `reasoning_content`; if that is missing or null, `reasoning`, then `thinking`.
void read_reasoning(const Json& json, ChatMessage& message) {
  for (const char* key : {"reasoning_content", "reasoning", "thinking"}) {
    const Json* value = json.find(key);
    if (!value || value->is_null()) continue;
    if (value->is_string()) message.reasoning_content = value->as_string();
    return;
  }
}

// {"id", "type", "function": {"name", "arguments"}} or {"name", "arguments"}.
Result<ToolCall> call_from_json(const Json& json, const std::string& path) {
  if (!json.is_object())
    return bad_input("{}: expected a tool call as an object, found {}", path, describe(&json));
  const Json* inner = json.find("function");
  const Json& function = inner ? *inner : json;
  const Json* name = function.find("name");
  if (!name || !name->is_string())
    return bad_input("{}.name: expected a string, found {}", path, describe(name));
  ToolCall call;
  if (const Json* id = json.find("id"); id && id->is_string()) call.id = id->as_string();
  call.name = name->as_string();
  const Json* arguments = function.find("arguments");
  call.arguments = arguments ? *arguments : Json::object();
  return call;
}

Result<ChatMessage> message_from_json(const Json& json, const std::string& path) {
  if (!json.is_object())
    return bad_input("{}: expected an object, found {}", path, describe(&json));
  ChatMessage message;
  if (const Json* role = json.find("role"); role && role->is_string())
    message.role = role->as_string();
  read_content(json.find("content"), message);
  read_reasoning(json, message);
  // The templates take a list only: an object or null means no calls.
  if (const Json* calls = json.find("tool_calls"); calls && calls->is_array()) {
    for (size_t i = 0; i < calls->items().size(); ++i) {
      TRY(ToolCall call,
          call_from_json(calls->items()[i], fmt::format("{}.tool_calls[{}]", path, i)));
      message.tool_calls.push_back(std::move(call));
    }
  }
  if (const Json* id = json.find("tool_call_id"); id && id->is_string())
    message.tool_call_id = id->as_string();
  return message;
}

}  // namespace

std::string python_str(const Json& value) {
  switch (value.kind()) {
    case Json::Kind::kNull:
      return "None";
    case Json::Kind::kBool:
      return value.as_bool() ? "True" : "False";
    case Json::Kind::kString:
      return value.as_string();
    default:
      return value.dump_python();
  }
}

Result<std::vector<ChatMessage>> messages_from_json(const Json& messages) {
  if (!messages.is_array())
    return bad_input("messages: expected a list, found {}", describe(&messages));
  std::vector<ChatMessage> read;
  for (size_t i = 0; i < messages.items().size(); ++i) {
    TRY(ChatMessage message,
        message_from_json(messages.items()[i], fmt::format("messages[{}]", i)));
    read.push_back(std::move(message));
  }
  return read;
}

}  // namespace godwit::text
