// UTF-8 against the Unicode Standard's table and against first principles.
#include "base/utf8.h"

#include <gtest/gtest.h>

#include <utility>

namespace godwit {
namespace {

bool is_surrogate(char32_t c) { return c >= 0xd800 && c < 0xe000; }

TEST(Utf8, ReplacesEachMaximalPartOnce) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"abc", "abc"},
      {"\x80", "\ufffd"},
      {"\xc0\x80", "\ufffd\ufffd"},                      // overlong: neither byte starts anything
      {"\xe0\x9f\x80", "\ufffd\ufffd\ufffd"},            // overlong
      {"\xed\xa0\x80", "\ufffd\ufffd\ufffd"},            // surrogate
      {"\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"},  // above U+10FFFF
      {"\xf1\x80\x80", "\ufffd"},                        // one part of three bytes
      {"\xf1\x80\x80z", "\ufffdz"},
      {"\xf1\x80\xe1\x80\xc2", "\ufffd\ufffd\ufffd"},  // three unfinished ones
      {"\xe2\x82\xac\xe2\x82", "€\ufffd"},
      {"12345678\xff"
       "12345678",
       "12345678\ufffd"
       "12345678"},
  };
  for (const auto& [bytes, wanted] : cases) EXPECT_EQ(repaired_utf8(bytes), wanted);
  // The table of the Unicode Standard, 3.9.
  EXPECT_EQ(repaired_utf8("\x61\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63\x80\xbf\x64"),
            "a\ufffd\ufffd\ufffdb\ufffdc\ufffd\ufffdd");
}

TEST(Utf8, EveryCodePointReadsBack) {
  for (char32_t c = 0; c < kCodePoints; ++c) {
    std::string text;
    append_utf8(c, text);
    const Utf8Step step = read_utf8(text, 0);
    if (is_surrogate(c)) {
      ASSERT_EQ(step.status, Utf8Status::kBroken);
      continue;
    }
    ASSERT_EQ(step.status, Utf8Status::kValid);
    ASSERT_EQ(step.length, text.size());
    ASSERT_EQ(step.code_point, c);
    size_t at = 0;
    ASSERT_EQ(next_code_point(text, at), c);
    ASSERT_EQ(at, text.size());
  }
}

}  // namespace
}  // namespace godwit
