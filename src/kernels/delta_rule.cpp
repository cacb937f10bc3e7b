// The gated delta rule over a sequence, one head a task.
#include <cmath>

#include "base/check.h"
#include "kernels/ops.h"
#include "kernels/split.h"

namespace godwit::kernels {
namespace {

constexpr float kL2Eps = 1e-6f;
constexpr int64_t kMaxDim = 256;

}  // namespace

size_t delta_rule_scratch_bytes(int, int64_t, const DeltaRuleShape&) { return 64; }

void delta_rule(const Context& context, ConstMatrixView qkv, ConstMatrixView beta,
                ConstMatrixView log_decay, const DeltaRuleShape& shape, float* state,
                DeltaFactors factors, MatrixView out, std::span<std::byte>) {
  const int64_t key_dim = shape.key_dim, value_dim = shape.value_dim;
  CHECK(key_dim <= kMaxDim && value_dim <= kMaxDim && value_dim % 16 == 0);
  const KernelTable& table = *context.table;
  const float query_scale = 1.0f / std::sqrt(static_cast<float>(key_dim));
  for_rows(context, shape.value_heads, qkv.rows * key_dim * value_dim, [&](int64_t h) {
    const int64_t source =
        shape.gguf_head_order ? h % shape.key_heads : h / (shape.value_heads / shape.key_heads);
    float q[kMaxDim], k[kMaxDim], delta[kMaxDim];
    for (int64_t t = 0; t < qkv.rows; ++t) {
      const float* row = qkv.row(t);
      table.l2_norm_row(row + source * key_dim, kL2Eps, query_scale, key_dim, q);
      table.l2_norm_row(row + (shape.key_heads + source) * key_dim, kL2Eps, 1.0f, key_dim, k);
      const float* v = row + 2 * shape.key_heads * key_dim + h * value_dim;
      table.delta_step(q, k, v, beta.row(t)[h], std::exp(log_decay.row(t)[h]),
                       state + h * key_dim * value_dim, key_dim, value_dim, delta,
                       out.row(t) + h * value_dim);
      if (factors.data == nullptr) continue;
      float* log = factors.data + (t * shape.value_heads + h) * (key_dim + value_dim + 1);
      std::copy(k, k + key_dim, log);
      std::copy(delta, delta + value_dim, log + key_dim);
      log[key_dim + value_dim] = log_decay.row(t)[h];
    }
  });
}

void delta_replay(const Context& context, const float* factors, int64_t positions,
                  const DeltaRuleShape& shape, float* state) {
  const int64_t key_dim = shape.key_dim, value_dim = shape.value_dim,
                entry = key_dim + value_dim + 1;
  for_rows(context, shape.value_heads, positions * key_dim * value_dim, [&](int64_t h) {
    for (int64_t t = 0; t < positions; ++t) {
      const float* log = factors + (t * shape.value_heads + h) * entry;
      context.table->delta_replay_step(log, log + key_dim, std::exp(log[key_dim + value_dim]),
                                       state + h * key_dim * value_dim, key_dim, value_dim);
    }
  });
}

}  // namespace godwit::kernels
