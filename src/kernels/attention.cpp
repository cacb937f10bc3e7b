// Attention over paged keys and values, and full attention inside segments (vision).
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "kernels/ops.h"
#include "kernels/split.h"
#include "tensor/blocks.h"

namespace godwit::kernels {
namespace {

using tensor::DType;

size_t row_bytes(const KvPages& pages) { return *tensor::bytes_of(pages.dtype, pages.head_dim); }

std::byte* kv_row(const KvPages& pages, std::byte* const* half, int64_t position, int64_t kv_head) {
  const int64_t page = position / pages.page_tokens, slot = position % pages.page_tokens;
  return half[page] + (kv_head * pages.page_tokens + slot) * row_bytes(pages);
}

}  // namespace

void store_kv(const Context& context, const KvPages& pages, int64_t first, ConstMatrixView k,
              ConstMatrixView v) {
  for_rows(context, k.rows, k.columns * 4, [&](int64_t t) {
    for (int64_t h = 0; h < pages.kv_heads; ++h) {
      tensor::quantize_row(pages.dtype, k.row(t) + h * pages.head_dim,
                           kv_row(pages, pages.key_pages, first + t, h), pages.head_dim);
      tensor::quantize_row(pages.dtype, v.row(t) + h * pages.head_dim,
                           kv_row(pages, pages.value_pages, first + t, h), pages.head_dim);
    }
  });
}

size_t attention_scratch_bytes(int, int64_t, int, int) { return 64; }

void attention(const Context& context, const KvPages& pages, int64_t first, ConstMatrixView q,
               int heads, int q_head_stride, const float* gate, float scale, MatrixView out,
               std::span<std::byte>) {
  const int dim = pages.head_dim;
  for_rows(context, q.rows * heads, 1 << 20, [&](int64_t unit) {
    const int64_t t = unit / heads, h = unit % heads, kv_head = h / (heads / pages.kv_heads);
    const float* query = q.row(t) + h * q_head_stride;
    float* target = out.row(t) + h * dim;
    float row[1024];
    CHECK(dim <= 1024);
    float highest = -std::numeric_limits<float>::infinity(), total = 0;
    std::memset(target, 0, dim * sizeof(float));
    for (int64_t p = 0; p <= first + t; ++p) {
      tensor::dequantize_row(pages.dtype, kv_row(pages, pages.key_pages, p, kv_head), row, dim);
      float score = 0;
      for (int d = 0; d < dim; ++d) score += query[d] * row[d];
      score *= scale;
      const float before = highest;
      highest = std::max(highest, score);
      const float shrink = std::exp(before - highest), weight = std::exp(score - highest);
      total = total * shrink + weight;
      tensor::dequantize_row(pages.dtype, kv_row(pages, pages.value_pages, p, kv_head), row, dim);
      for (int d = 0; d < dim; ++d) target[d] = target[d] * shrink + weight * row[d];
    }
    for (int d = 0; d < dim; ++d) target[d] /= total;
    if (gate) context.table->sigmoid_mul_row(gate + t * q.stride + h * q_head_stride, dim, target);
  });
}

size_t segment_attention_scratch_bytes(int, int64_t, int, int) { return 64; }

void segment_attention(const Context& context, ConstMatrixView qkv, int heads, int dim,
                       std::span<const int64_t> starts, float scale, MatrixView out,
                       std::span<std::byte>) {
  const int64_t width = int64_t{heads} * dim;
  for (size_t s = 0; s + 1 < starts.size(); ++s) {
    const int64_t begin = starts[s], end = starts[s + 1];
    for_rows(context, (end - begin) * heads, 1 << 20, [&](int64_t unit) {
      const int64_t t = begin + unit / heads, h = unit % heads;
      const float* query = qkv.row(t) + h * dim;
      float* target = out.row(t) + h * dim;
      float highest = -std::numeric_limits<float>::infinity(), total = 0;
      std::memset(target, 0, dim * sizeof(float));
      for (int64_t p = begin; p < end; ++p) {
        const float *key = qkv.row(p) + width + h * dim, *value = qkv.row(p) + 2 * width + h * dim;
        float score = 0;
        for (int d = 0; d < dim; ++d) score += query[d] * key[d];
        score *= scale;
        const float before = highest;
        highest = std::max(highest, score);
        const float shrink = std::exp(before - highest), weight = std::exp(score - highest);
        total = total * shrink + weight;
        for (int d = 0; d < dim; ++d) target[d] = target[d] * shrink + weight * value[d];
      }
      for (int d = 0; d < dim; ++d) target[d] /= total;
    });
  }
}

}  // namespace godwit::kernels
