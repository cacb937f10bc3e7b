// Attention's inner loops: stored keys and values of one head read as they lie in their pages, f32
// sums.

// How a row of `dim` stored values is read: kLanes of them from index i on (i a multiple of
// kLanes).
struct RowsF32 {
  VEC_FN Vec at(const unsigned char* row, int64_t i) { return load((const float*)row + i); }
};
struct RowsF16 {
  VEC_FN Vec at(const unsigned char* row, int64_t i) { return load_f16((const uint16_t*)row + i); }
};
struct RowsBF16 {
  VEC_FN Vec at(const unsigned char* row, int64_t i) { return load_bf16((const uint16_t*)row + i); }
};
struct RowsQ8_0 {  // blocks of 32: an f16 scale, 32 signed bytes
  VEC_FN Vec at(const unsigned char* row, int64_t i) {
    const unsigned char* block = row + i / 32 * 34;
    return mul(set1(f16_scale((const uint16_t*)block)), load_i8((const int8_t*)block + 2 + i % 32));
  }
};

// Asks for bytes that the next step reads, so that waiting for memory and computing overlap.
VEC_FN void prefetch(const unsigned char* bytes, int64_t n) {
  for (int64_t i = 0; i < n; i += 64) __builtin_prefetch(bytes + i);
}

// Scores of kHeads queries with kKeys keys. The sums of one head are added up side by side.
template <class Rows, int kHeads, int kKeys>
VEC_FN void score_block(const float* q, int64_t q_stride, const unsigned char* keys,
                        int64_t row_bytes, int64_t dim, float* scores, int64_t scores_stride) {
  Vec sums[kHeads][4];
  for (int h = 0; h < kHeads; ++h)
    for (int p = 0; p < 4; ++p) sums[h][p] = set1(0);
  for (int64_t i = 0; i < dim; i += kLanes) {
    Vec key[kKeys];
    for (int p = 0; p < kKeys; ++p) key[p] = Rows::at(keys + p * row_bytes, i);
    for (int h = 0; h < kHeads; ++h) {
      const Vec query = load(q + h * q_stride + i);
      for (int p = 0; p < kKeys; ++p) sums[h][p] = fma(query, key[p], sums[h][p]);
    }
  }
  for (int h = 0; h < kHeads; ++h) {
    if (kKeys == 4) {
      sum4(sums[h][0], sums[h][1], sums[h][2], sums[h][3], scores + h * scores_stride);
    } else {
      for (int p = 0; p < kKeys; ++p) {
        float all[4];
        sum4(sums[h][p], set1(0), set1(0), set1(0), all);  // the same order of additions as above
        scores[h * scores_stride + p] = all[0];
      }
    }
  }
}

template <class Rows, int kHeads>
VEC_FN void score_heads(const float* q, int64_t q_stride, const unsigned char* keys,
                        int64_t row_bytes, int64_t count, int64_t dim, float* scores,
                        int64_t scores_stride, const unsigned char* next) {
  int64_t p = 0;
  for (; p + 4 <= count; p += 4) {
    if (next) prefetch(next + p * row_bytes, 4 * row_bytes);
    score_block<Rows, kHeads, 4>(q, q_stride, keys + p * row_bytes, row_bytes, dim, scores + p,
                                 scores_stride);
  }
  for (; p < count; ++p)
    score_block<Rows, kHeads, 1>(q, q_stride, keys + p * row_bytes, row_bytes, dim, scores + p,
                                 scores_stride);
}

template <class Rows>
static void score_rows(const float* q, int64_t q_stride, int64_t heads, const unsigned char* keys,
                       int64_t row_bytes, int64_t count, int64_t dim, float* scores,
                       int64_t scores_stride, const unsigned char* next) {
  constexpr int kHeads =
      kLanes == 8 ? 2 : 4;  // with four keys each: as many sums as registers allow
  int64_t h = 0;
  for (; h + kHeads <= heads; h += kHeads, next = nullptr)
    score_heads<Rows, kHeads>(q + h * q_stride, q_stride, keys, row_bytes, count, dim,
                              scores + h * scores_stride, scores_stride, next);
  for (; h < heads; ++h, next = nullptr)
    score_heads<Rows, 1>(q + h * q_stride, q_stride, keys, row_bytes, count, dim,
                         scores + h * scores_stride, scores_stride, next);
}

