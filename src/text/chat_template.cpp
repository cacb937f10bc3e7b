// The four templates, written once: Rules says where they differ.
//
//   system        <|im_start|>system ⏎ [effort] [tools] [text] <|im_end|> ⏎
//   user          <|im_start|>user ⏎ content <|im_end|> ⏎
//   assistant     <|im_start|>assistant ⏎ [thought] content [calls] <|im_end|> ⏎
//   tool results  <|im_start|>user { ⏎ <tool_response> ⏎ content ⏎ </tool_response> } <|im_end|> ⏎
//   generation    <|im_start|>assistant ⏎ <think> ⏎ [⏎ </think> ⏎ ⏎]
//   thought       <think> ⏎ reasoning ⏎ </think> ⏎ ⏎
//
// Reasoning is written for the turns after the last question of the user, and for all turns where
// `preserve_thinking` says so. Rendering itself cannot fail: the strict and the tolerant entry
// check (and mend) first.
#include "text/chat_template.h"

#include <algorithm>
#include <numeric>

#include "base/visible.h"
#include "text/template_strings.h"
#include "text/trim.h"

namespace godwit::text {
namespace {

using Boundary = PromptPiece::Boundary;
using Kind = PromptPiece::Kind;

struct Rules {
  bool thinks_unless_told = true;  // else only if enable_thinking is true
  bool json_scalars = false;       // true, null, 1.5 in arguments; else True, None, 1.5
  bool splits_content = true;      // reasoning is taken out of content that has </think>
  bool keeps_reasoning_if_told = false;
  bool keeps_reasoning = false;  // unless preserve_thinking is false
  bool has_effort = false;       // a sentence on reasoning effort while thinking is on
  bool drops_empty_system = false;
  bool takes_empty_arguments = false;  // "" is no arguments
};

Rules rules_of(TemplateVersion version) {
  Rules rules;
  switch (version) {
    case TemplateVersion::kQwen35:
      break;
    case TemplateVersion::kQwen35Small:
      rules.thinks_unless_told = false;
      break;
    case TemplateVersion::kQwen36:
      rules.json_scalars = true;
      rules.keeps_reasoning_if_told = true;
      break;
    case TemplateVersion::kQwen38:
      rules.json_scalars = true;
      rules.splits_content = false;
      rules.keeps_reasoning = true;
      rules.has_effort = true;
      rules.drops_empty_system = true;
      rules.takes_empty_arguments = true;
      break;
  }
  return rules;
}

bool kwarg_is(const TemplateOptions& options, std::string_view name, bool value) {
  const Json* found = options.kwargs.find(name);
  return found && found->is_bool() && found->as_bool() == value;
}

// As Python decides it: null, false, 0, "" and empty containers are false.
bool kwarg_is_truthy(const TemplateOptions& options, std::string_view name) {
  const Json* found = options.kwargs.find(name);
  if (!found) return false;
  switch (found->kind()) {
    case Json::Kind::kNull:
      return false;
    case Json::Kind::kBool:
      return found->as_bool();
    case Json::Kind::kNumber:
      return found->as_double() != 0;
    case Json::Kind::kString:
      return !found->as_string().empty();
    case Json::Kind::kArray:
      return !found->items().empty();
    case Json::Kind::kObject:
      return !found->members().empty();
  }
  return false;
}

Result<std::string_view> effort_sentence(const Rules& rules, const TemplateOptions& options) {
  const Json* thinking = options.kwargs.find("enable_thinking");
  if (!rules.has_effort || (thinking && !kwarg_is(options, "enable_thinking", true)))
    return std::string_view();
  const Json* found = options.kwargs.find("reasoning_effort");
  const std::string effort = found && !found->is_null() ? python_str(*found) : "xhigh";
  if (effort == "xhigh") return kEffortXhigh;
  if (effort == "medium") return std::string_view();
  if (effort == "low") return kEffortLow;
  return bad_input(
      "Unexpected reasoning effort {}. Supported types are xhigh (default), medium, and low.",
      effort);
}

// The content of one message as the template prints it, and which ranges of it are not the
// author's.
struct Content {
  struct Mark {
    size_t begin, end;
    Kind kind;
    int media_index;
  };
  std::string text;
  std::vector<Mark> marks;
};

// Counters over the whole conversation.
struct MediaCount {
  int media = 0, pictures = 0, clips = 0;
};

Content flatten(const ChatMessage& message, bool number_media, MediaCount& count) {
  Content content;
  const auto mark = [&](std::string_view text, Kind kind, int media_index) {
    const size_t begin = content.text.size();
    content.text += text;
    content.marks.push_back({begin, content.text.size(), kind, media_index});
  };
  for (const ContentPart& part : message.content) {
    switch (part.kind) {
      case ContentPart::Kind::kText:
        content.text += part.text;
        break;
      case ContentPart::Kind::kImage:
        ++count.pictures;
        if (number_media) mark(fmt::format("Picture {}: ", count.pictures), Kind::kMarkup, -1);
        mark(kPictureTriple, Kind::kImage, count.media++);
        break;
      case ContentPart::Kind::kVideo:
        ++count.clips;
        if (number_media) mark(fmt::format("Video {}: ", count.clips), Kind::kMarkup, -1);
        mark(kClipTriple, Kind::kVideo, count.media++);
        break;
      case ContentPart::Kind::kUnknown:
        break;  // refused before
    }
  }
  return content;
}

// A user message that only carries a tool's answer is no question.
bool is_question(const ChatMessage& message) {
  if (message.role != "user") return false;
  MediaCount unused;
  const Content content = flatten(message, false, unused);
  const std::string_view text = trim(content.text);
  return !(text.starts_with("<tool_response>") && text.ends_with("</tool_response>"));
}

// -1 if there is none.
int last_question(const std::vector<ChatMessage>& messages) {
  for (int i = static_cast<int>(messages.size()) - 1; i >= 0; --i)
    if (is_question(messages[i])) return i;
  return -1;
}

class Renderer {
 public:
  Renderer(const Rules& rules, const TemplateOptions& options, std::string_view effort)
      : rules_(rules),
        options_(options),
        effort_(effort),
        number_media_(options.add_vision_id || kwarg_is_truthy(options, "add_vision_id")) {}

