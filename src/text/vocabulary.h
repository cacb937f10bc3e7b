// Vocabulary: token bytes ↔ ids. Byte-level tokenizers write bytes as printable characters in their
// files (GPT-2's alphabet: space is "Ġ"); here tokens are plain bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace godwit::text {

// Appends the bytes that a string of the printable alphabet stands for; false (and part of them) if
// a character is not of it.
bool append_bytes_of_printable(std::string_view printable, std::string& out);

class Vocabulary {
 public:
  // No file needs more; an id beyond is taken for damage, not for a reason to allocate.
  static constexpr int64_t kMaxSize = 1 << 20;

  void reserve(size_t n_tokens);

  // A token of the model. Errors: the id is negative, too large or taken; the bytes are taken.
  Status add(int64_t id, std::string bytes);
  // A token that is only read back (an added token, or one outside the alphabet), never found by
  // its bytes.
  Status add_unsearchable(int64_t id, std::string bytes);

  // -1 if there is none.
  int32_t find(std::string_view bytes) const;

  // Empty for ids without token.
  std::string_view bytes(int32_t id) const {
    return id >= 0 && id < size() ? std::string_view(tokens_[id]) : std::string_view();
  }
  bool has(int32_t id) const { return !bytes(id).empty(); }
  int32_t size() const { return static_cast<int32_t>(tokens_.size()); }  // highest id + 1

 private:
  struct Slot {
    int32_t id = -1;
    uint32_t hash = 0;
  };
  Status check_new(int64_t id, std::string_view bytes) const;
  size_t find_slot(std::string_view bytes, uint32_t hash) const;
  void grow(size_t n_slots);

  std::vector<std::string> tokens_;  // by id
  std::vector<Slot> slots_;          // open addressing, a power of two, at most half full
  size_t n_searchable_ = 0;
};

}  // namespace godwit::text
