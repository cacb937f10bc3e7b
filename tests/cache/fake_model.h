// A model of caches without a network: each token writes a row into the pages and moves the
// recurrent state by the delta rule with factors drawn from its id. What a memory holds is then a
// function of the tokens that it has seen.
#pragma once

#include <cmath>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "cache/sequence_memory.h"

namespace godwit::cache {

inline CacheGeometry small_geometry() {
  return {.attention_layers = 1,
          .kv_heads = 1,
          .head_dim = 4,
          .kv_type = tensor::DType::kF32,
          .page_tokens = 8,
          .recurrent_layers = 2,
          .value_heads = 2,
          .key_dim = 4,
          .value_dim = 20,
          .conv_channels = 6};
}

// Runs tokens through the memory as forward() would.
inline void fake_forward(const CacheGeometry& g, SequenceMemory& memory,
                         std::span<const int32_t> tokens, int64_t drafts = 0) {
  const auto n = static_cast<int64_t>(tokens.size());
  SequenceView view = memory.view(n, drafts);
  for (int64_t t = 0; t < n; ++t) {
    const int64_t position = view.cached + t;
    auto* row = reinterpret_cast<float*>(view.pages[position / g.page_tokens]) +
                (position % g.page_tokens) * g.head_dim;
    for (int i = 0; i < g.head_dim; ++i) row[i] = static_cast<float>(tokens[t] * 10 + i);
    for (int layer = 0; layer < g.recurrent_layers; ++layer) {
      std::mt19937 random(static_cast<uint32_t>(tokens[t] * 7 + layer));
      std::uniform_real_distribution<float> uniform(-1, 1);
      const RecurrentView& r = view.recurrent[layer];
      if (r.from && t == 0) std::copy_n(r.from, g.state_floats(), r.state);
      std::vector<float> factors(g.factor_floats());
      for (float& f : factors) f = uniform(random);
      for (int head = 0; head < g.value_heads; ++head) {
        float* entry = factors.data() + head * (g.key_dim + g.value_dim + 1);
        float& decay = entry[g.key_dim + g.value_dim];
        decay = -std::abs(decay);
        float* state = r.state + head * g.key_dim * g.value_dim;
        for (int k = 0; k < g.key_dim; ++k) {
          for (int v = 0; v < g.value_dim; ++v) {
            float& s = state[k * g.value_dim + v];
            s = s * std::exp(decay) + entry[k] * entry[g.key_dim + v];
          }
        }
      }
      std::vector<float> column(g.conv_channels);
      for (float& c : column) c = uniform(random);
      std::memmove(r.conv, r.conv + g.conv_channels, 2 * g.conv_channels * sizeof(float));
      std::memcpy(r.conv + 2 * g.conv_channels, column.data(), g.conv_channels * sizeof(float));
      if (r.factors)
        std::memcpy(r.factors + t * g.factor_floats(), factors.data(),
                    factors.size() * sizeof(float));
      if (r.conv_log)
        std::memcpy(r.conv_log + t * g.conv_channels, column.data(), column.size() * sizeof(float));
    }
  }
  memory.advance(n);
}

inline Undo fake_undo(const CacheGeometry& g, int window) {
  return {window, [g](const float* factors, int64_t positions, const float* from, float* state) {
            if (from) std::copy_n(from, g.state_floats(), state);
            for (int64_t t = 0; t < positions; ++t) {
              for (int head = 0; head < g.value_heads; ++head) {
                const float* entry =
                    factors + t * g.factor_floats() + head * (g.key_dim + g.value_dim + 1);
                const float decay = std::exp(entry[g.key_dim + g.value_dim]);
                float* s = state + head * g.key_dim * g.value_dim;
                for (int k = 0; k < g.key_dim; ++k) {
                  for (int v = 0; v < g.value_dim; ++v, ++s)
                    *s = *s * decay + entry[k] * entry[g.key_dim + v];
                }
              }
            }
          }};
}

// All that the memory holds, as one vector.
inline std::vector<float> contents(const CacheGeometry& g, SequenceMemory& memory) {
  std::vector<float> all;
  SequenceView view = memory.view(0);
  for (int64_t p = 0; p < view.cached; ++p) {
    const auto* row = reinterpret_cast<const float*>(view.pages[p / g.page_tokens]) +
                      (p % g.page_tokens) * g.head_dim;
    all.insert(all.end(), row, row + g.head_dim);
  }
  for (const RecurrentView& r : view.recurrent) {
    all.insert(all.end(), r.state, r.state + g.state_floats());
    all.insert(all.end(), r.conv, r.conv + g.conv_floats());
  }
  return all;
}

}  // namespace godwit::cache
