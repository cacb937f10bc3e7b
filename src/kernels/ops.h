// Every numeric operation of the models besides matmul: rows are split over the pool, nothing is
// allocated, nothing depends on the number of threads. Shapes stand beside each argument; T is
// tokens of one sequence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/context.h"
#include "tensor/view.h"

namespace godwit::kernels {

using tensor::ConstMatrixView;
using tensor::MatrixView;

// out = x · rsqrt(mean(x²) + eps) · weight, per row. `weight` [columns] already holds 1 + w for
// zero-centred norms.
void rms_norm(const Context&, ConstMatrixView x, const float* weight, float eps, MatrixView out);
// out = (x − mean) · rsqrt(var + eps) · weight + bias, per row.
void layer_norm(const Context&, ConstMatrixView x, const float* weight, const float* bias,
                float eps, MatrixView out);
// out += x
void add(const Context&, ConstMatrixView x, MatrixView out);
// out = silu(gate) · up   (out may be gate or up)
void silu_mul(const Context&, ConstMatrixView gate, ConstMatrixView up, MatrixView out);
// x = gelu(x): tanh form (vision blocks), erf form (merger)
void gelu_tanh(const Context&, MatrixView x);
void gelu_erf(const Context&, MatrixView x);
// Row target_row[i] of out += scale[i] · row i of x, for each of x's rows (mixture of experts).
// scale, target_row: [x.rows]
void add_scaled_rows(const Context&, ConstMatrixView x, const float* scale,
                     const int32_t* target_row, MatrixView out);

// x = 1 / (1 + exp(−x))
void sigmoid(const Context&, MatrixView x);
// Softmax over each row of logits [T, experts], the `count` largest of it (the lower index first
// among equals), divided by their sum. chosen, weight [T, count], indices rising.
void choose_experts(const Context&, ConstMatrixView logits, int count, int32_t* chosen,
                    float* weight);

// Rotate-half rotary embedding on the first 2·half values of each head: pairs (j, j + half).
// x [T, heads · head_stride], cos/sin [T, half].
void apply_rope(const Context&, MatrixView x, int heads, int head_stride, int half,
                const float* cos, const float* sin);

// Per-head RMS norm (weight [head_dim]) followed by rotary embedding; head h of row t starts at
// x.row(t) + h · head_stride.
void head_norm_rope(const Context&, MatrixView x, int heads, int head_dim, int head_stride,
                    const float* norm_weight, float eps, int half, const float* cos,
                    const float* sin);

// ---- Gated attention over paged keys and values

// Pages of one layer of one sequence. key_pages[p] is [kv_heads, page_tokens, head_dim] of `dtype`
// (F32, F16, BF16 or Q8_0 blocks along head_dim).
struct KvPages {
  std::byte* const* key_pages = nullptr;
  std::byte* const* value_pages = nullptr;
  tensor::DType dtype = tensor::DType::kF16;
  int page_tokens = 0, kv_heads = 0, head_dim = 0;
};
// Writes rows of k and v [T, kv_heads · head_dim] at positions first … first + T − 1.
void store_kv(const Context&, const KvPages& pages, int64_t first, ConstMatrixView k,
              ConstMatrixView v);
// Causal attention of T queries at positions first … first + T − 1 over everything up to and
// including themselves. q: head h of row t at q.row(t) + h · q_head_stride, [head_dim]; out [T,
// heads · head_dim]. Online softmax in f32. gate (or null): same addressing as q; out is multiplied
// by sigmoid(gate).
void attention(const Context&, const KvPages& pages, int64_t first, ConstMatrixView q, int heads,
               int q_head_stride, const float* gate, float scale, MatrixView out,
               std::span<std::byte> scratch);
size_t attention_scratch_bytes(int threads, int64_t max_tokens, int heads, int head_dim);

// Full (non-causal) attention inside segments of rows: [starts[i], starts[i+1]). qkv [N, 3 · heads
// · head_dim] as the vision tower has it (q | k | v, head-major); out [N, heads · head_dim].
void segment_attention(const Context&, ConstMatrixView qkv, int heads, int head_dim,
                       std::span<const int64_t> starts, float scale, MatrixView out,
                       std::span<std::byte> scratch);
size_t segment_attention_scratch_bytes(int threads, int64_t longest_segment, int heads,
                                       int head_dim);

// ---- Gated delta net (spec §2.3; Yang et al., Gated Delta Networks, arXiv 2412.06464)

// Causal depthwise convolution over time, then SiLU: out[t,c] = silu(Σ_j weight[c,j] · x[t−3+j,
// c]), kernel 4. x [T, channels]; weight [channels, 4]; state [3, channels]: the three columns
// before x, oldest first; it is moved on to the last three columns of (state, x). x and out must
// not overlap.
void causal_conv_silu(const Context&, ConstMatrixView x, const float* weight, float* state,
                      MatrixView out);

struct DeltaRuleShape {
  int key_heads = 0, value_heads = 0, key_dim = 0, value_dim = 0;
  // Which key head a value head uses: h / (value_heads / key_heads) in checkpoints' order, h %
  // key_heads in GGUF's.
  bool gguf_head_order = false;
};
// Gates: beta = sigmoid(b); log_decay = a_coefficient · softplus(a + dt_bias), with a_coefficient =
// −exp(A_log). [T, value_heads]; a_coefficient, dt_bias: [value_heads].
void delta_gates(const Context&, ConstMatrixView b, ConstMatrixView a, const float* a_coefficient,
                 const float* dt_bias, MatrixView beta, MatrixView log_decay);
// The rank-one factors of each position, kept so that it can be undone or replayed (null: not
// kept). Layout: [position][value head][key_dim (k̂) | value_dim (δ) | 1 (log decay)]
struct DeltaFactors {
  float* data = nullptr;  // room for T positions
};
// [value_heads, key_dim, value_dim]
struct DeltaState {
  float* data;
  const float* from;  // what it is before, if that is elsewhere: `data` is then only written
  DeltaState(float* d, const float* f = nullptr) : data(d), from(f) {}  // NOLINT
};
// qkv [T, 2 · key_heads · key_dim + value_heads · value_dim]: q | k | v after convolution.
// l2-normalises q and k (q also times key_dim^−½), then runs the rule from `state`, which is
// updated. out [T, value_heads · value_dim]. T = 1 … few: stepwise; longer: chunks. The two agree
// to f32 rounding.
void delta_rule(const Context&, ConstMatrixView qkv, ConstMatrixView beta,
                ConstMatrixView log_decay, const DeltaRuleShape& shape, DeltaState state,
                DeltaFactors factors, MatrixView out, std::span<std::byte> scratch);
size_t delta_rule_scratch_bytes(int threads, int64_t max_tokens, const DeltaRuleShape& shape);
// Moves `state` on by the first `positions` entries of a log: bit for bit what stepwise delta_rule
// left. (A position is undone by replaying from a snapshot; dividing the decay out again would lose
// digits.)
void delta_replay(const Context&, const float* factors, int64_t positions,
                  const DeltaRuleShape& shape, DeltaState state);
// out = (weight · norm(x)) · silu(z) per head of value_dim: the gated norm (weight not
// zero-centred).
void gated_rms_norm(const Context&, ConstMatrixView x, ConstMatrixView z, const float* weight,
                    int heads, int head_dim, float eps, MatrixView out);

}  // namespace godwit::kernels
