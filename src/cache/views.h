// Views: all that the model sees of a sequence's memory. Who owns it, shares it and takes snapshots
// is cache/'s business.
//
// A page holds `page_tokens` positions of every attention layer:
//   page = [attention layer][key | value][kv_heads, page_tokens, head_dim] of the KV type
// The recurrent memory of a sequence is one block per delta-net layer:
//   state [value_heads, key_dim, value_dim] f32, conv [3, channels] f32 (raw columns, oldest first)
#pragma once

#include <cstddef>
#include <cstdint>
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
  size_t factor_floats() const {
    return size_t(value_heads) * (key_dim + value_dim + 1);
  }  // per position and layer
};

struct RecurrentView {
  float* state = nullptr;
  float* conv = nullptr;
  // Log of the positions of this call (kernels: DeltaFactors), and raw convolution columns [T,
  // channels]; null: not kept.
  float* factors = nullptr;
  float* conv_log = nullptr;
};

// One sequence in one forward call.
struct SequenceView {
  std::span<std::byte* const> pages;         // enough for `cached + new` positions
  int64_t cached = 0;                        // positions already in the pages and the state
  std::span<const RecurrentView> recurrent;  // one per delta-net layer
};

}  // namespace godwit::cache
