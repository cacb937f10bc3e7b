// The output parser: every golden case in every cut, as text and as tokens; arguments that stream;
// types of schemas.
#include "text/output_parser.h"

#include <gmock/gmock.h>

#include <random>
#include <set>

#include "base/utf8.h"
#include "tests/text/golden_text.h"
#include "text/coerce.h"

namespace godwit::text {
namespace {

using checkpoint::parse_json;
using testing::ElementsAre;

// What a client pieces together from the events.
struct Told {
  std::string reasoning, content;
  struct Call {
    std::string name, arguments;
    bool is_ended = false;
    bool operator==(const Call&) const = default;
  };
  std::vector<Call> calls;
  bool operator==(const Told&) const = default;

  void take(const std::vector<ParserEvent>& events) {
    for (const ParserEvent& event : events) {
      EXPECT_EQ(find_broken_utf8(event.text), std::string::npos);
      switch (event.kind) {
        case ParserEvent::Kind::kReasoning:
          EXPECT_TRUE(calls.empty());
          reasoning += event.text;
          break;
        case ParserEvent::Kind::kContent:
          content += event.text;
          break;
        case ParserEvent::Kind::kToolCallBegin:
          EXPECT_TRUE(calls.empty() || calls.back().is_ended);
          EXPECT_EQ(event.index, static_cast<int>(calls.size()));
          calls.push_back({event.text, ""});
          break;
        case ParserEvent::Kind::kToolArguments:
          ASSERT_EQ(event.index + 1, static_cast<int>(calls.size()));
          EXPECT_FALSE(calls.back().is_ended);
          calls.back().arguments += event.text;
          break;
        case ParserEvent::Kind::kToolCallEnd:
          ASSERT_EQ(event.index + 1, static_cast<int>(calls.size()));
          calls.back().is_ended = true;
          break;
      }
    }
  }
};

// What the events told is what the message says.
void expect_same(const Told& told, const ParsedMessage& message) {
  EXPECT_EQ(told.reasoning, message.reasoning_content);
  EXPECT_EQ(told.content, message.content);
  ASSERT_EQ(told.calls.size(), message.tool_calls.size());
  for (size_t i = 0; i < told.calls.size(); ++i) {
    EXPECT_EQ(told.calls[i].name, message.tool_calls[i].name);
    EXPECT_TRUE(told.calls[i].is_ended);
    const auto arguments = parse_json(told.calls[i].arguments);
    ASSERT_TRUE(arguments.has_value()) << told.calls[i].arguments;
    EXPECT_EQ(*arguments, message.tool_calls[i].arguments) << told.calls[i].arguments;
  }
}

struct Parsed {
  Told told;
  ParsedMessage message;
};

// `cut(left)`: how many bytes to feed next.
template <class Cut>
Parsed parse(std::string_view text, const OutputParserOptions& options, Cut cut) {
  OutputParser parser(options);
  Told told;
  while (!text.empty()) {
    const size_t n = cut(text.size());
    told.take(parser.push_text(text.substr(0, n)));
    text.remove_prefix(n);
  }
  told.take(parser.finish());
  expect_same(told, parser.message());
  return {std::move(told), parser.message()};
}
Parsed parse(std::string_view text, const OutputParserOptions& options = {}) {
  return parse(text, options, [](size_t left) { return left; });
}

OutputParserOptions options_of(const Json& golden) {
  OutputParserOptions options;
  options.starts_in_thinking = golden.find("thinking")->as_bool();
  if (golden.find("tools")->is_array()) options.tools = golden.find("tools")->items();
  return options;
}

Json calls_of(const ParsedMessage& message) {
  Json::Array calls;
  for (const ToolCall& call : message.tool_calls)
    calls.push_back(
        Json::object({{"name", Json::string(call.name)}, {"arguments", call.arguments}}));
  return Json::array(std::move(calls));
}

std::string string_or_empty(const Json* json) { return json->is_string() ? json->as_string() : ""; }

void expect_golden(const Json& golden, const ParsedMessage& message) {
  const Json& expected = *golden.find("expected");
  const Json calls = calls_of(message);
  if (const Json* incomplete = golden.find("last_call_incomplete")) {
    EXPECT_EQ(message.last_call_incomplete, incomplete->as_bool());
  }
  EXPECT_EQ(message.reasoning_content, string_or_empty(expected.find("reasoning_content")));
  if (const Json* also = golden.find("also_ok")) {
    const auto& lists = also->items();
    if (std::find(lists.begin(), lists.end(), calls) != lists.end()) return;
  }
  EXPECT_EQ(calls, *expected.find("tool_calls")) << calls.dump() << "\n"
                                                 << expected.find("tool_calls")->dump();
  EXPECT_EQ(message.content, string_or_empty(expected.find("content")));
}

TEST(OutputParser, EveryGoldenCaseInEveryCut) {
  const auto goldens = parse_lines(unpack_golden("tool_calls.jsonl"));
  ASSERT_EQ(goldens.size(), 221u);
  std::mt19937 random(1);
  for (const Json& golden : goldens) {
    SCOPED_TRACE(golden.find("name")->as_string());
    if (golden.find("ids")) continue;  // below
    const std::string& text = golden.find("text")->as_string();
    const OutputParserOptions options = options_of(golden);
    const Parsed whole = parse(text, options);
    expect_golden(golden, whole.message);
    EXPECT_EQ(parse(text, options, [](size_t) { return 1; }).told, whole.told);
    for (int round = 0; round < 20; ++round) {
      const auto cut = [&](size_t left) { return 1 + random() % std::min<size_t>(left, 12); };
      EXPECT_EQ(parse(text, options, cut).told, whole.told);
    }
  }
}

bool is_markup(int32_t id) { return id == 248058 || id == 248059 || id == 248068 || id == 248069; }

Parsed parse_ids(const std::vector<int32_t>& ids, const OutputParserOptions& options) {
  OutputParser parser(options);
  Told told;
  for (const int32_t id : ids) {
    if (qwen35_tokenizer().is_special(id)) continue;  // the end of the turn is the engine's
    told.take(parser.push_token(qwen35_tokenizer().token_bytes(id), is_markup(id)));
  }
  told.take(parser.finish());
  expect_same(told, parser.message());
  return {std::move(told), parser.message()};
}

TEST(OutputParser, TokensDecideWhatIsMarkup) {
  int cases = 0;
  for (const Json& golden : parse_lines(unpack_golden("tool_calls.jsonl"))) {
    SCOPED_TRACE(golden.find("name")->as_string());
    const Json* ids = golden.find("ids");
    if (ids) {
      ++cases;
      expect_golden(golden, parse_ids(ids_of(*ids), options_of(golden)).message);
    } else {
      // Encoded with its markup recognised, every other case means the same.
      const auto encoded = qwen35_tokenizer().encode(golden.find("text")->as_string());
      if (qwen35_tokenizer().decode(encoded) == golden.find("text")->as_string())
        expect_golden(golden, parse_ids(encoded, options_of(golden)).message);
    }
  }
  EXPECT_EQ(cases, 6);
}

// Random texts of tags and words: any cut tells the same, and nothing is told twice or lost.
TEST(OutputParser, CutAnywhereTheResultIsTheSame) {
  const char* kWords[] = {"<think>",
                          "</think>",
                          "<tool_call>",
                          "</tool_call>",
                          "<function=",
                          "f",
                          ">",
                          "g>",
                          "\n",
                          "<parameter=",
                          "s>",
                          "i>",
                          "n>",
                          "</parameter>",
                          "</function>",
                          "<",
                          "</",
                          "12",
                          " ",
                          "é",
                          "null",
                          "\xe2\x80",
                          "\xff",
                          "<func",
                          "text",
                          "<function=f>",
                          "{\"a\": [1]}",
                          "\"",
                          "\\"};
  OutputParserOptions options;
  options.tools = {*parse_json(R"({"name":"f","parameters":{"properties":{
      "s":{"type":"string"},"i":{"type":"integer"},"n":{"type":["string","null"]}}}})")};
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (int i = 0, n = 1 + random() % 30; i < n; ++i) text += kWords[random() % std::size(kWords)];
    SCOPED_TRACE(Json::string(text).dump());
    options.starts_in_thinking = random() % 2;
    const Parsed whole = parse(text, options);
    EXPECT_EQ(parse(text, options, [](size_t) { return 1; }).told, whole.told);
    const auto cut = [&](size_t left) { return 1 + random() % std::min<size_t>(left, 9); };
    EXPECT_EQ(parse(text, options, cut).told, whole.told);
    if (HasFailure()) return;
  }
}

