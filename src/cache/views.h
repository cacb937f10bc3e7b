// Views: all that the model sees of a sequence's memory. Who owns it, shares it and takes snapshots
// is cache/'s business.
//
// A page holds `page_tokens` positions of every attention layer:
//   page = [attention layer][key | value][kv_heads, page_tokens, head_dim] of the KV type
// The recurrent memory of a sequence is one block per delta-net layer:
//   state [value_heads, key_dim, value_dim] f32, conv [3, channels] f32 (raw columns, oldest first)
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "tensor/view.h"

namespace godwit::cache {

// Shapes of one model's caches; the model fills it from its config.
struct CacheGeometry {
  int attention_layers =
      0;  // of the decoder; the drafting head has a table of its own (layers = 1)
  int kv_heads = 0, head_dim = 0;
  tensor::DType kv_type = tensor::DType::kF16;
  int page_tokens = 64;
  int recurrent_layers = 0;
  int value_heads = 0, key_dim = 0, value_dim = 0;
  int conv_channels = 0, conv_columns = 3;

  size_t row_bytes() const { return tensor::bytes_of(kv_type, head_dim).value_or(0); }
  size_t half_bytes() const {
    return row_bytes() * kv_heads * page_tokens;
  }  // keys of one layer in one page
  size_t page_bytes() const { return half_bytes() * 2 * attention_layers; }
  size_t state_floats() const { return size_t(value_heads) * key_dim * value_dim; }
  size_t conv_floats() const { return size_t(conv_columns) * conv_channels; }
  // State and conv of one layer in a sequence's recurrent block, rounded up to a cache line.
  size_t layer_floats() const { return (state_floats() + conv_floats() + 15) / 16 * 16; }
  size_t factor_floats() const {
    return size_t(value_heads) * (key_dim + value_dim + 1);
  }  // per position and layer
};

struct RecurrentView {
  float* state = nullptr;
  float* conv = nullptr;
  const float* from = nullptr;  // the state before the call, if elsewhere: `state` is only written
  // Log of the positions of this call (kernels: DeltaFactors), and raw convolution columns [T,
  // channels]; null: not kept.
  float* factors = nullptr;
  float* conv_log = nullptr;
};

// A place within a call where the mixers pause, as if a call ended there (the same bits), and where
// a copy of the recurrent memory may be wanted.
struct RecurrentPause {
  int64_t tokens = 0;                 // of the call, before the pause; 1 … its tokens − 1
  std::span<std::byte* const> pages;  // the copy: a recurrent block cut into pages; empty: none
};

// Writes one layer's part of the copy.
inline void keep_layer(const CacheGeometry& geometry, const RecurrentPause& pause, int layer,
                       const RecurrentView& memory) {
  if (pause.pages.empty()) return;
  const size_t page = geometry.page_bytes();
  const auto keep = [&](size_t at, const float* from, size_t floats) {
    const auto* bytes = reinterpret_cast<const std::byte*>(from);
    at *= sizeof(float);
    for (size_t left = floats * sizeof(float); left > 0;) {
      const size_t n = std::min(left, page - at % page);
      std::memcpy(pause.pages[at / page] + at % page, bytes, n);
      at += n, bytes += n, left -= n;
    }
  };
  const size_t begin = geometry.layer_floats() * static_cast<size_t>(layer);
  keep(begin, memory.state, geometry.state_floats());
  keep(begin + geometry.state_floats(), memory.conv, geometry.conv_floats());
}

// One sequence in one forward call.
struct SequenceView {
  std::span<std::byte* const> pages;            // enough for `cached + new` positions
  int64_t cached = 0;                           // positions already in the pages and the state
  std::span<const RecurrentView> recurrent;     // one per delta-net layer
  std::span<const RecurrentPause> pauses = {};  // rising
};

}  // namespace godwit::cache
