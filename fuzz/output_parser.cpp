// Output parser: any bytes, cut anywhere, give one message; its events tell the same; arguments are
// one JSON object.
#include "text/output_parser.h"

#include <string>
#include <vector>

#include "base/check.h"
#include "base/utf8.h"

namespace {

using godwit::text::Json;
using godwit::text::OutputParser;
using godwit::text::OutputParserOptions;
using godwit::text::ParsedMessage;
using godwit::text::ParserEvent;

struct Told {
  std::string reasoning, content;
  std::vector<std::string> names, arguments;
  bool operator==(const Told&) const = default;

  void take(const std::vector<ParserEvent>& events) {
    for (const ParserEvent& event : events) {
      CHECK(godwit::is_utf8(event.text));
      if (event.kind == ParserEvent::Kind::kReasoning) reasoning += event.text;
      if (event.kind == ParserEvent::Kind::kContent) content += event.text;
      if (event.kind == ParserEvent::Kind::kToolCallBegin) {
        names.push_back(event.text);
        arguments.emplace_back();
      }
      if (event.kind == ParserEvent::Kind::kToolArguments) arguments.back() += event.text;
    }
  }
};

void check_same(const Told& told, const ParsedMessage& message) {
  CHECK(told.reasoning == message.reasoning_content);
  CHECK(told.content == message.content);
  CHECK(told.names.size() == message.tool_calls.size());
  for (size_t i = 0; i < told.names.size(); ++i) {
    CHECK(told.names[i] == message.tool_calls[i].name);
    const auto arguments = godwit::checkpoint::parse_json(told.arguments[i]);
    CHECK(arguments && *arguments == message.tool_calls[i].arguments);
  }
}

Told parse(std::string_view text, const OutputParserOptions& options, size_t piece) {
  OutputParser parser(options);
  Told told;
  for (size_t at = 0; at < text.size(); at += piece)
    told.take(parser.push_text(text.substr(at, piece)));
  told.take(parser.finish());
  check_same(told, parser.message());
  return told;
}

// Lines are tokens; a line that spells markup is a markup token.
void parse_tokens(std::string_view text, const OutputParserOptions& options) {
  OutputParser parser(options);
  Told told;
  while (!text.empty()) {
    const std::string_view token = text.substr(0, text.find('\n'));
    told.take(parser.push_token(token, token.starts_with('<')));
    text.remove_prefix(std::min(token.size() + 1, text.size()));
  }
  told.take(parser.finish());
  check_same(told, parser.message());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<Json> tools = {
      *godwit::checkpoint::parse_json(R"({"name":"f","parameters":{"properties":{
      "s":{"type":"string"},"i":{"type":"integer"},"n":{"type":["string","null"]},"x":{"type":"number"},
      "o":{"type":["object","array","boolean"]}}}})")};
  if (size == 0) return 0;
  OutputParserOptions options;
  options.tools = tools;
  options.starts_in_thinking = data[0] & 1;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Told whole = parse(text, options, size);
  CHECK(parse(text, options, 1) == whole);
  CHECK(parse(text, options, 2 + data[0] % 9) == whole);
  parse_tokens(text, options);
  return 0;
}
