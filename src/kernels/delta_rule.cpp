// The gated delta rule over a sequence (Yang et al., Gated Delta Networks, arXiv 2412.06464), one
// head a task.
//
// Few positions go step by step (delta.inl). More go in chunks of C, where the steps become matrix
// products. With k̂, q̂ the normalised rows, G_i = g_0 + … + g_i and D_ij = e^(g_{j+1} + … + g_i) for
// j ≤ i, else 0:
//
//   A_ij = β_i (k̂_i · k̂_j) D_ij for j < i        P_ij = (q̂_i · k̂_j) D_ij for j ≤ i
//   (I + A) N = diag(β) (V − diag(e^G) K̂ S)       N's rows are the δ of the steps
//   O = diag(e^G) Q̂ S + P N
//   S ← e^{G_last} S + K̂ᵀ diag(D_last) N
//
// A head's state and all of a chunk's matrices (some 220 KiB) stay in the second-level cache from
// the first chunk to the last.
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/trace.h"
#include "kernels/ops.h"
#include "kernels/split.h"

namespace godwit::kernels {
namespace {

constexpr float kL2Eps = 1e-6f;
constexpr int64_t kMaxDim = 512;
constexpr int64_t kChunk = 32;  // measured: 64 is 5 % slower, 128 a quarter
constexpr int64_t kStepwise =
    16;  // up to here steps are as fast as a chunk, and equal to decoding bit for bit
constexpr int64_t kBlock = 32;  // rows of a triangle that are computed together
constexpr int64_t kPad = 16;    // floats that keep rows of the state from sharing cache sets

struct Shape {
  int64_t key_dim, value_dim;
  int64_t state_stride() const { return value_dim + kPad; }
};

// One worker's scratch.
struct ChunkScratch {
  float* x;         // [2C, key_dim]          K̂ above, Q̂ from row round16(c) on
  float* kt;        // [key_dim, C]           K̂ᵀ
  float* gram;      // [2C, C]                −A above, P below
  float* y;         // [C, value_dim]         K̂ S
  float* n;         // [C, value_dim]         N
  float* weighted;  // [C, value_dim]         diag(D_last) N
  float* state;     // [key_dim, value_dim + kPad]
  float *sums, *from_start, *to_end, *ones, *last;  // [C], [C], [C], [C], [key_dim]

  static size_t floats(const Shape& s) {
    return 2 * kChunk * s.key_dim + s.key_dim * kChunk + 2 * kChunk * kChunk +
           3 * kChunk * s.value_dim + s.key_dim * s.state_stride() + 4 * kChunk + s.key_dim;
  }
  ChunkScratch(float* memory, const Shape& s) {
    const auto take = [&memory](int64_t count) { return std::exchange(memory, memory + count); };
    x = take(2 * kChunk * s.key_dim), kt = take(s.key_dim * kChunk),
    gram = take(2 * kChunk * kChunk);
    y = take(kChunk * s.value_dim), n = take(kChunk * s.value_dim),
    weighted = take(kChunk * s.value_dim);
    state = take(s.key_dim * s.state_stride());
    sums = take(kChunk), from_start = take(kChunk), to_end = take(kChunk), ones = take(kChunk),
    last = take(s.key_dim);
    std::fill_n(ones, kChunk, 1.0f);
  }
};

// One head's columns of the inputs and its place in the outputs.
struct Head {
  const KernelTable& table;
  Shape shape;
  ConstMatrixView qkv, beta, log_decay;
  MatrixView out;
  int64_t index, q_column, k_column, v_column;
  float* factors;         // of position 0, or null
  int64_t factor_stride;  // from one position to the next
  float query_scale;

