// The scalar truth of the matmul kernels: the order of every addition and rounding that all
// versions share.
//
//   block formats   total = fma(float(Σ integer · code), weight scale · activation scale, total)
//                   per 32 columns, or per 16 where the format has a scale per 16; then, for
//                   formats with a minimum, total = fma(−min, activation scale · Σ code, total)
//   plain types     run = fma(w, x, run) over the even columns of kRunColumns, and the same over
//                   the odd ones; total += even + odd
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/kernel_types.h"
#include "kernels/pack.h"

namespace godwit::kernels::scalar {
namespace {

struct ActivationBlock {
  float scale, scaled_sum;
  int sum, half_sum;  // as stored: negated
  int8_t codes[32];
};

ActivationBlock read_activations(const TileProduct& p, int row, int64_t block) {
  const auto* at = static_cast<const uint8_t*>(p.x) + block * p.rows * kActivationBlockBytes;
  ActivationBlock a;
  std::memcpy(&a.scale, at + 4 * row, 4);
  std::memcpy(&a.sum, at + 4 * (p.rows + row), 4);
  std::memcpy(&a.scaled_sum, at + 4 * (2 * p.rows + row), 4);
  std::memcpy(&a.half_sum, at + 4 * (3 * p.rows + row), 4);
  for (int step = 0; step < 8; ++step)
    std::memcpy(a.codes + 4 * step, at + 4 * ((4 + step) * p.rows + row), 4);
  return a;
}

int dot(const int8_t* a, const int8_t* b, int n) {
  int sum = 0;
  for (int i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

float add_block(PackedLayout layout, const PackedBlock& w, const ActivationBlock& a, float total) {
  if (layout == PackedLayout::kQ6_K || layout == PackedLayout::kGeneric) {
    for (int h = 0; h < 2; ++h)
      total = std::fma(static_cast<float>(dot(w.integers + 16 * h, a.codes + 16 * h, 16)),
                       w.scale[h] * a.scale, total);
    if (layout == PackedLayout::kQ6_K) return total;
    total = std::fma(w.min[0], a.scale * static_cast<float>(a.half_sum), total);
    return std::fma(w.min[1], a.scale * static_cast<float>(a.sum - a.half_sum), total);
  }
  total = std::fma(static_cast<float>(dot(w.integers, a.codes, 32)), w.scale[0] * a.scale, total);
  if (layout == PackedLayout::kQ4_K || layout == PackedLayout::kQ5_K)
    total = std::fma(-w.min[0], a.scaled_sum, total);
  return total;
}

void block_product(PackedLayout layout, const TileProduct& p) {
  for (int t = 0; t < p.tile_count; ++t) {
    for (int i = 0; i < kTileRows; ++i) {
      float totals[kMaxGroupRows] = {};
      for (int64_t block = 0; block < p.columns / kBlockColumns; ++block) {
        PackedBlock w;
        read_packed_block(layout, p.tiles + t * p.tile_bytes, i, block, &w);
        for (int r = 0; r < p.rows; ++r)
          totals[r] = add_block(layout, w, read_activations(p, r, block), totals[r]);
      }
      for (int r = 0; r < p.rows; ++r) p.sums[r * p.sums_stride + t * kTileRows + i] = totals[r];
    }
  }
}

void plain_product(PackedLayout layout, const TileProduct& p) {
  const auto* x = static_cast<const float*>(p.x);
  for (int t = 0; t < p.tile_count; ++t) {
    for (int i = 0; i < kTileRows; ++i) {
      float totals[kMaxGroupRows] = {}, run[kMaxGroupRows][2] = {};
      for (int64_t k = 0; k < p.columns; ++k) {
        const float w = read_packed_plain(layout, p.tiles + t * p.tile_bytes, i, k);
        const bool ends = (k + 1) % kRunColumns == 0 || k + 1 == p.columns;
        for (int r = 0; r < p.rows; ++r) {
          run[r][k % 2] = std::fma(w, x[r * p.x_stride + k], run[r][k % 2]);
          if (!ends) continue;
          totals[r] += run[r][0] + run[r][1];
          run[r][0] = run[r][1] = 0;
        }
      }
      for (int r = 0; r < p.rows; ++r) p.sums[r * p.sums_stride + t * kTileRows + i] = totals[r];
    }
  }
}

}  // namespace

void quantize_activations(const float* x, int64_t stride, int rows, int64_t columns,
                          uint8_t* blocks) {
  for (int r = 0; r < rows; ++r) {
    for (int64_t block = 0; block < columns / kBlockColumns; ++block) {
      const float* values = x + r * stride + block * kBlockColumns;
      uint32_t largest = 0;  // as bits: a NaN is then larger than everything
      for (int i = 0; i < kBlockColumns; ++i)
        largest = std::max(largest, std::bit_cast<uint32_t>(values[i]) & 0x7fffffff);
      const ActivationScale scales = activation_scale(std::bit_cast<float>(largest));
      const float scale = scales.scale;
      int32_t sums[2] = {};
      int8_t codes[kBlockColumns] = {};
      for (int i = 0; i < kBlockColumns && scales.to_code != 0; ++i) {
        codes[i] = static_cast<int8_t>(std::nearbyint(values[i] * scales.to_code));
        sums[i / 16] += codes[i];
      }
      uint8_t* at = blocks + block * rows * kActivationBlockBytes;
      const int32_t sum = -(sums[0] + sums[1]), half_sum = -sums[0];
      const float scaled_sum = scale * static_cast<float>(-sum);
      std::memcpy(at + 4 * r, &scale, 4);
      std::memcpy(at + 4 * (rows + r), &sum, 4);
      std::memcpy(at + 4 * (2 * rows + r), &scaled_sum, 4);
      std::memcpy(at + 4 * (3 * rows + r), &half_sum, 4);
      for (int step = 0; step < 8; ++step)
        std::memcpy(at + 4 * ((4 + step) * rows + r), codes + 4 * step, 4);
    }
  }
}

void product_f32(const TileProduct& p) { plain_product(PackedLayout::kF32, p); }
void product_f16(const TileProduct& p) { plain_product(PackedLayout::kF16, p); }
void product_bf16(const TileProduct& p) { plain_product(PackedLayout::kBF16, p); }
void product_q8_0(const TileProduct& p) { block_product(PackedLayout::kQ8_0, p); }
void product_q4_0(const TileProduct& p) { block_product(PackedLayout::kQ4_0, p); }
void product_iq4_nl(const TileProduct& p) { block_product(PackedLayout::kIQ4_NL, p); }
void product_mxfp4(const TileProduct& p) { block_product(PackedLayout::kMXFP4, p); }
void product_q4_k(const TileProduct& p) { block_product(PackedLayout::kQ4_K, p); }
void product_q5_k(const TileProduct& p) { block_product(PackedLayout::kQ5_K, p); }
void product_q6_k(const TileProduct& p) { block_product(PackedLayout::kQ6_K, p); }
void product_iq4_xs(const TileProduct& p) { block_product(PackedLayout::kIQ4_XS, p); }
void product_generic(const TileProduct& p) { block_product(PackedLayout::kGeneric, p); }

}  // namespace godwit::kernels::scalar
