// Files in all their forms, good and bad; added tokens; text of any size.
#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/temporary_folder.h"
#include "tests/text/golden_text.h"
#include "tests/text/small_tokenizer.h"
#include "text/token_lines.h"

namespace godwit::text {
namespace {

using checkpoint::GgufArray;
using checkpoint::GgufFile;
using checkpoint::GgufWriter;
using checkpoint::Json;
using testing::HasSubstr;
using Ids = std::vector<int32_t>;
using Path = std::vector<std::string>;

std::unique_ptr<Tokenizer> make(const Json& json, const std::string& config = {}) {
  auto tokenizer = Tokenizer::from_json(json.dump(), config);
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return tokenizer ? std::move(*tokenizer) : nullptr;
}

std::string error_of(const Json& json, const std::string& config = {}) {
  const auto tokenizer = Tokenizer::from_json(json.dump(), config);
  EXPECT_FALSE(tokenizer);
  const std::string message = tokenizer ? "" : tokenizer.error().message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  EXPECT_LT(message.size(), 400u) << message;
  return message;
}

std::string error_with(const Path& path, Json value) {
  Json json = small_tokenizer_json();
  at(json, path) = std::move(value);
  return error_of(json);
}

TEST(Tokenizer, MergesAndKeepsUnreachableTokensUnreached) {
  const auto tokenizer = make(small_tokenizer_json());
  EXPECT_EQ(tokenizer->encode("hell"), Ids{258});
  EXPECT_EQ(tokenizer->encode("hello"), (Ids{258, 'o'}));
  EXPECT_EQ(tokenizer->token_bytes(259), "hello");
  EXPECT_EQ(tokenizer->vocabulary_size(), 263);
}

TEST(Tokenizer, IgnoresMergesWhereTheFileSaysSo) {
  Json json = small_tokenizer_json();
  at(json, {"model", "ignore_merges"}) = Json::boolean(true);
  EXPECT_EQ(make(json)->encode("hello"), Ids{259});
}

TEST(Tokenizer, ReadsMergesAsLines) {
  Json json = small_tokenizer_json();
  at(json, {"model", "merges"}) =
      Json::array({Json::string("h e"), Json::string("l l"), Json::string("he ll")});
  EXPECT_EQ(make(json)->encode("hello"), (Ids{258, 'o'}));
}

TEST(Tokenizer, CutsOutAddedTokensLongestFirst) {
  const auto tokenizer = make(small_tokenizer_json());
  EXPECT_EQ(tokenizer->encode("<|end|>"), Ids{260});
  EXPECT_EQ(tokenizer->encode("<|end|>>"), Ids{261});
  EXPECT_EQ(tokenizer->encode("a<|end|>>>b"), (Ids{'a', 261, '>', 'b'}));
  EXPECT_EQ(tokenizer->encode("<|end|"), (Ids{'<', '|', 'e', 'n', 'd', '|'}));
  EXPECT_EQ(tokenizer->encode("<<think>|end|>"), (Ids{'<', 262, '|', 'e', 'n', 'd', '|', '>'}));
  EXPECT_EQ(tokenizer->encode("<think>", SpecialTokens::kPlain),
            (Ids{'<', 't', 'h', 'i', 'n', 'k', '>'}));
}

TEST(Tokenizer, TellsAddedFromSpecial) {
  const auto tokenizer = make(small_tokenizer_json());
  EXPECT_TRUE(tokenizer->is_added(262));
  EXPECT_FALSE(tokenizer->is_special(262));
  EXPECT_TRUE(tokenizer->is_special(260));
  EXPECT_FALSE(tokenizer->is_added(258));
  EXPECT_EQ(tokenizer->id_of("<|end|>"), 260);
  EXPECT_EQ(tokenizer->id_of("hell"), std::nullopt);
  EXPECT_EQ(tokenizer->decode({262, 258, 260, 'o', 9999, -1}), "<think>hell<|end|>o");
  EXPECT_EQ(tokenizer->decode({262, 258, 260, 'o'}, true), "<think>hello");
}

TEST(Tokenizer, LooksForNormalisedTokensAfterNfc) {
  Json json = small_tokenizer_json();
  Json token = small_added_token(263, "e\u0301");
  token.set("normalized", Json::boolean(true));
  at(json, {"added_tokens"}).items().push_back(token);
  EXPECT_EQ(make(json)->encode("\u00e9"), Ids{263});
  EXPECT_EQ(make(json)->encode("e\u0301h"), (Ids{263, 'h'}));
  // As written it is not in the text after NFC; looked for before, it is.
  at(json, {"added_tokens", "3", "normalized"}) = Json::boolean(false);
  EXPECT_EQ(make(json)->encode("\u00e9"), (Ids{0xc3, 0xa9}));
  EXPECT_EQ(make(json)->encode("e\u0301"), Ids{263});
}

TEST(Tokenizer, DoesNotNormaliseAcrossAnAddedToken) {
  const auto tokenizer = make(small_tokenizer_json());
  EXPECT_EQ(tokenizer->encode("<think>\u0338"), (Ids{262, 0xcc, 0xb8}));
  EXPECT_EQ(tokenizer->encode("<think>\u0338", SpecialTokens::kPlain),
            (Ids{'<', 't', 'h', 'i', 'n', 'k', 0xe2, 0x89, 0xaf}));
}

TEST(Tokenizer, TakesAddedTokensFromTheConfig) {
  const std::string config =
      R"({"added_tokens_decoder": {"260": {"content": "<|end|>", "special": true},
          "270": {"content": "<|audio|>", "special": true}, "271": {"content": "<x>"}}})";
  const auto tokenizer = make(small_tokenizer_json(), config);
  EXPECT_EQ(tokenizer->encode("<|audio|><x>"), (Ids{270, 271}));
  EXPECT_TRUE(tokenizer->is_special(270));
  EXPECT_FALSE(tokenizer->is_special(271));
  EXPECT_EQ(tokenizer->vocabulary_size(), 272);
  EXPECT_EQ(tokenizer->token_bytes(265), "");
}