  const float* v(int64_t t) const { return qkv.row(t) + v_column; }
  float* out_row(int64_t t) const { return out.row(t) + index * shape.value_dim; }
  void normalise(int64_t t, float* q, float* k) const {
    table.l2_norm_row(qkv.row(t) + q_column, kL2Eps, query_scale, shape.key_dim, q);
    table.l2_norm_row(qkv.row(t) + k_column, kL2Eps, 1.0f, shape.key_dim, k);
  }
  // A row's parts lie a whole row of qkv apart, in pages of their own: brought near ahead of time.
  void prefetch(int64_t t) const {
    constexpr int64_t kLine = 64 / sizeof(float);
    const float* row = qkv.row(t);
    for (int64_t i = 0; i < shape.key_dim; i += kLine) {
      __builtin_prefetch(row + q_column + i);
      __builtin_prefetch(row + k_column + i);
    }
    for (int64_t i = 0; i < shape.value_dim; i += kLine) __builtin_prefetch(row + v_column + i);
  }
  void log(int64_t t, const float* k, const float* delta) const {
    if (factors == nullptr) return;
    float* entry = factors + t * factor_stride;
    std::copy_n(k, shape.key_dim, entry);
    std::copy_n(delta, shape.value_dim, entry + shape.key_dim);
    entry[shape.key_dim + shape.value_dim] = log_decay.row(t)[index];
  }
};

// One head's state, in its place: a copy here is in the nearest cache when it is wanted.
float* bring_head(const DeltaState& state, int64_t head, const Shape& shape) {
  const int64_t size = shape.key_dim * shape.value_dim;
  if (state.from) std::copy_n(state.from + head * size, size, state.data + head * size);
  return state.data + head * size;
}

void run_steps(const Head& head, int64_t first, float* state) {
  float q[kMaxDim], k[kMaxDim], delta[kMaxDim];
  for (int64_t t = first; t < head.qkv.rows; ++t) {
    head.normalise(t, q, k);
    head.table.delta_step(q, k, head.v(t), head.beta.row(t)[head.index],
                          std::exp(head.log_decay.row(t)[head.index]), state, head.shape.key_dim,
                          head.shape.value_dim, delta, head.out_row(t));
    head.log(t, k, delta);
  }
}

// −A and P of the chunk's c rows from t on, and the decays from its start and to its end.
void fill_triangles(const Head& head, int64_t t, int64_t c, int64_t padded, const ChunkScratch& s) {
  const KernelTable& table = head.table;
  const int64_t key_dim = head.shape.key_dim;
  for (int64_t i = 0; i < c; ++i)
    head.normalise(t + i, s.x + (padded + i) * key_dim, s.x + i * key_dim);
  std::fill(s.x + c * key_dim, s.x + padded * key_dim, 0.0f);
  table.transpose(s.x, key_dim, padded, key_dim, s.kt, kChunk);
  for (int64_t row = 0; row < c;
       row += kBlock) {  // no column right of the diagonal block is wanted
    const int64_t rows = std::min(kBlock, c - row), columns = std::min(padded, row + kBlock);
    for (const int64_t first : {row, padded + row})
      table.gemm(rows, columns, key_dim, s.x + first * key_dim, key_dim, s.kt, kChunk, nullptr,
                 s.gram + first * kChunk, kChunk);
  }
  float from_start = 0;
  for (int64_t i = 0; i < c; ++i) {
    const float g = head.log_decay.row(t + i)[head.index];
    s.from_start[i] = from_start += g;
    if (t + c + i < head.qkv.rows) head.prefetch(t + c + i);
    table.decay_triangle_row(s.sums, g, head.beta.row(t + i)[head.index], i, s.gram + i * kChunk,
                             s.gram + (padded + i) * kChunk, padded);
  }
  table.exp_row(s.from_start, c, s.from_start);
  table.exp_row(s.sums, c, s.to_end);
}

// N: right-hand side, then forward substitution by blocks of rows.
void solve(const Head& head, int64_t t, int64_t c, const ChunkScratch& s) {
  constexpr int64_t kRows = 16;
  const KernelTable& table = head.table;
  const int64_t value_dim = head.shape.value_dim;
  table.gemm(c, value_dim, head.shape.key_dim, s.x, head.shape.key_dim, s.state,
             head.shape.state_stride(), nullptr, s.y, value_dim);
  for (int64_t i = 0; i < c; ++i)
    table.delta_residual_row(head.v(t + i), s.y + i * value_dim, head.beta.row(t + i)[head.index],
                             s.from_start[i], value_dim, s.n + i * value_dim);
  for (int64_t row = 0; row < c; row += kRows) {
    const int64_t rows = std::min(kRows, c - row);
    float* target = s.n + row * value_dim;
    if (row > 0)
      table.gemm(rows, value_dim, row, s.gram + row * kChunk, kChunk, s.n, value_dim, s.ones,
                 target, value_dim);
    table.solve_unit_lower(rows, s.gram + row * kChunk + row, kChunk, target, value_dim, value_dim);
  }
}

void run_chunk(const Head& head, int64_t t, int64_t c, const ChunkScratch& s) {
  const KernelTable& table = head.table;
  const int64_t key_dim = head.shape.key_dim, value_dim = head.shape.value_dim,
                padded = (c + 15) / 16 * 16;
  fill_triangles(head, t, c, padded, s);
  solve(head, t, c, s);
  for (int64_t i = 0; i < c; ++i) head.log(t + i, s.x + i * key_dim, s.n + i * value_dim);

  table.gemm(c, value_dim, key_dim, s.x + padded * key_dim, key_dim, s.state,
             head.shape.state_stride(), nullptr, head.out_row(t), head.out.stride);
  for (int64_t row = 0; row < c; row += kBlock) {
    const int64_t rows = std::min(kBlock, c - row);
    table.gemm(rows, value_dim, row + rows, s.gram + (padded + row) * kChunk, kChunk, s.n,
               value_dim, s.from_start + row, head.out_row(t + row), head.out.stride);
  }
  for (int64_t i = 0; i < c; ++i)
    table.scale_row(s.n + i * value_dim, s.to_end[i], value_dim, s.weighted + i * value_dim);
  std::fill_n(s.last, key_dim, s.from_start[c - 1]);
  table.gemm(key_dim, value_dim, c, s.kt, kChunk, s.weighted, value_dim, s.last, s.state,
             head.shape.state_stride());
}

// The first `rows` of them.
void run_chunks(const Head& head, int64_t rows, float* state, const ChunkScratch& scratch) {
  const int64_t value_dim = head.shape.value_dim, stride = head.shape.state_stride();
  for (int64_t r = 0; r < head.shape.key_dim; ++r)
    std::copy_n(state + r * value_dim, value_dim, scratch.state + r * stride);
  for (int64_t t = 0; t < rows; t += kChunk)
    run_chunk(head, t, std::min(kChunk, rows - t), scratch);
  for (int64_t r = 0; r < head.shape.key_dim; ++r)
    std::copy_n(scratch.state + r * stride, value_dim, state + r * value_dim);
}

}  // namespace

size_t delta_rule_scratch_bytes(int threads, int64_t max_tokens, const DeltaRuleShape& shape) {
  if (max_tokens <= kStepwise) return 0;
  return threads * ChunkScratch::floats({shape.key_dim, shape.value_dim}) * sizeof(float);
}

void delta_rule(const Context& context, ConstMatrixView qkv, ConstMatrixView beta,
                ConstMatrixView log_decay, const DeltaRuleShape& shape, DeltaState state,
                DeltaFactors factors, MatrixView out, std::span<std::byte> scratch) {
  const TraceScope scope("delta_rule");
  const Shape dims{shape.key_dim, shape.value_dim};
  CHECK(dims.key_dim <= kMaxDim && dims.value_dim <= kMaxDim && dims.key_dim % 16 == 0 &&
        dims.value_dim % 16 == 0);
  // The rest of a long call goes as it would alone, so that a call may be cut at multiples of
  // kChunk and gives the same bits.
  const int64_t rest = qkv.rows % kChunk,
                in_chunks = rest <= kStepwise ? qkv.rows - rest : qkv.rows;
  const int threads = context.pool ? context.pool->threads() : 1;
  CHECK(scratch.size() >= delta_rule_scratch_bytes(threads, qkv.rows, shape));
  const int64_t entry = dims.key_dim + dims.value_dim + 1;
  for_rows(context, shape.value_heads, qkv.rows * dims.key_dim * dims.value_dim,
           [&](int64_t h, int worker) {
             const int64_t source = shape.gguf_head_order
                                        ? h % shape.key_heads
                                        : h / (shape.value_heads / shape.key_heads);
             const Head head{.table = *context.table,
                             .shape = dims,
                             .qkv = qkv,
                             .beta = beta,
                             .log_decay = log_decay,
                             .out = out,
                             .index = h,
                             .q_column = source * dims.key_dim,
                             .k_column = (shape.key_heads + source) * dims.key_dim,
                             .v_column = 2 * shape.key_heads * dims.key_dim + h * dims.value_dim,
                             .factors = factors.data ? factors.data + h * entry : nullptr,
                             .factor_stride = shape.value_heads * entry,
                             .query_scale = 1.0f / std::sqrt(static_cast<float>(dims.key_dim))};
             float* head_state = bring_head(state, h, dims);
             if (in_chunks > 0) {
               run_chunks(head, in_chunks, head_state,
                          ChunkScratch(reinterpret_cast<float*>(scratch.data()) +
                                           worker * ChunkScratch::floats(dims),
                                       dims));
             }
             run_steps(head, in_chunks, head_state);
           });
}

void delta_replay(const Context& context, const float* factors, int64_t positions,
                  const DeltaRuleShape& shape, DeltaState state) {
  const int64_t key_dim = shape.key_dim, value_dim = shape.value_dim,
                entry = key_dim + value_dim + 1;
  for_rows(context, shape.value_heads, (1 + positions) * key_dim * value_dim, [&](int64_t h, int) {
    float* head_state = bring_head(state, h, {key_dim, value_dim});
    for (int64_t t = 0; t < positions; ++t) {
      const float* log = factors + (t * shape.value_heads + h) * entry;
      context.table->delta_replay_step(log, log + key_dim, std::exp(log[key_dim + value_dim]),
                                       head_state, key_dim, value_dim);
    }
  });
}

}  // namespace godwit::kernels
