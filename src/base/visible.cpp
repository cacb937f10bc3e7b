#include "base/visible.h"

#include <fmt/format.h>

#include "base/utf8.h"

namespace godwit {
namespace {

void append_visible(std::string_view bytes, const Utf8Step& step, std::string& out) {
  const char32_t c = step.code_point;
  if (step.status != Utf8Status::kValid || c < 0x20 || c == 0x7f) {
    for (const char byte : bytes) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
  } else if (c >= 0x80 && c < 0xa0) {
    out += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
  } else {
    out += bytes;
  }
}

}  // namespace

std::string visible(std::string_view text, std::string_view kept) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = read_utf8(text, at);
    const std::string_view bytes = text.substr(at, step.length);
    if (bytes.size() == 1 && kept.find(bytes) != kept.npos) {
      out += bytes;
    } else {
      append_visible(bytes, step, out);
    }
    at += step.length;
  }
  return out;
}

std::string in_quotes(std::string_view text) {
  constexpr size_t kShown = 100;
  std::string out = "'";
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = read_utf8(text, at);
    if (at + step.length > kShown) {
      out += "…";
      break;
    }
    if (text[at] == '\'' || text[at] == '\\') out += '\\';
    append_visible(text.substr(at, step.length), step, out);
    at += step.length;
  }
  return out + "'";
}

}  // namespace godwit