TEST(Tokenizer, ReadsBrokenUtf8AsReplacementCharacters) {
  const auto tokenizer = make(small_tokenizer_json());
  EXPECT_EQ(tokenizer->encode("a\xf0\x9f\x98z\xff"), tokenizer->encode("a\ufffdz\ufffd"));
  EXPECT_EQ(tokenizer->encode(""), Ids{});
  EXPECT_EQ(tokenizer->encode(std::string_view("\0", 1)), Ids{0});
}

TEST(Tokenizer, OtherFilesTellOfWhatIsNotSupported) {
  const auto text = [](const char* s) { return Json::string(s); };
  EXPECT_EQ(error_with({"normalizer", "type"}, text("NFD")),
            "tokenizer.json: normalizer: expected NFC, found another");
  EXPECT_THAT(error_with({"normalizer"}, {}),
              HasSubstr("normalizer: expected an object, found null"));
  EXPECT_THAT(
      error_with({"pre_tokenizer", "pretokenizers", "0", "pattern", "Regex"}, text("\\s+\n")),
      HasSubstr("expected Qwen's split rule, found '\\\\s+\\x0a'"));
  EXPECT_THAT(
      error_with({"pre_tokenizer", "pretokenizers", "1", "add_prefix_space"}, Json::boolean(true)),
      HasSubstr("without invert, add_prefix_space"));
  EXPECT_THAT(error_with({"pre_tokenizer", "pretokenizers"}, Json::array()),
              HasSubstr("pre_tokenizer"));
  EXPECT_THAT(error_with({"pre_tokenizer", "pretokenizers", "0"}, Json::integer(1)),
              HasSubstr("pre_tokenizer"));
  EXPECT_THAT(error_with({"model", "type"}, text("Unigram")),
              HasSubstr("model: type: expected \"BPE\""));
  EXPECT_THAT(error_with({"model", "dropout"}, Json::real(0.5)), HasSubstr("dropout"));
  EXPECT_THAT(error_with({"model", "byte_fallback"}, Json::boolean(true)),
              HasSubstr("byte_fallback"));
  EXPECT_THAT(error_with({"model", "byte_fallback"}, Json::integer(1)),
              HasSubstr("model: byte_fallback: expected a boolean, found a number"));
  EXPECT_THAT(error_with({"model", "end_of_word_suffix"}, text("</w>")),
              HasSubstr("end_of_word_suffix"));
  EXPECT_THAT(error_with({"added_tokens", "1", "lstrip"}, Json::boolean(true)),
              HasSubstr("added_tokens[1]: '<|end|>>': lstrip is not supported"));
}