// acc[h] = shrink[h] · acc[h] + Σ_p weights[h][p] · value row p, over kVecs vectors of columns.
template <class Rows, int kHeads, int kVecs>
VEC_FN void value_block(const float* weights, int64_t weights_stride, const unsigned char* values,
                        int64_t row_bytes, int64_t count, int64_t column, const float* shrink,
                        float* acc, int64_t acc_stride, const unsigned char* next) {
  Vec sums[kHeads][kVecs];
  for (int h = 0; h < kHeads; ++h)
    for (int v = 0; v < kVecs; ++v)
      sums[h][v] = mul(set1(shrink[h]), load(acc + h * acc_stride + column + v * kLanes));
  for (int64_t p = 0; p < count; ++p) {
    if (next) prefetch(next + p * row_bytes, row_bytes);
    Vec value[kVecs];
    for (int v = 0; v < kVecs; ++v)
      value[v] = Rows::at(values + p * row_bytes, column + v * kLanes);
    for (int h = 0; h < kHeads; ++h) {
      const Vec weight = set1(weights[h * weights_stride + p]);
      for (int v = 0; v < kVecs; ++v) sums[h][v] = fma(weight, value[v], sums[h][v]);
    }
  }
  for (int h = 0; h < kHeads; ++h)
    for (int v = 0; v < kVecs; ++v) store(acc + h * acc_stride + column + v * kLanes, sums[h][v]);
}

template <class Rows, int kHeads>
VEC_FN void value_heads(const float* weights, int64_t weights_stride, const unsigned char* values,
                        int64_t row_bytes, int64_t count, int64_t dim, const float* shrink,
                        float* acc, int64_t acc_stride, const unsigned char* next) {
  constexpr int kVecs = kLanes == 8 ? 2 : 4;
  int64_t c = 0;
  for (; c + kVecs * kLanes <= dim; c += kVecs * kLanes, next = nullptr)
    value_block<Rows, kHeads, kVecs>(weights, weights_stride, values, row_bytes, count, c, shrink,
                                     acc, acc_stride, next);
  for (; c < dim; c += kLanes, next = nullptr)
    value_block<Rows, kHeads, 1>(weights, weights_stride, values, row_bytes, count, c, shrink, acc,
                                 acc_stride, next);
}

template <class Rows>
static void value_rows(const float* weights, int64_t weights_stride, int64_t heads,
                       const unsigned char* values, int64_t row_bytes, int64_t count, int64_t dim,
                       const float* shrink, float* acc, int64_t acc_stride,
                       const unsigned char* next) {
  int64_t h = 0;
  for (; h + 4 <= heads; h += 4, next = nullptr)
    value_heads<Rows, 4>(weights + h * weights_stride, weights_stride, values, row_bytes, count,
                         dim, shrink + h, acc + h * acc_stride, acc_stride, next);
  for (; h < heads; ++h, next = nullptr)
    value_heads<Rows, 1>(weights + h * weights_stride, weights_stride, values, row_bytes, count,
                         dim, shrink + h, acc + h * acc_stride, acc_stride, next);
}

template <class Rows>
static void decode_rows(const unsigned char* rows, int64_t row_bytes, int64_t count, int64_t dim,
                        float* target, int64_t stride) {
  for (int64_t p = 0; p < count; ++p)
    for (int64_t i = 0; i < dim; i += kLanes)
      store(target + p * stride + i, Rows::at(rows + p * row_bytes, i));
}

#define FOR_KV_TYPE(function, ...)            \
  switch (type) {                             \
    case kKvF32:                              \
      return function<RowsF32>(__VA_ARGS__);  \
    case kKvF16:                              \
      return function<RowsF16>(__VA_ARGS__);  \
    case kKvBF16:                             \
      return function<RowsBF16>(__VA_ARGS__); \
    case kKvQ8_0:                             \
      return function<RowsQ8_0>(__VA_ARGS__); \
  }

