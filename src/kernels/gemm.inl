// Small f32 products whose operands are in the caches already: blocks of attention and of the
// chunked delta rule.

template <int kRows, int kVecs>
VEC_FN void gemm_tile(int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb,
                      const float* c_scale, float* c, int64_t ldc) {
  Vec sums[kRows][kVecs];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVecs; ++v) sums[r][v] = set1(0);
  for (int64_t i = 0; i < k; ++i) {
    Vec columns[kVecs];
    for (int v = 0; v < kVecs; ++v) columns[v] = load(b + i * ldb + v * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const Vec value = set1(a[r * lda + i]);
      for (int v = 0; v < kVecs; ++v) sums[r][v] = fma(value, columns[v], sums[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVecs; ++v) {
      float* target = c + r * ldc + v * kLanes;
      store(target, c_scale ? fma(load(target), set1(c_scale[r]), sums[r][v]) : sums[r][v]);
    }
  }
}

// kVecs columns of vectors, all rows.
template <int kVecs>
static void gemm_panel(int64_t m, int64_t k, const float* a, int64_t lda, const float* b,
                       int64_t ldb, const float* c_scale, float* c, int64_t ldc) {
  int64_t r = 0;
  const auto scale = [&] { return c_scale ? c_scale + r : nullptr; };
  for (; r + kGemmRows <= m; r += kGemmRows)
    gemm_tile<kGemmRows, kVecs>(k, a + r * lda, lda, b, ldb, scale(), c + r * ldc, ldc);
  a += r * lda, c += r * ldc;
  switch (m - r) {
    case 5:
      return gemm_tile<5, kVecs>(k, a, lda, b, ldb, scale(), c, ldc);
    case 4:
      return gemm_tile<4, kVecs>(k, a, lda, b, ldb, scale(), c, ldc);
    case 3:
      return gemm_tile<3, kVecs>(k, a, lda, b, ldb, scale(), c, ldc);
    case 2:
      return gemm_tile<2, kVecs>(k, a, lda, b, ldb, scale(), c, ldc);
    case 1:
      return gemm_tile<1, kVecs>(k, a, lda, b, ldb, scale(), c, ldc);
    default:
      return;
  }
}

// c[i] = c_scale[i] · c[i] + a[i] · b  (c_scale null: c is overwritten);  a [m, k], b [k, n], c [m,
// n], n a multiple of 16. Columns are taken in panels of nearly equal width, so that none is left
// too thin to keep the multipliers busy.
void gemm(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb,
          const float* c_scale, float* c, int64_t ldc) {
  const int64_t vecs = n / kLanes;
  int64_t panels = (vecs + kGemmVecs - 1) / kGemmVecs;
  for (int64_t v = 0; panels > 0; --panels) {
    const int64_t width = (vecs - v + panels - 1) / panels;
    const float* b_panel = b + v * kLanes;
    float* c_panel = c + v * kLanes;
    switch (width) {
      case 1:
        gemm_panel<1>(m, k, a, lda, b_panel, ldb, c_scale, c_panel, ldc);
        break;
      case 2:
        gemm_panel<2>(m, k, a, lda, b_panel, ldb, c_scale, c_panel, ldc);
        break;
      case 3:
        gemm_panel < kGemmVecs<3 ? 1 : 3>(m, k, a, lda, b_panel, ldb, c_scale, c_panel, ldc);
        break;
      default:
        gemm_panel < kGemmVecs<4 ? 1 : 4>(m, k, a, lda, b_panel, ldb, c_scale, c_panel, ldc);
        break;
    }
    v += width;
  }
}

// target [columns, rows] = the transpose of source [rows, columns]; rows is a multiple of 16,
// columns of 4.
void transpose(const float* source, int64_t source_stride, int64_t rows, int64_t columns,
               float* target, int64_t target_stride) {
  for (int64_t r = 0; r < rows; r += kLanes) {
    for (int64_t c = 0; c < columns; c += 4) {
      Vec turned[4];
      load_columns(source + r * source_stride + c, source_stride, turned);
      for (int j = 0; j < 4; ++j) store(target + (c + j) * target_stride + r, turned[j]);
    }
  }
}