TEST(Tokenizer, DamagedFilesAreErrors) {
  const Json number = Json::integer(7), text = Json::string("x");
  EXPECT_THAT(error_with({}, text), HasSubstr("expected an object, found a string"));
  EXPECT_THAT(error_with({"model"}, {}), HasSubstr("model: expected an object, found null"));
  EXPECT_THAT(error_with({"model", "vocab"}, Json::array()),
              HasSubstr("model: vocab: expected an object"));
  EXPECT_THAT(error_with({"model", "vocab"}, Json::object()), HasSubstr("no token for byte 0x00"));
  EXPECT_THAT(error_with({"model", "vocab", "hell"}, text),
              HasSubstr("vocab: 'hell': expected an id"));
  EXPECT_THAT(error_with({"model", "vocab", "hell"}, Json::real(1.5)), HasSubstr("expected an id"));
  EXPECT_THAT(error_with({"model", "vocab", "hell"}, Json::integer(-1)), HasSubstr("vocab: id -1"));
  EXPECT_THAT(error_with({"model", "vocab", "hell"}, Json::integer(1000000000)),
              HasSubstr("id 1000000000: expected 0 to 1048575"));
  EXPECT_THAT(error_with({"model", "vocab", "hell"}, Json::number_literal("99999999999999999999")),
              HasSubstr("expected an id"));
  EXPECT_THAT(error_with({"model", "vocab", "hell"}, number),
              HasSubstr("id 7 is given to two tokens"));
  EXPECT_THAT(error_with({"model", "vocab", ""}, Json::integer(300)),
              HasSubstr("id 300: empty token"));
  EXPECT_THAT(error_with({"model", "merges"}, {}),
              HasSubstr("model: merges: expected an array, found null"));
  EXPECT_THAT(error_with({"model", "merges", "1"}, number),
              HasSubstr("merges[1]: expected two strings"));
  EXPECT_THAT(error_with({"model", "merges", "1"}, text),
              HasSubstr("merges[1]: expected two parts"));
  EXPECT_THAT(error_with({"model", "merges", "1"}, Json::string("l")), HasSubstr("merges[1]"));
  EXPECT_THAT(error_with({"model", "merges", "1"}, Json::string("l ")), HasSubstr("merges[1]"));
  EXPECT_THAT(error_with({"model", "merges", "1"}, Json::string("l l l")), HasSubstr("merges[1]"));
  EXPECT_THAT(error_with({"model", "merges", "1"}, Json::string("l q")),
              HasSubstr("merges[1]: 'lq' is not in the vocabulary"));
  EXPECT_THAT(error_with({"model", "merges", "1"}, Json::string("zz q")),
              HasSubstr("merges[1]: 'zz' is not in the vocabulary"));
  EXPECT_THAT(error_with({"model", "merges", "1"}, Json::string("\u4e2d q")),
              HasSubstr("byte alphabet"));
  EXPECT_THAT(error_with({"added_tokens"}, number), HasSubstr("added_tokens: expected an array"));
  EXPECT_THAT(error_with({"added_tokens", "0"}, number),
              HasSubstr("added_tokens[0]: expected an object"));
  EXPECT_THAT(error_with({"added_tokens", "0", "id"}, text),
              HasSubstr("added_tokens[0]: id: expected a number"));
  EXPECT_THAT(error_with({"added_tokens", "0", "id"}, Json::integer(-5)),
              HasSubstr("added_tokens[0]: id"));
  EXPECT_THAT(error_with({"added_tokens", "0", "id"}, Json::integer(int64_t{1} << 32)),
              HasSubstr("added_tokens[0]: id"));
  EXPECT_THAT(error_with({"added_tokens", "0", "id"}, number),
              HasSubstr("id 7 is given to two tokens"));
  EXPECT_THAT(error_with({"added_tokens", "1", "id"}, Json::integer(260)),
              HasSubstr("added_tokens[1]: id 260 is given to '<|end|>' and '<|end|>>'"));
  EXPECT_THAT(error_with({"added_tokens", "1", "content"}, Json::string("<|end|>")),
              HasSubstr("'<|end|>' has ids 260 and 261"));
  EXPECT_THAT(error_with({"added_tokens", "1", "content"}, Json::string("")),
              HasSubstr("empty token"));
  EXPECT_THAT(error_with({"added_tokens", "1", "content"}, {}),
              HasSubstr("content: expected a string"));
  EXPECT_THAT(error_with({"added_tokens", "1", "special"}, text),
              HasSubstr("special: expected a boolean"));
  EXPECT_THAT(error_of(small_tokenizer_json(), "[]"),
              HasSubstr("tokenizer_config.json: expected an object"));
  EXPECT_THAT(
      error_of(small_tokenizer_json(), R"({"added_tokens_decoder": {"x\n": {"content": "y"}}})"),
      HasSubstr("tokenizer_config.json: added_tokens_decoder 'x\\x0a': id: expected a number"));
  EXPECT_THAT(
      error_of(small_tokenizer_json(), R"({"added_tokens_decoder": {"261": {"content": "y"}}})"),
      HasSubstr("id 261 is given to '<|end|>>' and 'y'"));
}

