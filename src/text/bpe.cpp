#include "text/bpe.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "base/visible.h"

namespace godwit::text {
namespace {

// In UTF-8 these bytes never occur.
bool occurs_in_utf8(int byte) { return byte < 0xc0 || (byte > 0xc1 && byte < 0xf5); }

uint64_t pair_of(int32_t left, int32_t right) {
  return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

Result<Bpe> Bpe::make(Vocabulary vocabulary, WholeTokens whole) {
  Bpe bpe;
  bpe.vocabulary_ = std::move(vocabulary);
  bpe.whole_ = whole;
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    bpe.byte_tokens_[byte] = bpe.vocabulary_.find({&c, 1});
    if (bpe.byte_tokens_[byte] < 0 && occurs_in_utf8(byte))
      return bad_input("no token for byte {:#04x}", byte);
  }
  bpe.wholeness_ = std::make_unique<std::atomic<uint8_t>[]>(bpe.vocabulary_.size());
  return bpe;
}

void Bpe::reserve_merges(size_t n_merges) {
  std::vector<Merge> old(std::bit_ceil(2 * std::max<size_t>(n_merges, 512)));
  old.swap(merges_);
  for (const Merge& merge : old)
    if (merge.rank != kNoMerge) put(merge);
}

size_t Bpe::slot_of(uint64_t pair) const {
  const size_t mask = merges_.size() - 1;
  size_t at = (pair * 0x9e3779b97f4a7c15 >> 32) & mask;
  while (merges_[at].rank != kNoMerge && merges_[at].pair != pair) at = (at + 1) & mask;
  return at;
}

void Bpe::put(const Merge& merge) { merges_[slot_of(merge.pair)] = merge; }

Bpe::Merge Bpe::find_merge(int32_t left, int32_t right) const {
  if (merges_.empty()) return {};
  return merges_[slot_of(pair_of(left, right))];
}

Status Bpe::add_merge(std::string_view joined, size_t left_size) {
  if (2 * (n_merges_ + size_t{1}) > merges_.size()) reserve_merges(2 * size_t{n_merges_} + 1);
  int32_t tokens[3];
  const std::string_view parts[] = {joined.substr(0, left_size), joined.substr(left_size), joined};
  for (int i = 0; i < 3; ++i) {
    tokens[i] = vocabulary_.find(parts[i]);
    if (tokens[i] >= 0) continue;
    if (i == 2 && skip_merges_without_token_) return {};
    return bad_input("{} is not in the vocabulary", in_quotes(parts[i]));
  }
  put({pair_of(tokens[0], tokens[1]), n_merges_++, tokens[2]});
  return {};
}

void Bpe::encode(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const {
  const int32_t token = vocabulary_.find(piece);
  if (token >= 0 && reaches(token, piece, scratch)) {
    ids.push_back(token);
    return;
  }
  merge(piece, scratch);
  for (int32_t i = 0; i >= 0; i = scratch.symbols[i].next) ids.push_back(scratch.symbols[i].token);
}

bool Bpe::reaches(int32_t token, std::string_view piece, Scratch& scratch) const {
  if (whole_ == WholeTokens::kAlways) return true;
  std::atomic<uint8_t>& known = wholeness_[token];
  if (known.load(std::memory_order_relaxed) == kUnknown) {
    merge(piece, scratch);
    const bool reached = scratch.symbols[0].next < 0;
    known.store(reached ? kReached : kNotReached, std::memory_order_relaxed);
  }
  return known.load(std::memory_order_relaxed) == kReached;
}

void Bpe::push_candidate(int32_t left, Scratch& scratch) const {
  const auto& symbols = scratch.symbols;
  if (left < 0 || symbols[left].next < 0) return;
  const Merge found = find_merge(symbols[left].token, symbols[symbols[left].next].token);
  if (found.rank == kNoMerge) return;
  scratch.heap.push_back({uint64_t{found.rank} << 32 | static_cast<uint32_t>(left), found.token});
  std::push_heap(scratch.heap.begin(), scratch.heap.end());
}

void Bpe::merge(std::string_view piece, Scratch& scratch) const {
  CHECK(!piece.empty() && piece.size() < size_t{1} << 31);
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;
  symbols.clear(), heap.clear();
  const auto n = static_cast<int32_t>(piece.size());
  for (int32_t i = 0; i < n; ++i)
    symbols.push_back({byte_tokens_[static_cast<unsigned char>(piece[i])], i - 1, i + 1});
  symbols.back().next = -1;
  for (int32_t i = 0; i < n; ++i) push_candidate(i, scratch);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const Scratch::Candidate best = heap.back();
    heap.pop_back();
    const auto at = static_cast<int32_t>(static_cast<uint32_t>(best.order));
    auto& left = symbols[at];
    // The pair may be gone since: one side merged with another neighbour.
    if (left.token < 0 || left.next < 0) continue;
    auto& right = symbols[left.next];
    if (find_merge(left.token, right.token).token != best.token) continue;
    left.token = best.token;
    left.next = right.next;
    right.token = -1;
    if (left.next >= 0) symbols[left.next].previous = at;
    push_candidate(at, scratch);
    push_candidate(left.previous, scratch);
  }
}

}  // namespace godwit::text
