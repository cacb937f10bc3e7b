// A tokenizer.json and a text: `JSON \0 TEXT`. Whatever loads must give back what it encoded.
#include "text/tokenizer.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/utf8.h"
#include "text/normalise.h"

namespace {

using godwit::text::SpecialTokens;
using godwit::text::StreamingDetokenizer;
using godwit::text::Tokenizer;

void check(const Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.encode(text, SpecialTokens::kPlain);
  StreamingDetokenizer stream;
  std::string streamed, normalised;
  for (const int32_t id : ids) {
    CHECK(id >= 0 && id < tokenizer.vocabulary_size());
    streamed += stream.push(tokenizer.token_bytes(id));
  }
  streamed += stream.finish();
  const std::string repaired = godwit::repaired_utf8(text);
  godwit::text::append_nfc(repaired, normalised);
  CHECK(streamed == normalised);
  CHECK(tokenizer.decode(ids) == normalised);
  for (const int32_t id : tokenizer.encode(text, SpecialTokens::kRecognise))
    CHECK(!tokenizer.token_bytes(id).empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\0'), input.size());
  const std::string_view text = input.substr(std::min(end + 1, input.size()));
  const auto tokenizer = Tokenizer::from_json(input.substr(0, end), text);
  if (tokenizer) check(**tokenizer, text);
  if (const auto alone = Tokenizer::from_json(input.substr(0, end))) check(**alone, text);
  return 0;
}