TEST(Tokenizer, TruncatedFilesAreErrors) {
  const std::string whole = small_tokenizer_json().dump();
  for (size_t n = 0; n < whole.size(); n += 7) {
    const auto tokenizer = Tokenizer::from_json(whole.substr(0, n));
    ASSERT_FALSE(tokenizer) << n;
    ASSERT_THAT(tokenizer.error().message, HasSubstr("tokenizer.json: "));
  }
}

// Would take hours if any step were quadratic.
TEST(Tokenizer, LongRunsTakeLinearTime) {
  const Tokenizer& tokenizer = qwen35_tokenizer();
  for (const std::string unit : {"a", " ", "\n", " \n", "=", "<", "<|im_", "\u0301\u0323", "\u4e2d",
                                 "'", "\x80", "1", "\u00a0", "ab"}) {
    std::string text;
    while (text.size() < 500000) text += unit;
    const Ids ids = tokenizer.encode(text + "x");
    EXPECT_GT(ids.size(), 1000u);
    if (unit != "\x80" && unit != "\u0301\u0323") {
      EXPECT_EQ(tokenizer.decode(ids), text + "x");
    }
  }
}

TEST(Tokenizer, TheDemonstrationModelsOwnReadsBack) {
  const std::string folder = GODWIT_SOURCE_DIR "/models/nano/";
  auto tokenizer = Tokenizer::from_json(*read_file(folder + "tokenizer.json"),
                                        *read_file(folder + "tokenizer_config.json"));
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ((*tokenizer)->vocabulary_size(), 2048);
  EXPECT_EQ((*tokenizer)->id_of("<|im_start|>"), 2023);
  for (const auto& line : parse_lines(unpack_golden("tokenizer.jsonl"))) {
    const Ids ids = (*tokenizer)->encode(line.find("text")->as_string());
    EXPECT_EQ((*tokenizer)->decode(ids), line.find("decoded")->as_string());
  }
}

