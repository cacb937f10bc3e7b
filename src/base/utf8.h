// UTF-8: bytes ↔ code points.
//
// Broken UTF-8 counts in maximal parts: the longest start of some valid sequence, or one byte that
// starts none (Unicode 3.9, U+FFFD substitution). Each becomes one U+FFFD.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace godwit {

constexpr char32_t kCodePoints = 0x110000;
constexpr std::string_view kReplacementCharacter = "\xef\xbf\xbd";

enum class Utf8Status {
  kValid,
  kBroken,      // can never become valid
  kUnfinished,  // the text ends inside a sequence that is valid so far
};
struct Utf8Step {
  Utf8Status status;
  uint8_t length;       // of the character or the maximal part
  char32_t code_point;  // if valid
};
// The sequence at `at` < text.size().
Utf8Step read_utf8(std::string_view text, size_t at);

// A character of text that is known to be valid; moves `at` behind it.
inline char32_t next_code_point(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const char32_t first = byte(at);
  if (first < 0x80) return at += 1, first;
  const char32_t second = byte(at + 1) & 0x3f;
  if (first < 0xe0) return at += 2, (first & 0x1f) << 6 | second;
  const char32_t third = byte(at + 2) & 0x3f;
  if (first < 0xf0) return at += 3, (first & 0x0f) << 12 | second << 6 | third;
  const char32_t fourth = byte(at + 3) & 0x3f;
  return at += 4, (first & 0x07) << 18 | second << 12 | third << 6 | fourth;
}

void append_utf8(char32_t code_point, std::string& out);

// Where the first broken sequence starts; npos if there is none.
size_t find_broken_utf8(std::string_view text);
inline bool is_utf8(std::string_view text) { return find_broken_utf8(text) == text.npos; }
std::string repaired_utf8(std::string_view text);

}  // namespace godwit
