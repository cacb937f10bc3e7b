// What a message shows of text that came from outside: one line, valid UTF-8, nothing that drives a
// terminal.
#include "base/visible.h"

#include <gtest/gtest.h>

#include <random>

#include "base/utf8.h"

namespace godwit {
namespace {

TEST(Visible, ControlCharactersAndBrokenBytesAreSpelledOut) {
  EXPECT_EQ(visible("blk.0.größe 模型"), "blk.0.größe 模型");
  EXPECT_EQ(visible("a\nb\tc\x1b[31m\x7f"), "a\\x0ab\\x09c\\x1b[31m\\x7f");
  EXPECT_EQ(visible(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(visible("\xc2\x85"), "\\u0085");  // NEL, a C1 control
  EXPECT_EQ(visible("\xff\xe2\x82 \xe2\x82"), "\\xff\\xe2\\x82 \\xe2\\x82");
  EXPECT_EQ(visible("a\nb\tc\x1b", "\n\t"), "a\nb\tc\\x1b");
}

TEST(InQuotes, EscapesItsOwnMarks) {
  EXPECT_EQ(in_quotes(""), "''");
  EXPECT_EQ(in_quotes("it's \\n"), "'it\\'s \\\\n'");
}

TEST(InQuotes, CutsLongTextAtACharacter) {
  EXPECT_EQ(in_quotes(std::string(100, 'a')), "'" + std::string(100, 'a') + "'");
  EXPECT_EQ(in_quotes(std::string(101, 'a')), "'" + std::string(100, 'a') + "…'");
  EXPECT_EQ(in_quotes(std::string(99, 'a') + "é"), "'" + std::string(99, 'a') + "…'");
  EXPECT_EQ(in_quotes(std::string(98, 'a') + "é"), "'" + std::string(98, 'a') + "é'");
}

TEST(InQuotes, WhateverTheBytesItIsOneLineOfUtf8) {
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes(random() % 120, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    for (const std::string& shown : {in_quotes(bytes), visible(bytes)}) {
      ASSERT_TRUE(is_utf8(shown));
      for (size_t at = 0; at < shown.size();) {
        const char32_t c = next_code_point(shown, at);
        ASSERT_FALSE(c < 0x20 || (c >= 0x7f && c < 0xa0));
      }
    }
  }
}

}  // namespace
}  // namespace godwit