// scores[h][p] = q_h · key_p.  q [heads, dim], keys: `count` rows of `dim` values (a multiple of
// 16), scores [heads, count]. next (or null): as many rows that will be read next; they are
// prefetched.
void attend_scores(KvType type, const float* q, int64_t q_stride, int64_t heads,
                   const unsigned char* keys, int64_t row_bytes, int64_t count, int64_t dim,
                   float* scores, int64_t scores_stride, const unsigned char* next) {
  FOR_KV_TYPE(score_rows, q, q_stride, heads, keys, row_bytes, count, dim, scores, scores_stride,
              next)
}

// acc[h] = shrink[h] · acc[h] + Σ_p weights[h][p] · value_p.  weights [heads, count], acc [heads,
// dim].
void attend_values(KvType type, const float* weights, int64_t weights_stride, int64_t heads,
                   const unsigned char* values, int64_t row_bytes, int64_t count, int64_t dim,
                   const float* shrink, float* acc, int64_t acc_stride, const unsigned char* next) {
  FOR_KV_TYPE(value_rows, weights, weights_stride, heads, values, row_bytes, count, dim, shrink,
              acc, acc_stride, next)
}

// target [count, dim] = stored rows as f32.
void kv_to_f32(KvType type, const unsigned char* rows, int64_t row_bytes, int64_t count,
               int64_t dim, float* target, int64_t stride) {
  FOR_KV_TYPE(decode_rows, rows, row_bytes, count, dim, target, stride)
}

// target = n values (a multiple of 32 for Q8_0, else of 16) as they are stored.
void kv_from_f32(KvType type, const float* x, int64_t n, unsigned char* target) {
  if (type == kKvF32) __builtin_memcpy(target, x, n * sizeof(float));
  if (type == kKvF16) {
    for (int64_t i = 0; i < n; i += kLanes) store_f16((uint16_t*)target + i, load(x + i));
  }
  if (type == kKvBF16) {  // to nearest even; NaN stays NaN
    for (int64_t i = 0; i < n; ++i) {
      uint32_t bits;
      __builtin_memcpy(&bits, x + i, 4);
      const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
      ((uint16_t*)target)[i] =
          (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : rounded);
    }
  }
  if (type == kKvQ8_0) {
    for (int64_t i = 0; i < n; i += 32, target += 34) {
      float largest = 0;
      for (int j = 0; j < 32; ++j)
        largest = __builtin_fabsf(x[i + j]) > largest ? __builtin_fabsf(x[i + j]) : largest;
      const float scale = largest / 127.0f, inverse = scale > 0 ? 1.0f / scale : 0.0f;
      uint16_t stored_scale[kLanes];
      store_f16(stored_scale, set1(scale));
      __builtin_memcpy(target, stored_scale, 2);
      for (int j = 0; j < 32; ++j) {
        const float value = x[i + j] * inverse;
        ((int8_t*)target)[2 + j] = (int8_t)(value + (value < 0 ? -0.5f : 0.5f));
      }
    }
  }
}

// Online softmax over a row's next `count` scores (the rest of `padded` become zero): the running
// largest score and sum move on, scores become weights e^(scale · score − largest). Returns what
// earlier sums and weighted values must be multiplied by.
float softmax_step(float* scores, int64_t count, int64_t padded, float scale, float* largest,
                   float* sum_so_far) {
  for (int64_t i = count > 0 ? count : 0; i < padded; ++i) scores[i] = 0;
  if (count <= 0) return 1.0f;
  Vec most = set1(scores[0]);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) most = max(most, load(scores + i));
  float top = max_of(most);
  for (; i < count; ++i) top = top > scores[i] ? top : scores[i];
  top *= scale;
  const float before = *largest, now = before > top ? before : top;
  Vec total = set1(0);
  for (i = 0; i + kLanes <= count; i += kLanes) {
    const Vec weight = exp(fma(load(scores + i), set1(scale), set1(-now)));
    store(scores + i, weight);
    total = add(total, weight);
  }
  float all = sum(total);
  if (i < count) {
    const int left = lanes_left(i, count);
    store_n(scores + i, exp(fma(load_n(scores + i, left), set1(scale), set1(-now))), left);
    all += sum(load_n(scores + i, left));
  }
  float lanes[kLanes];
  store(lanes, exp(set1(before - now)));  // the first time before is −∞: 0
  const float shrink = lanes[0];
  *sum_so_far = *sum_so_far * shrink + all;
  *largest = now;
  return shrink;
}
