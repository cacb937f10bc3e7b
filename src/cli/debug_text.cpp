// godwit debug tokenize, detokenize, render, parse: the text folder under the microscope, one JSON
// value a line.
#include <iostream>

#include "checkpoint/model_folder.h"
#include "cli/commands.h"
#include "cli/line_reader.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "engine/conventions.h"
#include "text/chat_template.h"
#include "text/output_parser.h"
#include "text/token_lines.h"
#include "text/tokenizer.h"

namespace godwit::cli {
namespace {

using checkpoint::Json;

// Prints what `answer` makes of every line; empty lines are skipped. The first bad line ends the
// work: exit code 2, the line named.
template <class Answer>
Status for_each_line(Answer answer) {
  for (int number = 1;; ++number) {
    const auto place = [&] { return fmt::format("standard input, line {}", number); };
    const auto line = read_line(std::cin);
    if (!line) return in_context(place(), line.error());
    if (!*line) break;
    if ((*line)->find_first_not_of(" \t\r") == std::string::npos) continue;
    const Result<std::string> answered = answer(**line);
    if (!answered) return in_context(place(), answered.error());
    std::cout << *answered << '\n';
    if (!std::cout) return tl::unexpected<Error>(output_error());
  }
  std::cout.flush();
  return {};
}

template <class Answer>
Status for_each_json_line(Answer answer) {
  return for_each_line([&](const std::string& line) -> Result<std::string> {
    TRY(const auto json, checkpoint::parse_json(line));
    TRY(const Json answered, answer(json));
    return answered.dump();
  });
}

int exit_code(const Status& status) { return status ? kDone : report(status.error()); }

Result<checkpoint::ModelFiles> open_files(const std::string& model) {
  if (!model.empty()) return checkpoint::open_text_files(model);
  TRY(const auto demonstration, demonstration_model());
  return checkpoint::open_text_files(demonstration);
}

// A line's field; null if it is absent or null. One of another kind is an error.
Result<const Json*> find_field(const Json& object, const char* name, Json::Kind kind) {
  constexpr const char* kNames[] = {"null",     "true or false", "a number",
                                    "a string", "a list",        "an object"};
  const Json* value = object.find(name);
  if (!value || value->is_null()) return nullptr;
  if (value->kind() == kind) return value;
  return bad_input("{}: expected {}, found {}", name, kNames[static_cast<int>(kind)],
                   value->dump().substr(0, 60));
}

Result<std::unique_ptr<text::Tokenizer>> open_tokenizer(const std::string& model) {
  TRY(const auto files, open_files(model));
  return engine::open_tokenizer(files);
}

Result<std::vector<int32_t>> ids_from(const Json& json) {
  std::vector<int32_t> ids;
  for (const auto& item : json.items()) {
    const auto id = item.is_number() ? item.as_int64() : std::nullopt;
    if (!id || *id < 0 || *id > INT32_MAX)
      return bad_input("ids: [{}]: expected a token id, found {}", ids.size(), item.dump());
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

Result<text::TemplateVersion> wanted_template(const DebugTextOptions& options) {
  if (!options.template_name.empty()) {
    const auto version = text::find_template(options.template_name);
    if (!version)
      return bad_input(
          "--template: expected qwen3.5, qwen3.5-small, qwen3.6 or qwen3.8; found '{}'",
          options.template_name);
    return *version;
  }
  TRY(const auto files, open_files(options.model));
  return engine::chat_template_of(files).version;
}

Result<Json> render_line(text::TemplateVersion version, const Json& line) {
  const Json* messages = line.find("messages");
  if (!messages) return bad_input("expected an object with messages");
  TRY(const Json* given, find_field(line, "tools", Json::Kind::kArray));
  const std::vector<Json> tools = given ? given->items() : std::vector<Json>();
  text::TemplateOptions options;
  TRY(const Json* prompt, find_field(line, "add_generation_prompt", Json::Kind::kBool));
  options.add_generation_prompt = prompt && prompt->as_bool();
  TRY(const Json* kwargs, find_field(line, "kwargs", Json::Kind::kObject));
  if (kwargs) options.kwargs = *kwargs;
  TRY(const Json* vision_ids, find_field(options.kwargs, "add_vision_id", Json::Kind::kBool));
  if (vision_ids) options.add_vision_id = vision_ids->as_bool();
  const auto read = text::messages_from_json(*messages);
  const auto rendered = read ? text::render_strict(version, *read, tools, options)
                             : tl::unexpected<Error>(read.error());
  if (!rendered) return Json::object({{"error", Json::string(rendered.error().message)}});
  return Json::object({{"rendered", Json::string(rendered->text())}});
}

Json message_json(const text::ParsedMessage& message) {
  const auto text_or_null = [](const std::string& text) {
    return text.empty() ? Json() : Json::string(text);
  };
  Json::Array calls;
  for (const auto& call : message.tool_calls)
    calls.push_back(
        Json::object({{"name", Json::string(call.name)}, {"arguments", call.arguments}}));
  return Json::object({{"content", text_or_null(message.content)},
                       {"reasoning_content", text_or_null(message.reasoning_content)},
                       {"tool_calls", Json::array(std::move(calls))}});
}

// Token by token: markup counts only where its own id stands.
Status push_ids(text::OutputParser& parser, const text::Tokenizer& tokenizer, const Json& json) {
  TRY(const auto ids, ids_from(json));
  for (int32_t id : ids) {
    if (tokenizer.is_special(id)) continue;  // the end of a turn is no text
    const auto bytes = tokenizer.token_bytes(id);
    const bool markup =
        tokenizer.is_added(id) && (bytes == "<think>" || bytes == "</think>" ||
                                   bytes == "<tool_call>" || bytes == "</tool_call>");
    parser.push_token(bytes, markup);
  }
  return {};
}

Result<Json> parse_line(const text::Tokenizer* tokenizer, const Json& line, bool pieces) {
  text::OutputParserOptions options;
  TRY(const Json* thinking, find_field(line, "thinking", Json::Kind::kBool));
  if (thinking) options.starts_in_thinking = thinking->as_bool();
  TRY(const Json* tools, find_field(line, "tools", Json::Kind::kArray));
  if (tools) options.tools = tools->items();
  TRY(const Json* ids, find_field(line, "ids", Json::Kind::kArray));
  TRY(const Json* text, find_field(line, "text", Json::Kind::kString));
  text::OutputParser parser(std::move(options));
  if (ids) {
    if (!tokenizer) return bad_input("ids: a model is needed to read them (-m MODEL)");
    TRY_STATUS(push_ids(parser, *tokenizer, *ids));
  } else {
    if (!text) return bad_input("expected an object with text or ids");
    const std::string& bytes = text->as_string();
    const size_t step = pieces ? 1 : std::max<size_t>(bytes.size(), 1);
    for (size_t i = 0; i < bytes.size(); i += step)
      parser.push_text(std::string_view(bytes).substr(i, step));
  }
  parser.finish();
  return message_json(parser.message());
}

Status tokenize(const DebugTextOptions& options) {
  TRY(const auto tokenizer, open_tokenizer(options.model));
  const auto special =
      options.plain ? text::SpecialTokens::kPlain : text::SpecialTokens::kRecognise;
  return for_each_line(
      [&](const std::string& line) { return text::tokenize_line(*tokenizer, line, special); });
}

Status detokenize(const DebugTextOptions& options) {
  TRY(const auto tokenizer, open_tokenizer(options.model));
  return for_each_line(
      [&](const std::string& line) { return text::detokenize_line(*tokenizer, line); });
}

Status render(const DebugTextOptions& options) {
  TRY(const auto version, wanted_template(options));
  return for_each_json_line([&](const Json& line) { return render_line(version, line); });
}

Status parse(const DebugTextOptions& options) {
  std::unique_ptr<text::Tokenizer> tokenizer;
  if (!options.model.empty()) {
    TRY(tokenizer, open_tokenizer(options.model));
  }
  return for_each_json_line(
      [&](const Json& line) { return parse_line(tokenizer.get(), line, options.pieces); });
}

}  // namespace

int debug_tokenize_command(const DebugTextOptions& options) { return exit_code(tokenize(options)); }
int debug_detokenize_command(const DebugTextOptions& options) {
  return exit_code(detokenize(options));
}
int debug_render_command(const DebugTextOptions& options) { return exit_code(render(options)); }
int debug_parse_command(const DebugTextOptions& options) { return exit_code(parse(options)); }

}  // namespace godwit::cli
