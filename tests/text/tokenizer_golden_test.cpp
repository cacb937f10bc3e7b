// Every line of the reference's tokenizer goldens: ids, text read back, streams.
#include "tests/text/golden_text.h"

namespace godwit::text {
namespace {

TEST(TokenizerGolden, EncodesAndDecodesAsTheReference) {
  const Tokenizer& tokenizer = qwen35_tokenizer();
  EXPECT_EQ(tokenizer.vocabulary_size(), 248077);
  const auto lines = parse_lines(unpack_golden("tokenizer.jsonl"));
  EXPECT_EQ(lines.size(), 1695u);
  for (const auto& line : lines) {
    SCOPED_TRACE(line.find("name")->as_string());
    const auto ids = ids_of(*line.find("ids"));
    EXPECT_EQ(tokenizer.encode(line.find("text")->as_string()), ids);
    EXPECT_EQ(tokenizer.decode(ids), line.find("decoded")->as_string());
    const auto* shown = line.find("decoded_skip_special");
    EXPECT_EQ(tokenizer.decode(ids, true), (shown ? shown : line.find("decoded"))->as_string());
  }
}

std::string from_hex(const std::string& hex) {
  std::string out;
  for (size_t i = 0; i < hex.size(); i += 2)
    out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return out;
}

TEST(TokenizerGolden, StreamsAsTheReference) {
  const Tokenizer& tokenizer = qwen35_tokenizer();
  const auto lines = parse_lines(*read_file(golden_path("detokenize.jsonl")));
  EXPECT_EQ(lines.size(), 340u);
  for (const auto& line : lines) {
    SCOPED_TRACE(line.find("name")->as_string());
    const auto ids = ids_of(*line.find("ids"));
    StreamingDetokenizer stream;
    for (size_t i = 0; i < ids.size(); ++i) {
      const std::string bytes(tokenizer.token_bytes(ids[i]));
      EXPECT_EQ(bytes, from_hex(line.find("bytes")->items()[i].as_string()));
      EXPECT_EQ(stream.push(bytes), line.find("chunks")->items()[i].as_string()) << "token " << i;
    }
    EXPECT_EQ(stream.finish(), line.find("tail")->as_string());
    EXPECT_EQ(tokenizer.decode(ids), line.find("decoded")->as_string());
  }
}

}  // namespace
}  // namespace godwit::text
