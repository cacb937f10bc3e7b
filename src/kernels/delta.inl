// Gated delta rule, one position of one head. State S [key_dim, value_dim]; each entry is read and written twice at most:
//   S ← decay · S;  δ = beta · (v − Sᵀk);  S ← S + k δᵀ;  out = Sᵀq
// The decay is folded in: Sᵀk is summed over the old state and decayed once, the second pass decays, writes and reads out.
// Columns go in groups whose sums stay in registers; a whole head's state (64 KiB) is then in the second-level cache.

constexpr int kDeltaVecs = kLanes == 16 ? 8 : 4;

template <int kVecs>
VEC_FN void delta_step_columns(const float* q, const float* k, const float* v, float beta, float decay, float* state,
                               int64_t key_dim, int64_t stride, float* delta, float* out) {
  Vec memory[kVecs];
  for (int i = 0; i < kVecs; ++i) memory[i] = set1(0);
  for (int64_t r = 0; r < key_dim; ++r) {
    const Vec key = set1(k[r]);
    for (int i = 0; i < kVecs; ++i) memory[i] = fma(load(state + r * stride + i * kLanes), key, memory[i]);
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

// value_dim is a multiple of 16.
void delta_step(const float* q, const float* k, const float* v, float beta, float decay, float* state, int64_t key_dim,
                int64_t value_dim, float* delta, float* out) {
  int64_t c = 0;
  for (; c + kDeltaVecs * kLanes <= value_dim; c += kDeltaVecs * kLanes)
    delta_step_columns<kDeltaVecs>(q, k, v + c, beta, decay, state + c, key_dim, value_dim, delta + c, out + c);
  for (; c < value_dim; c += kLanes)
    delta_step_columns<1>(q, k, v + c, beta, decay, state + c, key_dim, value_dim, delta + c, out + c);
}

// S ← decay · S + k δᵀ, with delta_step's own roundings.
void delta_replay_step(const float* k, const float* delta, float decay, float* state, int64_t key_dim, int64_t value_dim) {
  for (int64_t r = 0; r < key_dim; ++r) {
    float* s = state + r * value_dim;
    for (int64_t c = 0; c < value_dim; c += kLanes)
      store(s + c, fma(set1(k[r]), load(delta + c), mul(set1(decay), load(s + c))));
  }
}