// The official files write merges as lines and keep the last seven added tokens in the config.
TEST(Tokenizer, TheOfficialFormOfTheFilesGivesTheSame) {
  Json json = *checkpoint::parse_json(unpack_golden("tokenizer.json"));
  Json& added = at(json, {"added_tokens"});
  Json decoder = Json::object();
  ASSERT_EQ(added.items().size(), 33u);
  for (size_t i = 0; i < 33; ++i)
    decoder.set(added.items()[i].find("id")->literal(), added.items()[i]);
  added.items().resize(26);
  for (Json& merge : at(json, {"model", "merges"}).items())
    merge = Json::string(merge.items()[0].as_string() + " " + merge.items()[1].as_string());
  const auto tokenizer = make(json, Json::object({{"added_tokens_decoder", decoder}}).dump());
  EXPECT_EQ(tokenizer->vocabulary_size(), 248077);
  EXPECT_TRUE(tokenizer->is_special(248076));
  for (const auto& line : parse_lines(unpack_golden("tokenizer.jsonl")))
    ASSERT_EQ(tokenizer->encode(line.find("text")->as_string()), ids_of(*line.find("ids")));
}

TEST(TokenLines, ReadAndWriteJson) {
  const auto tokenizer = make(small_tokenizer_json());
  const auto tokenize = [&](std::string_view line) {
    return tokenize_line(*tokenizer, line, SpecialTokens::kRecognise);
  };
  EXPECT_EQ(*tokenize(R"("a\u0062<|end|>\n")"), "[97,98,260,10]");
  EXPECT_EQ(*tokenize(R"("")"), "[]");
  EXPECT_EQ(*tokenize_line(*tokenizer, R"("<think>")", SpecialTokens::kPlain),
            "[60,116,104,105,110,107,62]");
  EXPECT_EQ(tokenize("[1]").error().message, "expected a JSON string, found another value");
  EXPECT_FALSE(tokenize("\"a"));
  EXPECT_EQ(*detokenize_line(*tokenizer, "[258, 260, 10, 200]"), "\"hell<|end|>\\n\ufffd\"");
  EXPECT_EQ(detokenize_line(*tokenizer, "[1, 263]").error().message,
            "item 1: expected an id from 0 to 262, found 263");
  EXPECT_FALSE(detokenize_line(*tokenizer, "[1.5]"));
  EXPECT_FALSE(detokenize_line(*tokenizer, "{}"));
}

// The metadata that the official converter writes for a tokenizer.json.
GgufWriter as_gguf(const Json& json) {
  std::vector<std::string> tokens(at(const_cast<Json&>(json), {"model", "vocab"}).members().size());
  std::vector<std::string> merges;
  for (const auto& [token, id] : json.find("model")->find("vocab")->members())
    tokens.at(*id.as_int64()) = token;
  std::vector<int64_t> types(tokens.size(), 1);
  for (const Json& token : json.find("added_tokens")->items()) {
    const std::string& content = token.find("content")->as_string();
    EXPECT_EQ(*token.find("id")->as_int64(), static_cast<int64_t>(tokens.size()));
    const bool control =
        token.find("special")->as_bool() || (content.starts_with("<|") && content.ends_with("|>"));
    tokens.push_back(content);
    types.push_back(control ? 3 : 4);
  }
  while (tokens.size() % 64 != 0) {
    tokens.push_back("[PAD" + std::to_string(tokens.size()) + "]");
    types.push_back(5);
  }
  for (const Json& merge : json.find("model")->find("merges")->items())
    merges.push_back(merge.items()[0].as_string() + " " + merge.items()[1].as_string());
  return {{{"general.architecture", std::string("qwen35")},
           {"tokenizer.ggml.model", std::string("gpt2")},
           {"tokenizer.ggml.tokens", GgufArray{std::move(tokens)}},
           {"tokenizer.ggml.token_type", GgufArray{std::move(types)}},
           {"tokenizer.ggml.merges", GgufArray{std::move(merges)}}},
          {}};
}

Result<std::unique_ptr<Tokenizer>> read_back(const GgufWriter& writer) {
  const TemporaryFolder folder;
  const std::string path = folder / "tokenizer.gguf";
  EXPECT_TRUE(writer.write(path));
  const auto file = GgufFile::open(path);
  EXPECT_TRUE(file) << file.error().message;
  return Tokenizer::from_gguf(**file);
}

