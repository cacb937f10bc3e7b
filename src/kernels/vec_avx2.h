// Vectors of 8 for AVX2 with FMA and F16C; see vec_scalar.h.

using Vec = __m256;
constexpr int kLanes = 8;
constexpr int kGemmRows = 6, kGemmVecs = 2;  // 12 sums of 16 registers

VEC_FN __m256i first_lanes(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
VEC_FN Vec load(const float* p) { return _mm256_loadu_ps(p); }
VEC_FN void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
VEC_FN Vec load_n(const float* p, int n) { return _mm256_maskload_ps(p, first_lanes(n)); }
VEC_FN void store_n(float* p, Vec v, int n) { _mm256_maskstore_ps(p, first_lanes(n), v); }
VEC_FN Vec set1(float x) { return _mm256_set1_ps(x); }
VEC_FN Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
VEC_FN Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
VEC_FN Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
VEC_FN Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
VEC_FN Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
VEC_FN Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
VEC_FN Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
VEC_FN Vec abs(Vec a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
VEC_FN Vec round(Vec a) {
  return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
VEC_FN Vec power_of_two(__m256i n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
// In two halves, so that 2^n itself may lie outside the range of normal numbers.
VEC_FN Vec scale_by_power(Vec a, Vec n) {
  const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
  return mul(mul(a, power_of_two(half)), power_of_two(_mm256_sub_epi32(whole, half)));
}
VEC_FN Vec if_below(Vec a, Vec b, Vec then, Vec otherwise) {
  return _mm256_blendv_ps(otherwise, then, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
VEC_FN Vec with_sign_of(Vec a, Vec sign) {
  return _mm256_or_ps(a, _mm256_and_ps(sign, _mm256_set1_ps(-0.0f)));
}
VEC_FN __m128 sum_halves(Vec v) {
  return _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
}
VEC_FN float sum(Vec v) {
  __m128 s = sum_halves(v);
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
VEC_FN void sum4(Vec a, Vec b, Vec c, Vec d, float* out) {
  __m128 w = sum_halves(a), x = sum_halves(b), y = sum_halves(c), z = sum_halves(d);
  _MM_TRANSPOSE4_PS(w, x, y, z);
  _mm_storeu_ps(out, _mm_add_ps(_mm_add_ps(w, x), _mm_add_ps(y, z)));
}
VEC_FN float max_of(Vec v) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
VEC_FN Vec load_f16(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
}
VEC_FN void store_f16(uint16_t* p, Vec v) {
  _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
VEC_FN Vec load_bf16(const uint16_t* p) {
  return _mm256_castsi256_ps(
      _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p)), 16));
}
VEC_FN Vec load_i8(const int8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p)));
}
VEC_FN float f16_scale(const uint16_t* p) {
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(*p)));
}

// out[j] lane i = p[i · stride + j]; rows i and i + 4 share a register.
VEC_FN void load_columns(const float* p, int64_t stride, Vec out[4]) {
  Vec r[4];
  for (int i = 0; i < 4; ++i) {
    const float* q = p + i * stride;
    r[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(q)),
                                _mm_loadu_ps(q + 4 * stride), 1);
  }
  const __m256d a = _mm256_castps_pd(_mm256_unpacklo_ps(r[0], r[1])),
                b = _mm256_castps_pd(_mm256_unpacklo_ps(r[2], r[3]));
  const __m256d c = _mm256_castps_pd(_mm256_unpackhi_ps(r[0], r[1])),
                d = _mm256_castps_pd(_mm256_unpackhi_ps(r[2], r[3]));
  out[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b)),
  out[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
  out[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(c, d)),
  out[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(c, d));
}
