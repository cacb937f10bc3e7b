// Added tokens: strings such as "<|im_end|>" that are one token wherever they stand in a text.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/vocabulary.h"

namespace godwit::text {

struct AddedToken {
  int32_t id;
  std::string content;
  bool is_special;     // dropped from shown text
  bool is_normalised;  // looked for after NFC instead of before
};

// Finds the leftmost of many strings; of those that start there the longest.
class StringFinder {
 public:
  void add(std::string text, int32_t id);
  void finish();  // after the last add()

  struct Match {
    size_t begin, end;
    int32_t id;
  };
  std::optional<Match> find(std::string_view text, size_t from) const;
  bool empty() const { return strings_.empty(); }

 private:
  struct Entry {
    std::string text;
    int32_t id;
  };
  std::optional<Match> match_at(std::string_view text, size_t begin) const;

  std::vector<Entry> strings_;        // sorted
  std::array<bool, 256> is_first_{};  // by byte: some string starts with it
};

class AddedTokens {
 public:
  // Gives the token a place in the vocabulary, unless both know it already. Errors: its id or
  // content belongs to another token.
  Status add(AddedToken token, Vocabulary& vocabulary);
  void finish();  // after the last add()

  const StringFinder& before_nfc() const { return before_nfc_; }
  const StringFinder& after_nfc() const { return after_nfc_; }
  const AddedToken* find(int32_t id) const;
  std::optional<int32_t> id_of(std::string_view content) const;

 private:
  std::unordered_map<int32_t, AddedToken> by_id_;
  std::unordered_map<std::string, int32_t> ids_;
  StringFinder before_nfc_, after_nfc_;
};

}  // namespace godwit::text
