// The character classes of the split rule (Unicode 16.0; what NFC may touch, as the reference has
// it).
#pragma once

#include <cstdint>
#include <memory>

#include "base/utf8.h"

namespace godwit::text {

enum class CharacterClass : uint8_t { kOther, kLetter, kMark, kNumber, kSpace };

// One byte for each code point, looked up without branches; the pages of planes that no text uses
// are never touched.
class CharacterTable {
 public:
  static const CharacterTable& get();

  CharacterClass class_of(char32_t c) const { return static_cast<CharacterClass>(flags_[c] & 7); }
  // Not a starter that stands for itself: NFC may reorder, change or join it to what is before.
  bool nfc_may_touch(char32_t c) const { return flags_[c] & 8; }

 private:
  CharacterTable();
  std::unique_ptr<uint8_t[], void (*)(void*)> flags_;  // [kCodePoints], zero pages from calloc
};

}  // namespace godwit::text
