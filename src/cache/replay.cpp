#include "cache/replay.h"

#include <cmath>
#include <cstring>

namespace godwit::cache {
namespace {

constexpr int kColumns =
    16;  // of a row of the state: stay in registers while the positions pass by

// target[0, n) of one row of one head's state.
void replay_columns(const float* source, const float* key, const float* delta, const float* decay,
                    size_t stride, int64_t positions, int n, float* target) {
  float sum[kColumns];
  for (int j = 0; j < n; ++j) sum[j] = source[j];
  for (int64_t t = 0; t < positions; ++t) {
    const float k = key[t * stride], g = decay[t];
    const float* d = delta + t * stride;
    if (n == kColumns) {
      for (int j = 0; j < kColumns; ++j) sum[j] = sum[j] * g + k * d[j];
    } else {
      for (int j = 0; j < n; ++j) sum[j] = sum[j] * g + k * d[j];
    }
  }
  for (int j = 0; j < n; ++j) target[j] = sum[j];
}

}  // namespace

void replay_factors(const CacheGeometry& geometry, const float* source, const float* factors,
                    int64_t positions, float* target) {
  const int keys = geometry.key_dim, values = geometry.value_dim;
  const size_t head_factors = static_cast<size_t>(keys) + values + 1,
               stride = geometry.factor_floats();
  constexpr int64_t kAtOnce = 128;
  float decay[kAtOnce];
  if (positions == 0 && source != target) {
    std::memcpy(target, source, geometry.state_floats() * sizeof(float));
  }
  for (int64_t first = 0; first < positions; first += kAtOnce) {
    const int64_t count = std::min(kAtOnce, positions - first);
    for (int head = 0; head < geometry.value_heads; ++head) {
      const float* entry = factors + first * stride + head * head_factors;
      for (int64_t t = 0; t < count; ++t) decay[t] = std::exp(entry[t * stride + keys + values]);
      for (int row = 0; row < keys; ++row) {
        const size_t at = (static_cast<size_t>(head) * keys + row) * values;
        for (int column = 0; column < values; column += kColumns) {
          replay_columns(source + at + column, entry + row, entry + keys + column, decay, stride,
                         count, std::min(kColumns, values - column), target + at + column);
        }
      }
    }
    source = target;
  }
}

}  // namespace godwit::cache
