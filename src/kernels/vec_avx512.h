// Vectors of 16 for AVX-512 (F, BW, VL, DQ); see vec_scalar.h.

using Vec = __m512;
constexpr int kLanes = 16;
constexpr int kGemmRows = 6,
              kGemmVecs = 4;  // 24 sums of 32 registers: ten loads feed 24 multiply-adds

VEC_FN __mmask16 first_lanes(int n) { return static_cast<__mmask16>((1u << n) - 1); }
VEC_FN Vec load(const float* p) { return _mm512_loadu_ps(p); }
VEC_FN void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
VEC_FN Vec load_n(const float* p, int n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
VEC_FN void store_n(float* p, Vec v, int n) { _mm512_mask_storeu_ps(p, first_lanes(n), v); }
VEC_FN Vec set1(float x) { return _mm512_set1_ps(x); }
VEC_FN Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
VEC_FN Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
VEC_FN Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
VEC_FN Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
VEC_FN Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
VEC_FN Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
VEC_FN Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
VEC_FN Vec abs(Vec a) { return _mm512_abs_ps(a); }
VEC_FN Vec round(Vec a) {
  return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
VEC_FN Vec scale_by_power(Vec a, Vec n) { return _mm512_scalef_ps(a, n); }
VEC_FN Vec if_below(Vec a, Vec b, Vec then, Vec otherwise) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), otherwise, then);
}
VEC_FN Vec with_sign_of(Vec a, Vec sign) {
  return _mm512_or_ps(a, _mm512_and_ps(sign, _mm512_set1_ps(-0.0f)));
}
VEC_FN __m128 sum_quarters(Vec v) {
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}
VEC_FN float sum(Vec v) {
  __m128 s = sum_quarters(v);
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
VEC_FN void sum4(Vec a, Vec b, Vec c, Vec d, float* out) {
  __m128 w = sum_quarters(a), x = sum_quarters(b), y = sum_quarters(c), z = sum_quarters(d);
  _MM_TRANSPOSE4_PS(w, x, y, z);
  _mm_storeu_ps(out, _mm_add_ps(_mm_add_ps(w, x), _mm_add_ps(y, z)));
}
VEC_FN float max_of(Vec v) {
  const __m256 half = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
VEC_FN Vec load_f16(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p));
}
VEC_FN void store_f16(uint16_t* p, Vec v) {
  _mm256_storeu_si256((__m256i*)p,
                      _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
VEC_FN Vec load_bf16(const uint16_t* p) {
  return _mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p)), 16));
}
VEC_FN Vec load_i8(const int8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p)));
}
VEC_FN float f16_scale(const uint16_t* p) {
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(*p)));
}

// Four columns of kLanes rows: out[j] lane i = p[i · stride + j]. Rows i, i+4, i+8, i+12 share a
// register, so that the 4 × 4 turns inside quarters leave the rows in order.
VEC_FN void load_columns(const float* p, int64_t stride, Vec out[4]) {
  Vec r[4];
  for (int i = 0; i < 4; ++i) {
    const float* q = p + i * stride;
    r[i] = _mm512_castps128_ps512(_mm_loadu_ps(q));
    r[i] = _mm512_insertf32x4(r[i], _mm_loadu_ps(q + 4 * stride), 1);
    r[i] = _mm512_insertf32x4(r[i], _mm_loadu_ps(q + 8 * stride), 2);
    r[i] = _mm512_insertf32x4(r[i], _mm_loadu_ps(q + 12 * stride), 3);
  }
  const __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(r[0], r[1])),
                b = _mm512_castps_pd(_mm512_unpacklo_ps(r[2], r[3]));
  const __m512d c = _mm512_castps_pd(_mm512_unpackhi_ps(r[0], r[1])),
                d = _mm512_castps_pd(_mm512_unpackhi_ps(r[2], r[3]));
  out[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
  out[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
  out[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(c, d)),
  out[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(c, d));
}
