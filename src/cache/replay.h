// Replay of the delta rule from its rank-one factors: S ← exp(g) · S + k̂ δᵀ, position by position.
#pragma once

#include <cstdint>

#include "cache/views.h"

namespace godwit::cache {

// One layer. source, target: state [value_heads, key_dim, value_dim] (may be one). factors:
// `positions` entries of [value head][key_dim (k̂) | value_dim (δ) | 1 (g)], the oldest first.
void replay_factors(const CacheGeometry& geometry, const float* source, const float* factors,
                    int64_t positions, float* target);

}  // namespace godwit::cache
