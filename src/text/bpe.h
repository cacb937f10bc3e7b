// Byte-pair merging: a piece of text starts as single bytes; of all neighbours that have a merge,
// the pair of lowest rank (leftmost of equals) becomes one token, again and again.
//
//   l o w e r  ─(lo)─►  lo w e r  ─(er)─►  lo w er  ─(low)─►  low er
//
// A heap of candidate pairs over a linked list: O(n log n) for a piece of n bytes.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "text/vocabulary.h"

namespace godwit::text {

class Bpe {
 public:
  enum class WholeTokens {
    kByMerges,  // a piece that is a token becomes it only if the merges lead there
    kAlways,    // "ignore_merges": it always does
  };

  // Errors: bytes that occur in UTF-8 and have no token.
  static Result<Bpe> make(Vocabulary vocabulary, WholeTokens whole);

  void reserve_merges(size_t n_merges);
  // The next rank: the first `left_size` bytes and the rest become one. Errors: a part or the
  // joined token is not in the vocabulary. A pair that comes twice takes the later rank, as in the
  // reference.
  Status add_merge(std::string_view joined, size_t left_size);
  // From here on a merge that joins to no token is passed over instead: it can never apply. (GGUF
  // files of other makers have such merges; a tokenizer.json may not.)
  void skip_merges_without_token() { skip_merges_without_token_ = true; }

  // Working memory of one caller, kept from piece to piece.
  struct Scratch {
    struct Symbol {
      int32_t token;           // -1: part of a symbol before it
      int32_t previous, next;  // -1 at the ends
    };
    struct Candidate {
      uint64_t order;  // rank << 32 | index of the left symbol: the least is merged first
      int32_t token;   // what the pair becomes
      bool operator<(const Candidate& other) const { return order > other.order; }  // a min-heap
    };
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
  };

  // Appends the ids of a piece: valid UTF-8, not empty, below 2 GiB. Safe to call from many
  // threads.
  void encode(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const;

  const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  static constexpr uint32_t kNoMerge = ~0u;
  struct Merge {
    uint64_t pair = ~uint64_t{0};  // left << 32 | right
    uint32_t rank = kNoMerge;
    int32_t token = -1;
  };
  enum Wholeness : uint8_t { kUnknown, kReached, kNotReached };

  Bpe() = default;
  size_t slot_of(uint64_t pair) const;
  Merge find_merge(int32_t left, int32_t right) const;
  void put(const Merge& merge);
  bool reaches(int32_t token, std::string_view piece, Scratch& scratch) const;
  // Leaves the result in the list of symbols that starts at index 0.
  void merge(std::string_view piece, Scratch& scratch) const;
  void push_candidate(int32_t left, Scratch& scratch) const;

  Vocabulary vocabulary_;
  WholeTokens whole_ = WholeTokens::kByMerges;
  std::array<int32_t, 256> byte_tokens_{};
  std::vector<Merge> merges_;  // open addressing, a power of two, at most half full
  uint32_t n_merges_ = 0;
  bool skip_merges_without_token_ = false;
  // By token: do the merges lead to it from its own bytes? Found out when first asked, the same
  // answer in every thread.
  std::unique_ptr<std::atomic<uint8_t>[]> wholeness_;
};

}  // namespace godwit::text
