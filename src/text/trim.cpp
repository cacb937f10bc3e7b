#include "text/trim.h"

namespace godwit::text {
namespace {

// Length of the white space character that starts here; 0 if none does. All of them are 1 to 3
// bytes long.
size_t space_at(std::string_view text) {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const unsigned a = byte(0), b = byte(1), c = byte(2);
  if ((a >= 0x09 && a <= 0x0d) || (a >= 0x1c && a <= 0x20)) return 1;
  if (a == 0xc2) return b == 0x85 || b == 0xa0 ? 2 : 0;  // U+0085, U+00A0
  const unsigned three = a << 16 | b << 8 | c;
  const bool is_space = three == 0xe19a80 ||                         // U+1680
                        (three >= 0xe28080 && three <= 0xe2808a) ||  // U+2000 … U+200A
                        three == 0xe280a8 || three == 0xe280a9 ||    // U+2028, U+2029
                        three == 0xe280af || three == 0xe2819f ||    // U+202F, U+205F
                        three == 0xe38080;                           // U+3000
  return is_space ? 3 : 0;
}

}  // namespace

std::string_view trim_start(std::string_view text) {
  while (const size_t length = space_at(text)) text.remove_prefix(length);
  return text;
}

std::string_view trim_end(std::string_view text) {
  const auto ends_with_space = [&](size_t length) {
    return text.size() >= length && space_at(text.substr(text.size() - length)) == length;
  };
  for (size_t length = 1; length != 0;) {
    length = ends_with_space(1) ? 1 : ends_with_space(2) ? 2 : ends_with_space(3) ? 3 : 0;
    text.remove_suffix(length);
  }
  return text;
}

}  // namespace godwit::text