TEST(GgufTokenizer, IsTheSameAsTheJson) {
  const auto json = checkpoint::parse_json(unpack_golden("tokenizer.json"));
  const auto tokenizer = read_back(as_gguf(*json));
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const Tokenizer& expected = qwen35_tokenizer();
  ASSERT_EQ((*tokenizer)->vocabulary_size(), expected.vocabulary_size());
  for (int32_t id = 0; id < expected.vocabulary_size() + 300; ++id) {
    ASSERT_EQ((*tokenizer)->token_bytes(id), expected.token_bytes(id)) << id;
    ASSERT_EQ((*tokenizer)->is_added(id), expected.is_added(id)) << id;
    ASSERT_EQ((*tokenizer)->is_special(id), expected.is_special(id)) << id;
  }
  for (const auto& line : parse_lines(unpack_golden("tokenizer.jsonl")))
    ASSERT_EQ((*tokenizer)->encode(line.find("text")->as_string()), ids_of(*line.find("ids")));
}

TEST(GgufTokenizer, OfTheOfficialConverterIsRead) {
  const auto file = GgufFile::open(GODWIT_SOURCE_DIR "/tests/goldens/gguf/qwen35-tiny.bf16.gguf");
  ASSERT_TRUE(file) << file.error().message;
  const auto tokenizer = Tokenizer::from_gguf(**file);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ((*tokenizer)->vocabulary_size(), 320);
  EXPECT_EQ((*tokenizer)->id_of("<|endoftext|>"), 296);
  EXPECT_EQ((*tokenizer)->encode("<|im_start|>a t\n<|im_end|>"), (Ids{297, 64, 256, 198, 298}));
  EXPECT_FALSE((*tokenizer)->is_special(*(*tokenizer)->id_of("<|fim_prefix|>")));
  EXPECT_TRUE((*tokenizer)->is_special(298));
}

TEST(GgufTokenizer, DamagedFilesAreErrors) {
  const GgufWriter good = as_gguf(small_tokenizer_json());
  ASSERT_TRUE(read_back(good));
  const auto error_with_value = [&](size_t key, checkpoint::GgufValue value) {
    GgufWriter bad = good;
    bad.metadata[key].second = std::move(value);
    const auto tokenizer = read_back(bad);
    EXPECT_FALSE(tokenizer);
    return tokenizer ? "" : tokenizer.error().message;
  };
  using Strings = std::vector<std::string>;
  using Integers = std::vector<int64_t>;
  EXPECT_THAT(error_with_value(1, std::string("llama")),
              HasSubstr("tokenizer.ggml.model: expected gpt2, found 'llama'"));
  EXPECT_THAT(error_with_value(2, int64_t{1}),
              HasSubstr("tokenizer.ggml.tokens: expected an array of strings"));
  EXPECT_THAT(error_with_value(3, GgufArray{Integers{1, 2}}),
              HasSubstr("token_type: expected 320 integers, found 2"));
  EXPECT_THAT(error_with_value(3, GgufArray{Integers(320, 6)}),
              HasSubstr("tokenizer.ggml.tokens[0]: expected type 1, 3, 4 or 5, found 6"));
  EXPECT_THAT(error_with_value(3, GgufArray{Integers(320, 5)}),
              HasSubstr("no token for byte 0x00"));
  EXPECT_THAT(error_with_value(2, GgufArray{Strings(320, "a")}),
              HasSubstr("tokenizer.ggml.tokens[1]: ids 0 and 1 are given to the same token"));
  EXPECT_THAT(error_with_value(4, int64_t{1}), HasSubstr("merges: expected an array of strings"));
  EXPECT_THAT(error_with_value(4, GgufArray{Strings{"a"}}), HasSubstr("tokenizer.ggml.merges[0]"));
}

}  // namespace
}  // namespace godwit::text
