// Gated delta rule, one position of one head. State S [key_dim, value_dim], value_dim a multiple of
// 16:
//   S ← decay · S;  δ = beta · (v − Sᵀk);  S ← S + k δᵀ;  out = Sᵀq
// The decay is folded in: Sᵀk is summed over the old state and decayed once, the second pass
// decays, writes and reads out. So each entry is read twice and written once, the second time from
// the second-level cache (a head's state is 64 KiB). Columns go in groups whose sums stay in
// registers.

template <int kVecs>
VEC_FN void delta_step_columns(const float* q, const float* k, const float* v, float beta,
                               float decay, float* state, int64_t key_dim, int64_t stride,
                               float* delta, float* out) {
  Vec memory[kVecs];
  for (int i = 0; i < kVecs; ++i) memory[i] = set1(0);
  for (int64_t r = 0; r < key_dim; ++r) {
    const Vec key = set1(k[r]);
    for (int i = 0; i < kVecs; ++i)
      memory[i] = fma(load(state + r * stride + i * kLanes), key, memory[i]);
  }
  Vec d[kVecs], o[kVecs];
  for (int i = 0; i < kVecs; ++i) {
    d[i] = mul(set1(beta), sub(load(v + i * kLanes), mul(set1(decay), memory[i])));
    store(delta + i * kLanes, d[i]);
    o[i] = set1(0);
  }
  for (int64_t r = 0; r < key_dim; ++r) {
    const Vec key = set1(k[r]), query = set1(q[r]);
    for (int i = 0; i < kVecs; ++i) {
      float* s = state + r * stride + i * kLanes;
      const Vec updated = fma(key, d[i], mul(set1(decay), load(s)));
      store(s, updated);
      o[i] = fma(updated, query, o[i]);
    }
  }
  for (int i = 0; i < kVecs; ++i) store(out + i * kLanes, o[i]);
}

void delta_step(const float* q, const float* k, const float* v, float beta, float decay,
                float* state, int64_t key_dim, int64_t value_dim, float* delta, float* out) {
  constexpr int kVecs = kLanes == 16 ? 8 : 4;
  int64_t c = 0;
  for (; c + kVecs * kLanes <= value_dim; c += kVecs * kLanes)
    delta_step_columns<kVecs>(q, k, v + c, beta, decay, state + c, key_dim, value_dim, delta + c,
                              out + c);
  for (; c < value_dim; c += kLanes)
    delta_step_columns<1>(q, k, v + c, beta, decay, state + c, key_dim, value_dim, delta + c,
                          out + c);
}

// S ← decay · S + k δᵀ, with delta_step's own roundings.
void delta_replay_step(const float* k, const float* delta, float decay, float* state,
                       int64_t key_dim, int64_t value_dim) {
  for (int64_t r = 0; r < key_dim; ++r) {
    float* s = state + r * value_dim;
    for (int64_t c = 0; c < value_dim; c += kLanes)
      store(s + c, fma(set1(k[r]), load(delta + c), mul(set1(decay), load(s + c))));
  }
}

// Row i of the two decayed triangles of a chunk (delta_rule.cpp). On entry sums[j] = g_{j+1} + … +
// g_{i−1} for j < i; g = g_i is added here, so that the exponent is a sum of this span alone: a
// difference of running sums would lose its digits after a strong decay.
//   strict[j] ← −beta · strict[j] · e^sums[j] for j < i,     0 from there to n
//   full[j]   ← full[j] · e^sums[j]           for j ≤ i,     0 from there to n
// sums [n], strict [n], full [n]; n is a multiple of 16.
void decay_triangle_row(float* sums, float g, float beta, int64_t i, float* strict, float* full,
                        int64_t n) {
  FOR_VECTORS(j, i) store_tail(sums, j, i, add(load_tail(sums, j, i), set1(g)));
  sums[i] = 0;
  const float diagonal = full[i];
  FOR_VECTORS(j, i) {
    const Vec decay = exp(load_tail(sums, j, i));
    store_tail(strict, j, i, mul(mul(set1(-beta), load_tail(strict, j, i)), decay));
    store_tail(full, j, i, mul(load_tail(full, j, i), decay));
  }
  full[i] = diagonal;
  for (int64_t j = i; j < n; ++j) strict[j] = 0;
  for (int64_t j = i + 1; j < n; ++j) full[j] = 0;
}

// out = beta · (v − decay · memory)
void delta_residual_row(const float* v, const float* memory, float beta, float decay, int64_t n,
                        float* out) {
  FOR_VECTORS(i, n) {
    const Vec kept = mul(set1(decay), load_tail(memory, i, n));
    store_tail(out, i, n, mul(set1(beta), sub(load_tail(v, i, n), kept)));
  }
}

// x_i ← x_i + Σ_{j<i} a_ij x_j for i = 0 … m−1, in that order: forward substitution with the
// strictly lower −a. x [m, columns], columns a multiple of 16.
template <int kVecs>
VEC_FN void solve_columns(int64_t m, const float* a, int64_t lda, float* x, int64_t ldx) {
  for (int64_t i = 1; i < m; ++i) {
    Vec sums[kVecs];
    for (int v = 0; v < kVecs; ++v) sums[v] = load(x + i * ldx + v * kLanes);
    for (int64_t j = 0; j < i; ++j) {
      const Vec factor = set1(a[i * lda + j]);
      for (int v = 0; v < kVecs; ++v)
        sums[v] = fma(factor, load(x + j * ldx + v * kLanes), sums[v]);
    }
    for (int v = 0; v < kVecs; ++v) store(x + i * ldx + v * kLanes, sums[v]);
  }
}

void solve_unit_lower(int64_t m, const float* a, int64_t lda, float* x, int64_t ldx,
                      int64_t columns) {
  constexpr int kVecs = kLanes == 16 ? 8 : 4;
  int64_t c = 0;
  for (; c + kVecs * kLanes <= columns; c += kVecs * kLanes)
    solve_columns<kVecs>(m, a, lda, x + c, ldx);
  for (; c < columns; c += kLanes) solve_columns<1>(m, a, lda, x + c, ldx);
}