  // places[i]: the index that the caller knows messages[i] by.
  RenderedPrompt render(const std::vector<ChatMessage>& messages, const std::vector<int>& places,
                        const std::vector<Json>& tools) {
    system_turn(messages, tools);
    const int question = last_question(messages);
    for (size_t i = 0; i < messages.size(); ++i) {
      const ChatMessage& message = messages[i];
      if (message.role == "system") continue;
      message_index_ = places[i];
      const Content content = flatten(message, number_media_, count_);
      if (message.role == "user") {
        markup("<|im_start|>user\n");
        quoted(content, trim(content.text));
        markup("<|im_end|>\n");
      } else if (message.role == "assistant") {
        assistant_turn(message, content, static_cast<int>(i) > question);
      } else {
        tool_result(content, i > 0 && messages[i - 1].role != "tool",
                    i + 1 == messages.size() || messages[i + 1].role != "tool");
      }
      mark_boundary(Boundary::kMessage);
    }
    if (options_.add_generation_prompt) generation_prompt();
    return std::move(prompt_);
  }

 private:
  void append(Kind kind, std::string_view text, int media_index = -1) {
    if (text.empty()) return;
    auto& pieces = prompt_.pieces;
    const bool joins = !pieces.empty() && pieces.back().kind == kind && media_index < 0 &&
                       pieces.back().boundary == Boundary::kNone &&
                       pieces.back().message_index == message_index_;
    if (joins) {
      pieces.back().text += text;
      return;
    }
    PromptPiece piece;
    piece.kind = kind;
    piece.text = text;
    piece.media_index = media_index;
    piece.message_index = message_index_;
    if (media_index >= 0) piece.boundary = Boundary::kMedia;
    pieces.push_back(std::move(piece));
  }
  void markup(std::string_view text) { append(Kind::kMarkup, text); }
  void quoted(std::string_view text) { append(Kind::kQuoted, text); }
  // `part` lies in content.text.
  void quoted(const Content& content, std::string_view part) {
    const size_t begin = part.data() - content.text.data(), end = begin + part.size();
    size_t at = begin;
    for (const Content::Mark& mark : content.marks) {
      if (mark.begin < at || mark.end > end) continue;
      quoted(std::string_view(content.text).substr(at, mark.begin - at));
      append(mark.kind, std::string_view(content.text).substr(mark.begin, mark.end - mark.begin),
             mark.media_index);
      at = mark.end;
    }
    quoted(std::string_view(content.text).substr(at, end - at));
  }
  void mark_boundary(Boundary boundary) {
    if (!prompt_.pieces.empty()) prompt_.pieces.back().boundary = boundary;
  }

