// JSON: what is read, what is refused, and that Python's spelling is met.
#include "checkpoint/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace godwit::checkpoint {
namespace {

using ::testing::HasSubstr;

std::string python(std::string_view text) {
  const auto json = parse_json(text);
  return json ? json->dump_python() : "error: " + json.error().message;
}

// Each pair is json.dumps(json.loads(left), ensure_ascii=False) of CPython 3.11.
TEST(Json, WritesAsPythonDoes) {
  const std::pair<const char*, const char*> cases[] = {
      {"1.50", "1.5"},
      {"1e3", "1000.0"},
      {"1E400", "Infinity"},
      {"-1E400", "-Infinity"},
      {"1e-400", "0.0"},
      {"-1e-400", "-0.0"},
      {"0.0000001e999999999999999999999", "Infinity"},
      {"10000000e-99999999999999999999", "0.0"},
      {"0e999999999999999", "0.0"},
      {"-0.0", "-0.0"},
      {"-0", "0"},
      {"0", "0"},
      {"123456789012345678901234567890", "123456789012345678901234567890"},
      {"-9223372036854775809", "-9223372036854775809"},
      {"1e15", "1000000000000000.0"},
      {"1e16", "1e+16"},
      {"123456789012345678.0", "1.2345678901234568e+17"},
      {"9999999999999998.0", "9999999999999998.0"},
      {"0.0001", "0.0001"},
      {"0.00001", "1e-05"},
      {"1.5e-7", "1.5e-07"},
      {"5e-324", "5e-324"},
      {"1.7976931348623157e308", "1.7976931348623157e+308"},
      {"2.2250738585072011e-308", "2.225073858507201e-308"},
      {"0.1", "0.1"},
      {"100.0", "100.0"},
      {"3.14159265358979323846264338327950288", "3.141592653589793"},
      {"1e100", "1e+100"},
      {"[-36990723190393.98, 5.2e-13, 7.2e160, 5e-14]",
       "[-36990723190393.98, 5.2e-13, 7.2e+160, 5e-14]"},
      {" [ 1 , 2.0 , [ ] , { } ] ", "[1, 2.0, [], {}]"},
      {R"({"b":1,"a":{"x":null},"c":[true,false]})",
       R"({"b": 1, "a": {"x": null}, "c": [true, false]})"},
      {R"({"a":1,"b":2,"a":3,"b":4,"a":5})", R"({"a": 5, "b": 4})"},
      {R"("\u00e9\ud83d\ude00\u0001\u001f\u007f\/\"\\\b\f\n\r\t")",
       "\"\u00e9\U0001f600\\u0001\\u001f\x7f/\\\"\\\\\\b\\f\\n\\r\\t\""},
      {"\"\xe4\xb8\xad\xe2\x80\xa8\"", "\"\xe4\xb8\xad\xe2\x80\xa8\""},
      {R"("\u0000")", R"("\u0000")"},
      {"null", "null"},
      {"true", "true"},
      {"\"s\"", "\"s\""},
      {"\xef\xbb\xbf[1]", "[1]"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(python(text), expected) << text;
}

TEST(Json, ManyRepeatedKeysTakeNoLonger) {
  std::string text = "{";
  for (int i = 0; i < 200000; ++i) text += "\"a\":0,";
  for (int i = 0; i < 200000; ++i) text += fmt::format("\"{}\":1,", i);
  text.back() = '}';
  const auto json = parse_json(text);  // a minute and more if each were taken out by itself
  ASSERT_TRUE(json);
  EXPECT_EQ(json->members().size(), 200001u);
  EXPECT_EQ(json->members()[0].first, "a");
  EXPECT_EQ(json->members()[200000].first, "199999");
}

TEST(Json, RefusesWhatIsNotJson) {
  const char* cases[] = {
      "",
      " ",
      "[",
      "]",
      "{",
      "}",
      "[1",
      "[1,",
      "[1,]",
      "[,1]",
      "[1 2]",
      "[1]]",
      "[1],[2]",
      "1],[2",
      "1,2",
      "1 2",
      "{\"a\"}",
      "{\"a\":}",
      "{\"a\":1,}",
      "{\"a\" 1}",
      "{a:1}",
      "{1:2}",
      "{\"a\":1 \"b\":2}",
      "[1}",
      "{\"a\":1]",
      "nul",
      "nulll",
      "null x",
      "tru",
      "truex",
      "True",
      "falsee",
      "NaN",
      "Infinity",
      "-Infinity",
      "-",
      "+1",
      "01",
      "-01",
      "1.",
      ".5",
      "1e",
      "1e+",
      "0x10",
      "1_000",
      "1.2.3",
      "--1",
      "\"",
      "\"a",
      "\"\\\"",
      "\"\\x\"",
      "\"\\u12\"",
      "\"\\u12g4\"",
      "\"a\nb\"",
      "\"\\ud800\"",
      "\"\\ud800x\"",
      "\"\\ud800\\u0041\"",
      "'a'",
      "\"\xff\"",
      "\"\xc3\"",
      "\"\xed\xa0\x80\"",
      "[\"a\x01\"]",
      "// c\n1",
      "[1]x",
      "{\"a\":1}{",
      "[\"\xc0\x80\"]",
      "\"a\"b",
      "[1\0]",
  };
  for (const auto* text : cases) {
    const auto json = parse_json(text);
    ASSERT_FALSE(json) << text << " -> " << json->dump();
    EXPECT_THAT(json.error().message, HasSubstr("malformed JSON")) << text;
  }
  EXPECT_FALSE(parse_json(std::string_view("[1]\0", 4)));
  EXPECT_FALSE(parse_json(std::string_view("\0", 1)));
}

TEST(Json, ErrorsNameTheirPlace) {
  EXPECT_EQ(parse_json("[10, 01]").error().message, "malformed JSON near byte 5: malformed number");
}

TEST(Json, EveryPrefixOfADocumentIsRefused) {
  const std::string text =
      R"({"a": [1, -2.5e3, "x\u00e9\ud83d\ude00", true], "b": {"c": null, "d": [[], {}]}})";
  ASSERT_TRUE(parse_json(text));
  for (size_t n = 0; n < text.size(); ++n) EXPECT_FALSE(parse_json(text.substr(0, n))) << n;
}

TEST(Json, DepthIsBounded) {
  const auto nested = [](int n) { return std::string(n, '[') + std::string(n, ']'); };
  EXPECT_TRUE(parse_json(nested(256)));
  EXPECT_THAT(parse_json(nested(257)).error().message, HasSubstr("nested too deeply"));
  EXPECT_FALSE(parse_json(std::string(100000, '[')));
  EXPECT_FALSE(parse_json(nested(100000)));
  std::string objects = "1";
  for (int i = 0; i < 257; ++i) objects = "{\"k\":" + objects + "}";
  EXPECT_THAT(parse_json(objects).error().message, HasSubstr("nested too deeply"));
  EXPECT_TRUE(parse_json("1", 1));
  EXPECT_TRUE(parse_json("[1]", 1));
  EXPECT_FALSE(parse_json("[[1]]", 1));
}

TEST(Json, KeepsLiteralsAndOrder) {
  const auto json = parse_json(R"({"z": 1.50, "a": 1e3, "m": -0, "n": 1E400})");
  ASSERT_TRUE(json);
  EXPECT_EQ(json->dump(), R"({"z":1.50,"a":1e3,"m":-0,"n":1E400})");
  EXPECT_EQ(json->find("z")->literal(), "1.50");
  EXPECT_EQ(json->find("none"), nullptr);
  EXPECT_EQ(json->find("z")->find("x"), nullptr);
}

TEST(Json, Numbers) {
  const auto number = [](const char* text) { return *parse_json(text); };
  EXPECT_EQ(number("9223372036854775807").as_int64(), INT64_MAX);
  EXPECT_EQ(number("-9223372036854775808").as_int64(), INT64_MIN);
  EXPECT_EQ(number("9223372036854775808").as_int64(), std::nullopt);
  EXPECT_EQ(number("1.0").as_int64(), std::nullopt);
  EXPECT_EQ(Json::string("1").as_int64(), std::nullopt);
  EXPECT_EQ(number("1e-6").as_double(), 1e-6);
  EXPECT_TRUE(number("1") == number("1.0"));
  EXPECT_TRUE(number("10") == number("1e1"));
  EXPECT_TRUE(number("-0") == number("0"));
  EXPECT_FALSE(number("9007199254740993") == number("9007199254740992"));
  EXPECT_FALSE(number("1") == Json::boolean(true));
  EXPECT_EQ(Json::real(0.1).literal(), "0.1");
  EXPECT_EQ(Json::real(2).literal(), "2.0");
  EXPECT_EQ(Json::real(-1e300 * 1e10).dump_python(), "-Infinity");
  EXPECT_TRUE(Json::real(std::numeric_limits<double>::quiet_NaN()).is_null());
  EXPECT_EQ(Json::integer(-7).dump(), "-7");
}

TEST(Json, EqualityOfObjectsIgnoresOrder) {
  EXPECT_TRUE(*parse_json(R"({"a":1,"b":[1,2]})") == *parse_json(R"({"b":[1,2.0],"a":1})"));
  EXPECT_FALSE(*parse_json(R"({"a":1})") == *parse_json(R"({"a":2})"));
  EXPECT_FALSE(*parse_json(R"({"a":1})") == *parse_json(R"({"b":1})"));
  EXPECT_FALSE(*parse_json("[1,2]") == *parse_json("[2,1]"));
}

TEST(Json, Building) {
  Json json = Json::object();
  json.set("a", Json::integer(1));
  json.set("b", Json::array({Json::string("x\"y"), Json()}));
  json.set("a", Json::boolean(true));
  EXPECT_EQ(json.dump(), R"({"a":true,"b":["x\"y",null]})");
  EXPECT_DEATH((void)json.as_string(), "is_string");
}

}  // namespace
}  // namespace godwit::checkpoint
