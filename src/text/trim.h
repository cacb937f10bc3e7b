// White space as Python's str.strip() has it: the templates and the reference's output parser trim
// with it. The text is valid UTF-8 (a broken byte is no white space).
#pragma once

#include <string_view>

namespace godwit::text {

std::string_view trim_start(std::string_view text);
std::string_view trim_end(std::string_view text);
inline std::string_view trim(std::string_view text) { return trim_end(trim_start(text)); }

}  // namespace godwit::text
