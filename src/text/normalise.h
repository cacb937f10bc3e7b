// NFC as the reference does it: Unicode 9.0's data, whatever utf8proc knows (unicode_tables.inc has
// the exceptions).
//
//   e ◌̣ ◌̂  ──take apart──►  e ◌̣ ◌̂  ──sort marks by class──►  e ◌̣ ◌̂  ──join──►  ệ
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace godwit::text {

int combining_class(char32_t c);

// The start of the first stretch that NFC might change; npos if the text surely stays as it is.
// `text` is valid UTF-8.
size_t find_nfc_suspect(std::string_view text);

void append_nfc(std::string_view text, std::string& out);

}  // namespace godwit::text
