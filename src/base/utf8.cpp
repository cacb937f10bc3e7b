#include "base/utf8.h"

#include <cstring>

namespace godwit {

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

std::string repaired_utf8(std::string_view text) {
  std::string out;
  for (size_t broken; (broken = find_broken_utf8(text)) != text.npos;) {
    out += text.substr(0, broken);
    out += kReplacementCharacter;
    text.remove_prefix(broken + read_utf8(text, broken).length);
  }
  out += text;
  return out;
}

}  // namespace godwit
