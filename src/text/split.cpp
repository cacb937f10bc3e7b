#include "text/split.h"

#include "text/unicode.h"

namespace godwit::text {
namespace {

constexpr std::string_view kQwen35Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

bool is_newline(char c) { return c == '\r' || c == '\n'; }

class Scanner {
 public:
  Scanner(SplitRule rule, std::string_view text)
      : rule_(rule), text_(text), table_(CharacterTable::get()) {}

  size_t end_of_piece(size_t begin) const {
    if (text_[begin] == '\'')
      if (const size_t length = contraction(begin)) return begin + length;
    size_t after = begin;
    switch (read(after)) {
      case CharacterClass::kLetter:
      case CharacterClass::kMark:
        return skip_letters(after);
      case CharacterClass::kNumber:
        return after;
      case CharacterClass::kOther: {
        const size_t end = skip_letters(after);
        return end > after ? end : skip_newlines(skip_others(after));
      }
      case CharacterClass::kSpace:
        return end_of_space(begin, after);
    }
    return after;
  }

 private:
  CharacterClass read(size_t& at) const {
    const CharacterClass found = table_.class_of(next_code_point(text_, at));
    const bool mark_is_other = rule_ == SplitRule::kQwen2 && found == CharacterClass::kMark;
    return mark_is_other ? CharacterClass::kOther : found;
  }

  template <class Wanted>
  size_t skip(size_t at, Wanted wanted) const {
    while (at < text_.size()) {
      size_t next = at;
      if (!wanted(read(next))) break;
      at = next;
    }
    return at;
  }
  size_t skip_letters(size_t at) const {
    return skip(at, [](CharacterClass c) {
      return c == CharacterClass::kLetter || c == CharacterClass::kMark;
    });
  }
  size_t skip_others(size_t at) const {
    return skip(at, [](CharacterClass c) { return c == CharacterClass::kOther; });
  }
  size_t skip_newlines(size_t at) const {
    while (at < text_.size() && is_newline(text_[at])) ++at;
    return at;
  }

  // Length of 's, 't, 're, 've, 'm, 'll or 'd in either case (and 'ſ, whose upper case is S); or 0.
  size_t contraction(size_t begin) const {
    const auto lower = [&](size_t i) {
      const char c = begin + i < text_.size() ? text_[begin + i] : '\0';
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    };
    const char first = lower(1), second = lower(2);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
    if ((first == 'r' || first == 'v') && second == 'e') return 3;
    if (first == 'l' && second == 'l') return 3;
    return text_.substr(begin + 1).starts_with("\u017f") ? 3 : 0;
  }

  // The piece that starts with white space at `begin`, whose first character ends at `after`.
  size_t end_of_space(size_t begin, size_t after) const {
    if (!is_newline(text_[begin])) {
      if (const size_t end = skip_letters(after); end > after) return end;
      if (text_[begin] == ' ')
        if (const size_t end = skip_others(after); end > after) return skip_newlines(end);
    }
    // The whole run: to its last newline, else all but the last character if text follows.
    size_t last = begin, end = begin, behind_newline = begin;
    while (end < text_.size()) {
      size_t next = end;
      if (read(next) != CharacterClass::kSpace) break;
      if (is_newline(text_[end])) behind_newline = next;
      last = end;
      end = next;
    }
    if (behind_newline > begin) return behind_newline;
    return end == text_.size() || last == begin ? end : last;
  }

  SplitRule rule_;
  std::string_view text_;
  const CharacterTable& table_;
};

}  // namespace

std::optional<SplitRule> find_split_rule(std::string_view regex) {
  if (regex == kQwen35Regex) return SplitRule::kQwen35;
  if (regex == kQwen2Regex) return SplitRule::kQwen2;
  return std::nullopt;
}

size_t piece_end(SplitRule rule, std::string_view text, size_t begin) {
  return Scanner(rule, text).end_of_piece(begin);
}

}  // namespace godwit::text
