// PlainMemory: the memory of one sequence, its own and of fixed size, for tools and tests. Pages
// shared between sequences, snapshots and undo are cache/'s business.
#pragma once

#include <vector>

#include "cache/views.h"
#include "tensor/view.h"

namespace godwit::model {

class PlainMemory {
 public:
  // Room for `positions`; logs (see RecurrentView) of the last call for up to `logged` tokens, 0:
  // none.
  PlainMemory(const cache::CacheGeometry& geometry, int64_t positions, int64_t logged = 0);

  cache::SequenceView view() const { return {pages_, cached_, recurrent_}; }
  const cache::CacheGeometry& geometry() const { return geometry_; }
  int64_t cached() const { return cached_; }
  void advance(int64_t tokens) { cached_ += tokens; }

  const float* state(int layer) const { return recurrent_[layer].state; }
  const float* conv_log(int layer) const { return recurrent_[layer].conv_log; }
  enum class Half { kKeys, kValues };
  // [head_dim] of one head at one position, where pages hold f32.
  const float* row(int layer, Half half, int head, int64_t position) const;

 private:
  cache::CacheGeometry geometry_;
  int64_t cached_ = 0;
  tensor::AlignedBuffer<std::byte> page_bytes_;
  std::vector<std::byte*> pages_;
  std::vector<float> floats_;
  std::vector<cache::RecurrentView> recurrent_;
};

}  // namespace godwit::model
