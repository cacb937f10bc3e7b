// Character classes and NFC against the reference's tables and against first principles.
#include "text/unicode.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <random>
#include <utility>

#include "tests/text/golden_text.h"
#include "text/normalise.h"

namespace godwit::text {
namespace {

using checkpoint::Json;

const Json& tables() {
  static const Json json =
      *checkpoint::parse_json(*read_file(golden_path("unicode_tables.json"), 1 << 20));
  return json;
}

char32_t code_point(const Json& number) { return static_cast<char32_t>(*number.as_int64()); }
char32_t from_hex(const std::string& text) {
  return static_cast<char32_t>(std::strtoul(text.c_str(), nullptr, 16));
}
bool is_surrogate(char32_t c) { return c >= 0xd800 && c < 0xe000; }

std::string utf8(std::u32string_view text) {
  std::string out;
  for (const char32_t c : text) append_utf8(c, out);
  return out;
}
std::string nfc(std::u32string_view text) {
  std::string out;
  append_nfc(utf8(text), out);
  return out;
}

TEST(Unicode, ClassesAreTheReferences) {
  std::map<char32_t, CharacterClass> expected;
  const auto add = [&](const char* name, CharacterClass wanted) {
    for (const Json& range : tables().find(name)->items())
      for (char32_t c = code_point(range.items()[0]); c <= code_point(range.items()[1]); ++c)
        expected[c] = wanted;
  };
  add("L", CharacterClass::kLetter);
  add("M", CharacterClass::kMark);
  add("N", CharacterClass::kNumber);
  add("white_space", CharacterClass::kSpace);
  ASSERT_GT(expected.size(), 130000u);
  for (char32_t c = 0; c < kCodePoints; ++c) {
    const auto found = expected.find(c);
    const auto wanted = found == expected.end() ? CharacterClass::kOther : found->second;
    ASSERT_EQ(CharacterTable::get().class_of(c), wanted) << std::hex << static_cast<uint32_t>(c);
  }
}

TEST(Nfc, OfEverySingleCharacterIsTheReferences) {
  const Json& changes = *tables().find("nfc_changes_single");
  std::map<char32_t, std::u32string> expected;
  for (const auto& [key, value] : changes.members())
    for (const Json& c : value.items()) expected[from_hex(key)] += code_point(c);
  ASSERT_EQ(expected.size(), 1120u);
  for (char32_t c = 0; c < kCodePoints; ++c) {
    if (is_surrogate(c)) continue;
    const auto found = expected.find(c);
    const std::u32string wanted = found == expected.end() ? std::u32string(1, c) : found->second;
    ASSERT_EQ(nfc({&c, 1}), utf8(wanted)) << std::hex << static_cast<uint32_t>(c);
  }
}

TEST(Nfc, JoinsThePairsOfTheReference) {
  const auto& pairs = tables().find("nfc_pairs")->members();
  ASSERT_EQ(pairs.size(), 941u);
  for (const auto& [key, value] : pairs) {
    const size_t plus = key.find('+');
    const std::u32string pair = {from_hex(key.substr(0, plus)), from_hex(key.substr(plus + 1))};
    EXPECT_EQ(nfc(pair), value.is_null() ? utf8(pair) : utf8(std::u32string(1, code_point(value))))
        << key;
  }
}

TEST(Nfc, JoinsHangulByItsFormula) {
  for (char32_t s = 0xac00; s < 0xd7a4; ++s) {
    const char32_t index = s - 0xac00, t = index % 28;
    std::u32string parts = {0x1100 + index / 588, 0x1161 + index % 588 / 28};
    if (t) parts += static_cast<char32_t>(0x11a7 + t);
    ASSERT_EQ(nfc(parts), utf8(std::u32string(1, s)));
    if (t) {
      ASSERT_EQ(nfc(std::u32string{s - t, 0x11a7 + t}), utf8(std::u32string(1, s)));
    }
  }
}

TEST(Nfc, LeavesLateMarksInTheirPlace) {
  ASSERT_EQ(tables().find("late_marks")->items().size(), 98u);
  for (const Json& mark : tables().find("late_marks")->items()) {
    const char32_t late = code_point(mark);
    EXPECT_EQ(combining_class(late), 0);
    // A mark of class 230 before it and one of 220 after would be exchanged across a mark of 220.
    const std::u32string text = {'q', 0x301, late, 0x323};
    EXPECT_EQ(nfc(text), utf8(text)) << std::hex << static_cast<uint32_t>(late);
    // It stands between: nothing joins across it.
    EXPECT_EQ(nfc(std::u32string{'e', late, 0x301}), utf8(std::u32string{'e', late, 0x301}));
  }
}

TEST(Nfc, SortsMarksAndJoinsAcrossLowerClasses) {
  EXPECT_EQ(nfc(U"q\u0301\u0323"), utf8(U"q\u0323\u0301"));
  EXPECT_EQ(nfc(U"e\u0302\u0323"), utf8(U"\u1ec7"));
  EXPECT_EQ(nfc(U"e\u0323\u0302"), utf8(U"\u1ec7"));
  EXPECT_EQ(nfc(U"a\u0315\u0300\u05ae\u0300"), utf8(U"\u00e0\u05ae\u0300\u0315"));
  EXPECT_EQ(nfc(U"a\u0305\u0300"), utf8(U"a\u0305\u0300"));  // the same class stands between
  // Younger than the reference's data: a composite that stays, whatever follows.
  EXPECT_EQ(nfc(U"\U00011938\u0301"), utf8(U"\U00011938\u0301"));
  EXPECT_EQ(nfc(U"\u0301e"), utf8(U"\u0301e"));            // a mark with nothing before
  EXPECT_EQ(nfc(U"\u212b\u0323"), utf8(U"\u1ea0\u030a"));  // taken apart, sorted, joined
  EXPECT_EQ(nfc(U"ab\u0301 e\u0301!"), utf8(U"ab\u0301 \u00e9!"));
}

TEST(Nfc, OfRandomTextIsStableAndSuspectsAreFound) {
  std::mt19937 random(1);
  std::vector<char32_t> pool;
  for (char32_t c = 0x20; c < 0x30000; ++c) {
    const auto& table = CharacterTable::get();
    if (!is_surrogate(c) && (table.nfc_may_touch(c) || random() % 64 == 0)) pool.push_back(c);
  }
  for (int i = 0; i < 20000; ++i) {
    std::u32string text;
    for (size_t n = random() % 12; n > 0; --n)
      text += random() % 3 ? pool[random() % pool.size()] : char32_t('a' + random() % 26);
    const std::string once = nfc(text);
    std::string twice;
    append_nfc(once, twice);
    ASSERT_EQ(once, twice);
    if (find_nfc_suspect(utf8(text)) == std::string_view::npos) {
      ASSERT_EQ(once, utf8(text));
    }
  }
}

TEST(StreamingDetokenizer, GivesTheWholeTextHoweverItIsCut) {
  std::mt19937 random(2);
  const unsigned char bytes[] = {'a',  0x80, 0x90, 0xa0, 0xbf, 0xc0, 0xc3, 0xe0,
                                 0xe2, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff};
  for (int i = 0; i < 50000; ++i) {
    std::string text;
    for (size_t n = random() % 16; n > 0; --n) text += static_cast<char>(bytes[random() % 16]);
    StreamingDetokenizer stream;
    std::string shown;
    for (size_t at = 0; at < text.size();) {
      const size_t n = 1 + random() % 3;
      shown += stream.push(std::string_view(text).substr(at, n));
      // What is held back is a beginning that may still become a character.
      ASSERT_TRUE(repaired_utf8(text.substr(0, at + n)) == shown ||
                  repaired_utf8(text.substr(0, at + n)) == shown + "\ufffd");
      at += n;
    }
    ASSERT_EQ(shown + stream.finish(), repaired_utf8(text));
  }
}

}  // namespace
}  // namespace godwit::text
