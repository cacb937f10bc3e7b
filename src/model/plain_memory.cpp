#include "model/plain_memory.h"

#include <cstring>

namespace godwit::model {

PlainMemory::PlainMemory(const cache::CacheGeometry& geometry, int64_t positions, int64_t logged)
    : geometry_(geometry) {
  const auto pages =
      static_cast<size_t>((positions + geometry.page_tokens - 1) / geometry.page_tokens);
  page_bytes_ = tensor::AlignedBuffer<std::byte>(pages * geometry.page_bytes());
  std::memset(page_bytes_.data(), 0, page_bytes_.size());
  for (size_t p = 0; p < pages; ++p)
    pages_.push_back(page_bytes_.data() + p * geometry.page_bytes());

  const size_t factors = logged * geometry.factor_floats(), log = logged * geometry.conv_channels;
  const size_t layer_floats = geometry.state_floats() + geometry.conv_floats() + factors + log;
  floats_.assign(layer_floats * geometry.recurrent_layers, 0);
  for (int i = 0; i < geometry.recurrent_layers; ++i) {
    cache::RecurrentView view;
    view.state = floats_.data() + i * layer_floats;
    view.conv = view.state + geometry.state_floats();
    if (logged) view.factors = view.conv + geometry.conv_floats();
    if (logged) view.conv_log = view.factors + factors;
    recurrent_.push_back(view);
  }
}

const float* PlainMemory::row(int layer, Half half, int head, int64_t position) const {
  CHECK(geometry_.kv_type == tensor::DType::kF32);
  const int64_t in_page = position % geometry_.page_tokens;
  const std::byte* start = pages_[position / geometry_.page_tokens] +
                           (2 * layer + (half == Half::kValues ? 1 : 0)) * geometry_.half_bytes();
  return reinterpret_cast<const float*>(start) +
         (int64_t{head} * geometry_.page_tokens + in_page) * geometry_.head_dim;
}

}  // namespace godwit::model
