// The split rule against PCRE2 running the very regex, on characters whose class both agree on.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/split.h"

#include <gtest/gtest.h>
#include <pcre2.h>

#include <random>
#include <string>
#include <vector>

#include "base/check.h"
#include "text/unicode.h"

namespace godwit::text {
namespace {

class Regex {
 public:
  explicit Regex(const std::string& pattern) {
    int error = 0;
    size_t offset = 0;
    code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                          PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
    CHECK(code_ != nullptr);
    pcre2_jit_compile(code_, PCRE2_JIT_COMPLETE);
    data_ = pcre2_match_data_create_from_pattern(code_, nullptr);
  }
  ~Regex() {
    pcre2_match_data_free(data_);
    pcre2_code_free(code_);
  }
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;

  // The end of the match that starts at `begin`; npos if there is none.
  size_t match(std::string_view text, size_t begin) const {
    const int found = pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                  begin, PCRE2_ANCHORED, data_, nullptr);
    return found > 0 ? pcre2_get_ovector_pointer(data_)[1] : std::string_view::npos;
  }

 private:
  pcre2_code* code_;
  pcre2_match_data* data_;
};

// PCRE2's \s has U+180E, which is no White_Space; so the class is spelled out.
std::string spell_out_spaces(std::string regex) {
  const std::string inside =
      R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
  const auto replace = [&](const std::string& from, const std::string& to) {
    for (size_t at = 0; (at = regex.find(from, at)) != std::string::npos; at += to.size())
      regex.replace(at, from.size(), to);
  };
  replace(R"([^\s)", "[^" + inside);
  replace(R"(\s)", "[" + inside + "]");
  replace(R"(\S)", "[^" + inside + "]");
  return regex;
}

const std::string kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Characters that PCRE2's Unicode knows, where it says what ours says.
const std::vector<char32_t>& common_characters() {
  static const std::vector<char32_t> characters = [] {
    const Regex letter(R"(\p{L})"), mark(R"(\p{M})"), number(R"(\p{N})"), assigned(R"(\P{Cn})");
    std::vector<char32_t> out;
    for (char32_t c = 0; c < kCodePoints; ++c) {
      if ((c >= 0xd800 && c < 0xe000) || c >= 0xf0000) continue;
      std::string text;
      append_utf8(c, text);
      const auto is = [&](const Regex& regex) { return regex.match(text, 0) == text.size(); };
      if (!is(assigned)) continue;
      const CharacterClass wanted = is(letter)   ? CharacterClass::kLetter
                                    : is(mark)   ? CharacterClass::kMark
                                    : is(number) ? CharacterClass::kNumber
                                                 : CharacterClass::kOther;
      const CharacterClass ours = CharacterTable::get().class_of(c);
      EXPECT_EQ(ours == CharacterClass::kSpace ? CharacterClass::kOther : ours, wanted)
          << std::hex << static_cast<uint32_t>(c);
      out.push_back(c);
    }
    return out;
  }();
  return characters;
}

std::string random_text(std::mt19937& random) {
  static const std::u32string often =
      U"''''sStTrReEvVmMlLdD\u017f   \t\n\n\r\r09.,!?_-x\u00e9\u0301\u0323\u4e2d\u3000\u00a0\u0085"
      U"\u2028\u00b2\u0661\U0001f600\u200d";
  const auto& all = common_characters();
  std::string out;
  for (size_t n = 1 + random() % 24; n > 0; --n) {
    const char32_t c = random() % 6 ? often[random() % often.size()] : all[random() % all.size()];
    for (size_t times = random() % 5 ? 1 : 1 + random() % 4; times > 0; --times)
      append_utf8(c, out);
  }
  return out;
}

void compare_with_pcre(SplitRule rule, const std::string& pattern) {
  const Regex regex(spell_out_spaces(pattern));
  std::mt19937 random(3);
  for (int i = 0; i < 60000; ++i) {
    const std::string text = random_text(random);
    for (size_t at = 0; at < text.size();) {
      const size_t end = piece_end(rule, text, at);
      ASSERT_EQ(end, regex.match(text, at)) << "at " << at << " of \"" << text << '"';
      at = end;
    }
  }
}

TEST(Split, Qwen35AgreesWithPcre) { compare_with_pcre(SplitRule::kQwen35, kQwen35); }
TEST(Split, Qwen2AgreesWithPcre) { compare_with_pcre(SplitRule::kQwen2, kQwen2); }

TEST(Split, KnowsItsRulesBySpelling) {
  EXPECT_EQ(find_split_rule(kQwen35), SplitRule::kQwen35);
  EXPECT_EQ(find_split_rule(kQwen2), SplitRule::kQwen2);
  EXPECT_EQ(find_split_rule(R"(\s+|\S+)"), std::nullopt);
}

std::vector<std::string> split(SplitRule rule, const std::string& text) {
  std::vector<std::string> out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = piece_end(rule, text, at);
    out.push_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

TEST(Split, CutsAsExpected) {
  using Pieces = std::vector<std::string>;
  const auto qwen35 = [](const std::string& text) { return split(SplitRule::kQwen35, text); };
  EXPECT_EQ(qwen35("I'm here's  12\n"),
            (Pieces{"I", "'m", " here", "'s", " ", " ", "1", "2", "\n"}));
  EXPECT_EQ(qwen35("a   b"), (Pieces{"a", "  ", " b"}));
  EXPECT_EQ(qwen35("x \n \n  y  "), (Pieces{"x", " \n \n", " ", " y", "  "}));
  EXPECT_EQ(qwen35("f(x) !?\r\n\nz"), (Pieces{"f", "(x", ")", " !?\r\n\n", "z"}));
  EXPECT_EQ(qwen35("it'\u017fo"), (Pieces{"it", "'\u017f", "o"}));
  EXPECT_EQ(qwen35("'LL'Ve'"), (Pieces{"'LL", "'Ve", "'"}));
  // Marks join letters in the newer rule and are punctuation in the older one.
  EXPECT_EQ(qwen35("q\u0301q"), (Pieces{"q\u0301q"}));
  EXPECT_EQ(split(SplitRule::kQwen2, "q\u0301q"), (Pieces{"q", "\u0301q"}));
}

}  // namespace
}  // namespace godwit::text