  void system_turn(const std::vector<ChatMessage>& messages, const std::vector<Json>& tools) {
    const bool is_given = messages[0].role == "system";
    const Content content = is_given ? flatten(messages[0], false, count_) : Content();
    const std::string_view text = trim(content.text);
    const bool is_written = !tools.empty() || !effort_.empty() || !text.empty() ||
                            (is_given && !rules_.drops_empty_system);
    if (!is_written) return;
    markup("<|im_start|>system\n");
    markup(effort_);
    if (!tools.empty()) {
      if (!effort_.empty()) markup("\n\n");
      markup(kToolsBegin);
      for (const Json& tool : tools) {
        markup("\n");
        quoted(tool.dump_python());
      }
      markup(kToolsEnd);
    }
    if (!text.empty() && !(tools.empty() && effort_.empty())) markup("\n\n");
    quoted(text);
    markup("<|im_end|>\n");
    mark_boundary(Boundary::kSystem);
  }

  void assistant_turn(const ChatMessage& message, const Content& content, bool is_after_question) {
    std::string_view text = trim(content.text), reasoning;
    if (message.reasoning_content) {
      reasoning = trim(*message.reasoning_content);
    } else if (rules_.splits_content && text.find(kThinkEnd) != std::string_view::npos) {
      std::string_view before = text.substr(0, text.find(kThinkEnd));
      if (const size_t start = before.rfind(kThinkBegin); start != std::string_view::npos)
        before.remove_prefix(start + kThinkBegin.size());
      reasoning = trim(before);
      text.remove_prefix(text.rfind(kThinkEnd) + kThinkEnd.size());
      text.remove_prefix(std::min(text.find_first_not_of('\n'), text.size()));
    }
    const bool keeps =
        (rules_.keeps_reasoning_if_told && kwarg_is(options_, "preserve_thinking", true)) ||
        (rules_.keeps_reasoning && !kwarg_is(options_, "preserve_thinking", false));
    markup("<|im_start|>assistant\n");
    if (is_after_question || keeps) {
      markup("<think>\n");
      if (message.reasoning_content) {
        quoted(reasoning);
      } else if (!reasoning.empty()) {
        quoted(content, reasoning);
      }
      markup("\n</think>\n\n");
    }
    quoted(content, text);
    for (size_t i = 0; i < message.tool_calls.size(); ++i) {
      markup(i > 0 ? "\n" : text.empty() ? "" : "\n\n");
      tool_call(message.tool_calls[i]);
    }
    markup("<|im_end|>\n");
  }

  void tool_call(const ToolCall& call) {
    markup("<tool_call>\n<function=");
    quoted(call.name);
    markup(">\n");
    if (call.arguments.is_object()) {
      for (const auto& [name, value] : call.arguments.members()) {
        markup("<parameter=");
        quoted(name);
        markup(">\n");
        quoted(rules_.json_scalars && !value.is_string() ? value.dump_python() : python_str(value));
        markup("\n</parameter>\n");
      }
    }
    markup("</function>\n</tool_call>");
  }

