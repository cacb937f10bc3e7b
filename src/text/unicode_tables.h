// The generated lists of code points (tools/unicode/make_tables.py), as inclusive ranges.
#pragma once

namespace godwit::text {

struct CodePointRange {
  char32_t first, last;
};

#include "text/unicode_tables.inc"

}  // namespace godwit::text
