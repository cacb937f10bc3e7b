#include "text/unicode.h"

#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "text/normalise.h"
#include "text/unicode_tables.h"

namespace godwit::text {

Utf8Step read_utf8(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  if (first < 0x80) return {Utf8Status::kValid, 1, first};
  if (first < 0xc2 || first > 0xf4) return {Utf8Status::kBroken, 1, 0};
  const int length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  // The second byte's range shuts out overlong forms, surrogates and what is above U+10FFFF.
  unsigned char low = 0x80, high = 0xbf;
  if (first == 0xe0) low = 0xa0;
  if (first == 0xed) high = 0x9f;
  if (first == 0xf0) low = 0x90;
  if (first == 0xf4) high = 0x8f;
  char32_t code_point = first & (0x7f >> length);
  for (int i = 1; i < length; ++i) {
    if (at + i >= text.size()) return {Utf8Status::kUnfinished, static_cast<uint8_t>(i), 0};
    const unsigned char next = byte(at + i);
    if (next < low || next > high) return {Utf8Status::kBroken, static_cast<uint8_t>(i), 0};
    code_point = code_point << 6 | (next & 0x3f);
    low = 0x80, high = 0xbf;
  }
  return {Utf8Status::kValid, static_cast<uint8_t>(length), code_point};
}

void append_utf8(char32_t c, std::string& out) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | (c >> shift & 0x3f)); };
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | c >> 6);
    tail(0);
  } else if (c < 0x10000) {
    out += static_cast<char>(0xe0 | c >> 12);
    tail(6), tail(0);
  } else {
    out += static_cast<char>(0xf0 | c >> 18);
    tail(12), tail(6), tail(0);
  }
}

size_t find_broken_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    uint64_t eight = 0;
    if (text.size() - at >= 8) {
      std::memcpy(&eight, text.data() + at, 8);
      if ((eight & 0x8080808080808080) == 0) {
        at += 8;
        continue;
      }
    }
    const Utf8Step step = read_utf8(text, at);
    if (step.status != Utf8Status::kValid) return at;
    at += step.length;
  }
  return std::string_view::npos;
}

void append_repaired_utf8(std::string_view text, std::string& out) {
  while (!text.empty()) {
    const size_t broken = find_broken_utf8(text);
    out += text.substr(0, broken);
    if (broken == std::string_view::npos) return;
    out += kReplacementCharacter;
    text.remove_prefix(broken + read_utf8(text, broken).length);
  }
}

const CharacterTable& CharacterTable::get() {
  static const CharacterTable table;
  return table;
}

CharacterTable::CharacterTable()
    : flags_(static_cast<uint8_t*>(std::calloc(kCodePoints, 1)), std::free) {
  CHECK_MSG(flags_ != nullptr, "out of memory");
  const auto add = [&](const auto& ranges, uint8_t flag) {
    for (const auto& [first, last] : ranges)
      for (char32_t c = first; c <= last; ++c) flags_[c] |= flag;
  };
  add(kLetters, static_cast<uint8_t>(CharacterClass::kLetter));
  add(kMarks, static_cast<uint8_t>(CharacterClass::kMark));
  add(kNumbers, static_cast<uint8_t>(CharacterClass::kNumber));
  add(kWhiteSpace, static_cast<uint8_t>(CharacterClass::kSpace));
  add(kChanging, 8);
  add(kComposing, 8);
  for (const auto& [first, last] : kMarks)  // a combining class implies \p{M}
    for (char32_t c = first; c <= last; ++c)
      if (combining_class(c) != 0) flags_[c] |= 8;
}

}  // namespace godwit::text