// The pieces of arguments that are told after each of `parts`.
std::vector<std::string> argument_pieces(const std::string& schema,
                                         const std::vector<std::string>& parts) {
  OutputParserOptions options;
  options.tools = {
      *parse_json(R"({"function":{"name":"f","parameters":{"properties":{"p":)" + schema + "}}}}")};
  OutputParser parser(options);
  parser.push_text("<tool_call>\n<function=f>\n");
  std::vector<std::string> pieces;
  for (const std::string& part : parts) {
    pieces.emplace_back();
    for (const ParserEvent& event : parser.push_text(part))
      if (event.kind == ParserEvent::Kind::kToolArguments) pieces.back() += event.text;
  }
  return pieces;
}

TEST(OutputParser, ArgumentsStreamAsEarlyAsIsSafe) {
  const std::vector<std::string> parts = {"<parameter=p>", "\n",     "ab", "\n",
                                          "c\"</par",      "ameter", ">"};
  EXPECT_THAT(argument_pieces(R"({"type":"string"})", parts),
              ElementsAre(R"({"p":")", "", "ab", "", R"(\nc\")", "", R"(")"));
  EXPECT_THAT(argument_pieces(R"({"type":"object"})", parts),
              ElementsAre("", "", "", "", "", "", R"({"p":"ab\nc\"")"));
  EXPECT_THAT(
      argument_pieces(R"({"type":["string","null"]})", {"<parameter=p>", "\nnu", "ll", "x"}),
      ElementsAre("", "", "", R"({"p":"nullx)"));
  EXPECT_THAT(
      argument_pieces(R"({"type":["string","null"]})", {"<parameter=p>", "null", "</parameter>"}),
      ElementsAre("", "", R"({"p":null)"));
}

TEST(OutputParser, TextIsShownAtOnceButForWhatMayBecomeMarkup) {
  OutputParser parser({});
  std::vector<std::string> pieces;
  for (const char* part : {" a", " <", "tool", "x> ", "b\n", "\xe2\x82", "\xac"}) {
    pieces.emplace_back();
    for (const ParserEvent& event : parser.push_text(part)) pieces.back() += event.text;
  }
  EXPECT_THAT(pieces, ElementsAre("a", "", "", " <toolx>", " b", "", "\n€"));
}

TEST(OutputParser, ThinkingThatThePromptDidNotOpen) {
  const auto parsed = parse("\n<think>\nhm\n</think>\n\nHi");
  EXPECT_EQ(parsed.message.reasoning_content, "hm");
  EXPECT_EQ(parsed.message.content, "Hi");
}

TEST(OutputParser, AForgottenWrapperNeedsAKnownTool) {
  OutputParserOptions options;
  options.tools = {*parse_json(R"({"name":"look_up"})")};
  EXPECT_EQ(parse("<function=look_up>\n</function>", options).message.tool_calls.size(), 1u);
  const auto text = parse("write <function=lo> or <function=look_up_all>", options);
  EXPECT_TRUE(text.message.tool_calls.empty());
  EXPECT_EQ(text.message.content, "write <function=lo> or <function=look_up_all>");
}

TEST(OutputParser, TextAfterACallWithoutItsEndIsContent) {
  const std::string call = "<tool_call>\n<function=f>\n</function>\n";
  EXPECT_EQ(parse(call + "Done.").message.content, "Done.");
  EXPECT_EQ(parse(call + "Done." + call + "</tool_call>").message.content, "Done.");
  EXPECT_EQ(parse(call + "Lost.\n</tool_call>").message.content, "");
}

TEST(Coerce, NumbersAsPythonReadsThem) {
  SchemaTypes integer, number;
  integer.integer = true;
  number.number = true;
  const auto dump = [](std::string_view text, const SchemaTypes& types) {
    return coerce(text, types).dump();
  };
  EXPECT_EQ(dump("007", integer), "7");
  EXPECT_EQ(dump("-0", integer), "0");
  EXPECT_EQ(dump("\t+1_000\n", integer), "1000");
  EXPECT_EQ(dump("١٢٣", integer), "123");
  EXPECT_EQ(dump("𝟘𝟡", integer), "9");
  EXPECT_EQ(dump("-99999999999999999999999", integer), "-99999999999999999999999");
  for (const char* text : {"1__0", "_1", "1_", "+-1", "--1", "0x10", "1e", "+", "", "1 2", "½"}) {
    EXPECT_TRUE(coerce(text, integer).is_string()) << text;
    EXPECT_TRUE(coerce(text, number).is_string()) << text;
  }
  EXPECT_EQ(dump("1.", number), "1");
  EXPECT_EQ(dump(".5", number), "0.5");
  EXPECT_EQ(dump("+1_0.5e-1", number), "1.05");
  EXPECT_EQ(dump("-1E3", number), "-1000");
  EXPECT_EQ(dump("1e300", number), "1e+300");
  EXPECT_EQ(dump("infinity", number), "\"infinity\"");
  EXPECT_EQ(dump("1e999", integer), "\"1e999\"");
}

TEST(Coerce, TypesOfSchemas) {
  const Json root = *parse_json(R"({"$defs":{"Who":{"type":"object"},"Loop":{"$ref":"#/$defs/Loop"},
      "Both":{"anyOf":[{"$ref":"#/$defs/Who"},{"type":"null"}]}}})");
  const auto names = [&](std::string_view json) {
    const Json schema = *parse_json(json);
    const SchemaTypes types = schema_types(&schema, root);
    std::string text;
    if (types.null) text += "null ";
    if (types.integer) text += "integer ";
    if (types.number) text += "number ";
    if (types.boolean) text += "boolean ";
    if (types.object) text += "object ";
    if (types.array) text += "array ";
    if (types.string) text += "string ";
    if (types.other) text += "other ";
    return text;
  };
  EXPECT_EQ(names("{}"), "");
  EXPECT_EQ(names("true"), "");
  EXPECT_EQ(names(R"({"type":["integer","null"]})"), "null integer ");
  EXPECT_EQ(names(R"({"enum":[1,"a",true,null,1.5,[],{}]})"),
            "null integer number boolean object array string ");
  EXPECT_EQ(names(R"({"const":"x"})"), "string ");
  EXPECT_EQ(names(R"({"allOf":[{"oneOf":[{"type":"array"}]},{"type":"boolean"}]})"),
            "boolean array ");
  EXPECT_EQ(names(R"({"$ref":"#/$defs/Both"})"), "null object ");
  EXPECT_EQ(names(R"({"$ref":"#/$defs/Loop"})"), "");
  EXPECT_EQ(names(R"({"$ref":"#/$defs/Missing/x"})"), "");
  EXPECT_EQ(names(R"({"type":"date"})"), "other ");
  SchemaTypes other;
  other.other = true;
  EXPECT_EQ(coerce("[1]", other).dump(), "[1]");
  EXPECT_EQ(coerce("2026-01-01", other).dump(), "\"2026-01-01\"");
}

}  // namespace
}  // namespace godwit::text
