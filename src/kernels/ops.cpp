// Splits rows over the pool. Every row is computed alone, so neither threads nor batch companions
// change a bit; small work stays on the calling thread, because waking the others costs some
// microseconds.
#include "kernels/ops.h"

#include <algorithm>
#include <cmath>

#include "base/trace.h"
#include "kernels/split.h"

namespace godwit::kernels {

void rms_norm(const Context& context, ConstMatrixView x, const float* weight, float eps,
              MatrixView out) {
  const TraceScope scope("rms_norm");
  for_rows(context, x.rows, x.columns, [&](int64_t i) {
    context.table->rms_norm_row(x.row(i), weight, eps, x.columns, out.row(i));
  });
}

void layer_norm(const Context& context, ConstMatrixView x, const float* weight, const float* bias,
                float eps, MatrixView out) {
  const TraceScope scope("layer_norm");
  for_rows(context, x.rows, x.columns, [&](int64_t i) {
    context.table->layer_norm_row(x.row(i), weight, bias, eps, x.columns, out.row(i));
  });
}

void add(const Context& context, ConstMatrixView x, MatrixView out) {
  const TraceScope scope("add");
  for_rows(context, x.rows, x.columns,
           [&](int64_t i) { context.table->add_row(x.row(i), x.columns, out.row(i)); });
}

void silu_mul(const Context& context, ConstMatrixView gate, ConstMatrixView up, MatrixView out) {
  const TraceScope scope("silu_mul");
  for_rows(context, out.rows, out.columns * 4, [&](int64_t i) {
    context.table->silu_mul_row(gate.row(i), up.row(i), out.columns, out.row(i));
  });
}

void gelu_tanh(const Context& context, MatrixView x) {
  const TraceScope scope("gelu_tanh");
  for_rows(context, x.rows, x.columns * 4,
           [&](int64_t i) { context.table->gelu_tanh_row(x.row(i), x.columns); });
}

void gelu_erf(const Context& context, MatrixView x) {
  const TraceScope scope("gelu_erf");
  for_rows(context, x.rows, x.columns * 4,
           [&](int64_t i) { context.table->gelu_erf_row(x.row(i), x.columns); });
}

void add_scaled_rows(const Context& context, ConstMatrixView x, const float* scale,
                     const int32_t* target_row, MatrixView out) {
  const TraceScope scope("add_scaled_rows");
  // Columns are split, not rows: several rows of x may go to one row of out, and are added in their
  // order.
  constexpr int64_t kColumns = 256;
  const int64_t slices = (x.columns + kColumns - 1) / kColumns;
  for_rows(context, slices, x.rows * kColumns, [&](int64_t slice) {
    const int64_t first = slice * kColumns, n = std::min(kColumns, x.columns - first);
    for (int64_t i = 0; i < x.rows; ++i)
      context.table->add_scaled_row(x.row(i) + first, scale[i], n, out.row(target_row[i]) + first);
  });
}

void apply_rope(const Context& context, MatrixView x, int heads, int head_stride, int half,
                const float* cos, const float* sin) {
  const TraceScope scope("apply_rope");
  for_rows(context, x.rows, int64_t{heads} * half * 2, [&](int64_t t) {
    for (int h = 0; h < heads; ++h)
      context.table->rope_row(x.row(t) + int64_t{h} * head_stride, half, cos + t * half,
                              sin + t * half);
  });
}

void head_norm_rope(const Context& context, MatrixView x, int heads, int head_dim, int head_stride,
                    const float* norm_weight, float eps, int half, const float* cos,
                    const float* sin) {
  const TraceScope scope("head_norm_rope");
  for_rows(context, x.rows, int64_t{heads} * head_dim * 2, [&](int64_t t) {
    for (int h = 0; h < heads; ++h) {
      float* head = x.row(t) + int64_t{h} * head_stride;
      context.table->rms_norm_row(head, norm_weight, eps, head_dim, head);
      context.table->rope_row(head, half, cos + t * half, sin + t * half);
    }
  });
}

void gated_rms_norm(const Context& context, ConstMatrixView x, ConstMatrixView z,
                    const float* weight, int heads, int head_dim, float eps, MatrixView out) {
  const TraceScope scope("gated_rms_norm");
  for_rows(context, x.rows, int64_t{heads} * head_dim * 5, [&](int64_t t) {
    for (int64_t h = 0; h < heads; ++h)
      context.table->gated_rms_norm_row(x.row(t) + h * head_dim, z.row(t) + h * head_dim, weight,
                                        eps, head_dim, out.row(t) + h * head_dim);
  });
}

void causal_conv_silu(const Context& context, ConstMatrixView x, const float* weight, float* state,
                      MatrixView out) {
  const TraceScope scope("causal_conv_silu");
  constexpr int64_t kChannels = 512;  // a task's share: 2 KiB of each row; 8: taps and state
  const int64_t slices = (x.columns + kChannels - 1) / kChannels;
  for_rows(context, slices, (x.rows * 6 + 8) * kChannels, [&](int64_t slice) {
    const int64_t first = slice * kChannels, n = std::min(kChannels, x.columns - first);
    context.table->conv_silu_rows(x.data + first, x.stride, x.rows, weight + 4 * first,
                                  state + first, x.columns, n, out.data + first, out.stride);
  });
}

void delta_gates(const Context& context, ConstMatrixView b, ConstMatrixView a,
                 const float* a_coefficient, const float* dt_bias, MatrixView beta,
                 MatrixView log_decay) {
  const TraceScope scope("delta_gates");
  for_rows(context, b.rows, b.columns * 200, [&](int64_t t) {
    for (int64_t h = 0; h < b.columns; ++h) {
      beta.row(t)[h] = 1.0f / (1.0f + std::exp(-b.row(t)[h]));
      const float x = a.row(t)[h] + dt_bias[h];
      log_decay.row(t)[h] =
          a_coefficient[h] * (x > 20.0f ? x : std::log1p(std::exp(x)));  // PyTorch's softplus
    }
  });
}

}  // namespace godwit::kernels
