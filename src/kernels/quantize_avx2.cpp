// Rounds activations to int8 blocks (tile_types.h) with AVX2; every x86 table uses it.
#include <immintrin.h>

#include "kernels/kernel_types.h"

namespace godwit::kernels::avx2 {
namespace {

inline void put(uint8_t* at, int32_t value) { __builtin_memcpy(at, &value, 4); }
inline void put(uint8_t* at, float value) { __builtin_memcpy(at, &value, 4); }

// The largest magnitude of 32 values, compared as bits: a NaN is then larger than everything.
inline float largest(const float* x) {
  const __m256i mask = _mm256_set1_epi32(0x7fffffff);
  auto magnitude = [&](int i) {
    return _mm256_and_si256(_mm256_castps_si256(_mm256_loadu_ps(x + 8 * i)), mask);
  };
  const __m256i eight = _mm256_max_epi32(_mm256_max_epi32(magnitude(0), magnitude(1)),
                                         _mm256_max_epi32(magnitude(2), magnitude(3)));
  __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1));
  return _mm_cvtss_f32(_mm_castsi128_ps(four));
}

// activation_scale() of eight magnitudes at once, as divisions are slow.
inline void activation_scales(const float* magnitudes, float* scale, float* to_code) {
  const __m256 m = _mm256_load_ps(magnitudes), most = _mm256_set1_ps(127.0f);
  const __m256 finite = _mm256_cmp_ps(m, _mm256_set1_ps(3.40282347e38f), _CMP_LE_OQ);
  const __m256 tiny = _mm256_cmp_ps(m, _mm256_set1_ps(1e-30f), _CMP_LT_OQ);
  const __m256 value = _mm256_andnot_ps(tiny, _mm256_div_ps(m, most));
  const __m256 nan = _mm256_set1_ps(__builtin_nanf(""));
  _mm256_store_ps(scale, _mm256_blendv_ps(nan, value, finite));
  _mm256_store_ps(to_code, _mm256_and_ps(_mm256_andnot_ps(tiny, finite), _mm256_div_ps(most, m)));
}

// One block of one row; `at` is the block's first byte plus 4 · row.
inline void quantize_block(const float* x, float scale, float to_code, int rows, uint8_t* at) {
  __m256i q[4];
  for (int i = 0; i < 4; ++i)
    q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), _mm256_set1_ps(to_code)));
  if (to_code == 0) q[0] = q[1] = q[2] = q[3] = _mm256_setzero_si256();  // 0 · infinity is none
  const __m256i bytes =
      _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
  const __m256i codes =
      _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  // Sums of 16 codes in each half, of code + 128, which has no sign.
  __m256i sums =
      _mm256_sad_epu8(_mm256_xor_si256(codes, _mm256_set1_epi8(-128)), _mm256_setzero_si256());
  sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0x4e));
  const int32_t first = _mm_cvtsi128_si32(_mm256_castsi256_si128(sums)) - 16 * 128;
  const int32_t both = first + _mm_cvtsi128_si32(_mm256_extracti128_si256(sums, 1)) - 16 * 128;
  put(at, scale);
  put(at + 4 * rows, -both);
  put(at + 8 * rows, scale * static_cast<float>(both));
  put(at + 12 * rows, -first);
  if (rows == 1) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at + 16), codes);
    return;
  }
  alignas(32) int32_t words[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(words), codes);
  for (int step = 0; step < 8; ++step) put(at + 4 * (4 + step) * rows, words[step]);
}

}  // namespace

// By runs of blocks: all magnitudes, all scales, all codes. Magnitudes are written one by one and
// read eight at a time, which a core can only do some time later.
void quantize_activations(const float* x, int64_t stride, int rows, int64_t columns,
                          uint8_t* blocks) {
  static_assert(kMaxGroupRows == 8);
  constexpr int64_t kRun = 8;
  alignas(32) float magnitudes[kRun][8] = {}, scale[kRun][8], to_code[kRun][8];
  for (int64_t first = 0, n; first < columns / kBlockColumns; first += n) {
    n = columns / kBlockColumns - first < kRun ? columns / kBlockColumns - first : kRun;
    const float* values = x + first * kBlockColumns;
    for (int64_t b = 0; b < n; ++b)
      for (int r = 0; r < rows; ++r)
        magnitudes[b][r] = largest(values + r * stride + b * kBlockColumns);
    for (int64_t b = 0; b < n; ++b) activation_scales(magnitudes[b], scale[b], to_code[b]);
    for (int64_t b = 0; b < n; ++b)
      for (int r = 0; r < rows; ++r)
        quantize_block(values + r * stride + b * kBlockColumns, scale[b][r], to_code[b][r], rows,
                       blocks + (first + b) * kActivationBlockBytes * rows + 4 * r);
  }
}

}  // namespace godwit::kernels::avx2
