#include "text/unicode.h"

#include <cstdlib>

#include "base/check.h"
#include "text/normalise.h"
#include "text/unicode_tables.h"

namespace godwit::text {

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