  // Neighbouring results share one turn. (A result that opens the conversation has no opening of
  // its turn: the official templates leave it out.)
  void tool_result(const Content& content, bool opens_turn, bool closes_turn) {
    if (opens_turn) markup("<|im_start|>user");
    markup("\n<tool_response>\n");
    quoted(content, trim(content.text));
    markup("\n</tool_response>");
    if (closes_turn) markup("<|im_end|>\n");
  }

  void generation_prompt() {
    mark_boundary(Boundary::kGeneration);
    message_index_ = -1;
    prompt_.starts_in_thinking = rules_.thinks_unless_told
                                     ? !kwarg_is(options_, "enable_thinking", false)
                                     : kwarg_is(options_, "enable_thinking", true);
    markup("<|im_start|>assistant\n<think>\n");
    if (!prompt_.starts_in_thinking) markup("\n</think>\n\n");
  }

  const Rules& rules_;
  const TemplateOptions& options_;
  std::string_view effort_;
  bool number_media_;
  MediaCount count_;
  int message_index_ = -1;
  RenderedPrompt prompt_;
};

// The templates' own complaints about one content.
Status check_content(const ChatMessage& message, bool is_system) {
  for (const ContentPart& part : message.content) {
    if (part.kind == ContentPart::Kind::kUnknown) {
      return message.content_is_parts ? bad_input("Unexpected item type in content.")
                                      : bad_input("Unexpected content type.");
    }
    if (is_system && part.kind == ContentPart::Kind::kImage)
      return bad_input("System message cannot contain images.");
    if (is_system && part.kind == ContentPart::Kind::kVideo)
      return bad_input("System message cannot contain videos.");
  }
  return {};
}

// In the order in which the templates would stumble.
Status check_strictly(const Rules& rules, const std::vector<ChatMessage>& messages) {
  if (messages.empty()) {
    return bad_input(
        "Cannot apply chat template to an empty conversation. Provide at least one message.");
  }
  if (messages[0].role == "system") TRY_STATUS(check_content(messages[0], true));
  bool found_question = false;
  for (auto message = messages.rbegin(); message != messages.rend() && !found_question; ++message) {
    if (message->role != "user") continue;
    TRY_STATUS(check_content(*message, false));
    found_question = is_question(*message);
  }
  if (!found_question) return bad_input("No user query found in messages.");
  for (size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    TRY_STATUS(check_content(message, false));
    if (message.role == "system") {
      if (i > 0) return bad_input("System message must be at the beginning.");
    } else if (message.role != "user" && message.role != "assistant" && message.role != "tool") {
      return bad_input("Unexpected message role.");
    }
    if (message.role != "assistant") continue;
    for (const ToolCall& call : message.tool_calls) {
      const bool is_empty = call.arguments.is_string() && call.arguments.as_string().empty();
      if (!call.arguments.is_object() && !(is_empty && rules.takes_empty_arguments))
        return bad_input("Can only get item pairs from a mapping.");
    }
  }
  return {};
}

// A JSON string that holds an object is that object; nothing at all is no arguments. Anything else
// is shown to the model as it was, under the name `arguments`: a conversation goes on after a call
// that was cut short or malformed.
Json mended_arguments(const Json& arguments) {
  if (arguments.is_object()) return arguments;
  if (arguments.is_null()) return Json::object();
  if (arguments.is_string()) {
    if (trim(arguments.as_string()).empty()) return Json::object();
    auto parsed = checkpoint::parse_json(arguments.as_string());
    if (parsed && parsed->is_object()) return std::move(*parsed);
  }
  return Json::object({{"arguments", arguments}});
}

Status check_tolerantly(const ChatMessage& message, size_t index) {
  const std::string& role = message.role;
  const bool is_system = role == "system" || role == "developer";
  if (!is_system && role != "user" && role != "assistant" && role != "tool" && role != "function") {
    return bad_input(
        "messages[{}].role: expected system, developer, user, assistant or tool, found {}", index,
        in_quotes(role));
  }
  for (size_t i = 0; i < message.content.size(); ++i) {
    const ContentPart& part = message.content[i];
    if (part.kind == ContentPart::Kind::kUnknown && !message.content_is_parts) {
      return bad_input("messages[{}].content: expected a string or a list of parts, found {}",
                       index, part.text);
    }
    if (part.kind == ContentPart::Kind::kUnknown) {
      return bad_input("messages[{}].content[{}]: expected a text, image or video part, found {}",
                       index, i, part.text);
    }
    if (is_system && part.kind != ContentPart::Kind::kText) {
      return bad_input("messages[{}].content[{}]: expected text in a system message, found {}",
                       index, i, part.kind == ContentPart::Kind::kImage ? "an image" : "a video");
    }
  }
  return {};
}

// OpenAI's names for the efforts that the template knows under others.
void mend_effort(TemplateOptions& options) {
  const Json* effort = options.kwargs.find("reasoning_effort");
  if (!effort || !effort->is_string()) return;
  const std::string name = effort->as_string();
  if (name == "minimal") options.kwargs.set("reasoning_effort", Json::string("low"));
  if (name == "high" || name == "max")
    options.kwargs.set("reasoning_effort", Json::string("xhigh"));
}

}  // namespace

std::string_view template_name(TemplateVersion version) {
  switch (version) {
    case TemplateVersion::kQwen35:
      return "qwen3.5";
    case TemplateVersion::kQwen35Small:
      return "qwen3.5-small";
    case TemplateVersion::kQwen36:
      return "qwen3.6";
    case TemplateVersion::kQwen38:
      return "qwen3.8";
  }
  return "qwen3.5";
}

std::optional<TemplateVersion> find_template(std::string_view name) {
  for (const auto version : {TemplateVersion::kQwen35, TemplateVersion::kQwen35Small,
                             TemplateVersion::kQwen36, TemplateVersion::kQwen38})
    if (template_name(version) == name) return version;
  return std::nullopt;
}

std::string RenderedPrompt::text() const {
  std::string joined;
  for (const PromptPiece& piece : pieces) joined += piece.text;
  return joined;
}

Result<RenderedPrompt> render_strict(TemplateVersion version,
                                     const std::vector<ChatMessage>& messages,
                                     const std::vector<Json>& tools,
                                     const TemplateOptions& options) {
  const Rules rules = rules_of(version);
  TRY_STATUS(check_strictly(rules, messages));
  TRY(const std::string_view effort, effort_sentence(rules, options));
  std::vector<int> places(messages.size());
  std::iota(places.begin(), places.end(), 0);
  return Renderer(rules, options, effort).render(messages, places, tools);
}

Result<RenderedPrompt> render_tolerant(TemplateVersion version,
                                       const std::vector<ChatMessage>& messages,
                                       const std::vector<Json>& tools,
                                       const TemplateOptions& options) {
  if (messages.empty()) return bad_input("messages: expected at least one message, found none");
  std::vector<ChatMessage> mended;
  std::vector<int> places;
  std::string system;
  bool has_system = false;
  for (size_t i = 0; i < messages.size(); ++i) {
    TRY_STATUS(check_tolerantly(messages[i], i));
    ChatMessage message = messages[i];
    if (message.role == "system" || message.role == "developer") {
      MediaCount unused;
      const Content content = flatten(message, false, unused);
      const std::string_view text = trim(content.text);
      if (!system.empty() && !text.empty()) system += "\n\n";
      system += text;
      has_system = true;
      continue;
    }
    if (message.role == "function") message.role = "tool";  // its name before tools came
    for (ToolCall& call : message.tool_calls) call.arguments = mended_arguments(call.arguments);
    mended.push_back(std::move(message));
    places.push_back(static_cast<int>(i));
  }
  if (has_system) {
    ChatMessage first;
    first.role = "system";
    first.content.push_back({ContentPart::Kind::kText, std::move(system), nullptr});
    mended.insert(mended.begin(), std::move(first));
    places.insert(places.begin(), -1);
  }
  TemplateOptions mended_options = options;
  mend_effort(mended_options);
  const Rules rules = rules_of(version);
  TRY(const std::string_view effort, effort_sentence(rules, mended_options));
  return Renderer(rules, mended_options, effort).render(mended, places, tools);
}

}  // namespace godwit::text
