// SequenceMemory: what one running sequence remembers: a table of pages, and the recurrent state of
// every delta-net layer.
//
//   pages   [0,64) [64,128) … shared by reference with the prefix tree;
//           written by the one that computed them
//   block   per layer: state [value_heads, key_dim, value_dim] | conv [3, channels]
//           as of `length`
//   base    the same as of `length − n`, n ≤ 2 · window (only with an undo window)
//   log     the n positions since: factors k̂, δ, g and raw convolution columns
//   near    the same as of just before the last call, if that had drafts: the call reads it there
//           and writes the block
//
// Taking back m ≤ n positions is base ⊕ the first n − m entries of the log: one pass over the
// state. Nothing is copied on a step; once in `window` steps the base moves on by that many
// entries, so at least `window` positions can be taken back. A call with more positions than
// kLoggedCall or the window (prefill) is not logged; the log starts anew after it with one copy.
//
// Drafts are the last positions of a call that are likely to be taken back at once: only the few
// entries since `near` are then replayed, whatever the window. They need no window.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "cache/page_pool.h"
#include "cache/views.h"
#include "tensor/view.h"

namespace godwit::cache {

// Calls up to here go through the recurrence step by step (kernels: delta_rule), so that replaying
// their factors gives the same bits; longer ones only to rounding.
constexpr int64_t kLoggedCall = 16;

// Blocks of recurrent memory, and logs, that are used again, so that a new sequence costs no page
// faults.
class BlockPool {
 public:
  explicit BlockPool(size_t floats) : floats_(floats) {}
  tensor::AlignedBuffer<float> take() { return take(floats_); }
  tensor::AlignedBuffer<float> take(size_t floats);
  void give(tensor::AlignedBuffer<float> block);
  void make_ready();  // one more, resident
  size_t floats() const { return floats_; }

 private:
  size_t floats_;
  std::vector<tensor::AlignedBuffer<float>> free_;
};

size_t block_floats(const CacheGeometry& geometry);  // of all recurrent layers

// A copy of a block at some position, cut into pages.
struct Snapshot {
  std::vector<PageId> pages;
};
int64_t snapshot_pages(const CacheGeometry& geometry);

// Moves one layer's state on by logged positions: S ← exp(g) · S + k̂ δᵀ, from where it was before
// (null: in place). (The model's: its kernels give the bits of the steps themselves.)
using Replay =
    std::function<void(const float* factors, int64_t positions, const float* from, float* state)>;

struct Undo {
  int window = 0;  // 0: nothing can be taken back, but drafts
  Replay replay;
  int drafts = 0;  // of one call, at most
};

class SequenceMemory {
 public:
  SequenceMemory(const CacheGeometry& geometry, PagePool& pool, BlockPool& blocks,
                 const Undo& undo = {});
  ~SequenceMemory();
  SequenceMemory(const SequenceMemory&) = delete;
  SequenceMemory& operator=(const SequenceMemory&) = delete;

  int64_t length() const { return length_; }  // positions computed
  std::span<const PageId> pages() const { return pages_; }
  // Pages that positions [length, length + tokens) need beyond those held, copies of shared ones
  // included.
  int64_t pages_needed(int64_t tokens) const;
  // Makes room for them. False: the pool has not enough; nothing has changed.
  bool reserve(int64_t tokens);

  // What the model sees, for a call of `tokens` positions (reserved before), the last `drafts` of
  // which may be taken back after it. Valid until the next call of any kind. With drafts the call
  // must be made.
  SequenceView view(int64_t tokens, int64_t drafts = 0);
  void advance(int64_t tokens);  // the call is done

  // Positions before `length` that can be taken back now.
  int64_t undoable() const;
  void take_back(int64_t positions);

  // Empty memory only: starts from shared pages (all but a partial last one by reference) and a
  // snapshot at `position`. False: no page for the copy of the partial last one; nothing has
  // changed.
  bool attach(int64_t position, std::span<const PageId> pages, const Snapshot& snapshot);
  // Copies the recurrent block; nothing if the pool has too few pages.
  std::optional<Snapshot> snapshot() const;
  // Rows below `length` are from now on read by others: they are never written again without a
  // copy.
  void publish() { published_ = length_; }

  void clear();  // gives all pages back; the state is zero again

  // Bytes beyond pages and one block that the window and drafts cost.
  static size_t undo_bytes(const CacheGeometry& geometry, int undo_window, int drafts = 0);

 private:
  // Positions that the log has room for: twice the window, or one call with drafts.
  static int64_t log_size(int window, int drafts);
  bool is_logged(int64_t tokens) const {
    return window_ > 0 && tokens <= std::min(window_, kLoggedCall);
  }
  float* state_of(tensor::AlignedBuffer<float>& block, int layer) const;
  void start_log();
  void start_near();
  void drop_from_log(int64_t positions);
  void copy_conv(const float* from, float* to) const;  // of two blocks' same layer
  void move_conv(float* conv, int layer, int64_t first, int64_t positions) const;
  // target = source and positions [first, first + positions) of the log.
  void replay(tensor::AlignedBuffer<float>& source, int64_t first, int64_t positions,
              tensor::AlignedBuffer<float>& target);

  const CacheGeometry geometry_;
  PagePool& pool_;
  BlockPool& blocks_;
  const int64_t drafts_, window_, log_size_;
  const Replay replay_;
  int64_t length_ = 0, published_ = 0;
  std::vector<PageId> pages_;
  std::vector<std::byte*> addresses_;  // of pages_
  std::vector<RecurrentView> recurrent_;
  tensor::AlignedBuffer<float> block_, base_, near_;  // near: made when it is first wanted
  int64_t logged_ = -1;                   // positions in the log; −1: no base, nothing in it
  int64_t near_at_ = -1;                  // of them before `near`; −1: no near
  bool drafted_ = false;                  // the present call
  tensor::AlignedBuffer<float> factors_;  // [layer][log_size][factor_floats]
  tensor::AlignedBuffer<float> columns_;  // [layer][log_size][conv_channels]
};

}  // namespace godwit::cache
