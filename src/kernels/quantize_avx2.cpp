// Rounds activations to int8 blocks (tile_types.h) with AVX2; every x86 table uses it.
#include <immintrin.h>

#include "kernels/kernel_types.h"

namespace godwit::kernels::avx2 {
namespace {

inline void put(uint8_t* at, int32_t value) { __builtin_memcpy(at, &value, 4); }
inline void put(uint8_t* at, float value) { __builtin_memcpy(at, &value, 4); }

// The largest magnitude of 32 values, compared as bits: a NaN is then larger than everything.
inline float largest(const __m256 (&v)[4]) {
  const __m256i mask = _mm256_set1_epi32(0x7fffffff);
  auto magnitude = [&](int i) { return _mm256_and_si256(_mm256_castps_si256(v[i]), mask); };
  const __m256i eight = _mm256_max_epi32(_mm256_max_epi32(magnitude(0), magnitude(1)),
                                         _mm256_max_epi32(magnitude(2), magnitude(3)));
  __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1));
  return _mm_cvtss_f32(_mm_castsi128_ps(four));
}

// One block of one row; `at` is the block's first byte plus 4 · row.
inline void quantize_block(const float* x, int rows, uint8_t* at) {
  __m256 v[4];
  for (int i = 0; i < 4; ++i) v[i] = _mm256_loadu_ps(x + 8 * i);
  const ActivationScale scales = activation_scale(largest(v));
  __m256i q[4];
  for (int i = 0; i < 4; ++i)
    q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], _mm256_set1_ps(scales.to_code)));
  if (scales.to_code == 0)
    q[0] = q[1] = q[2] = q[3] = _mm256_setzero_si256();  // 0 · infinity is none
  const __m256i bytes =
      _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
  const __m256i codes =
      _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  // Sums of 16 in each half.
  __m256i sums =
      _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), codes), _mm256_set1_epi16(1));
  sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0x4e));
  sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0xb1));
  const int32_t first = _mm_cvtsi128_si32(_mm256_castsi256_si128(sums));
  const int32_t both = first + _mm_cvtsi128_si32(_mm256_extracti128_si256(sums, 1));
  put(at, scales.scale);
  put(at + 4 * rows, -both);
  put(at + 8 * rows, scales.scale * static_cast<float>(both));
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

void quantize_activations(const float* x, int64_t stride, int rows, int64_t columns,
                          uint8_t* blocks) {
  for (int64_t block = 0; block < columns / kBlockColumns; ++block)
    for (int r = 0; r < rows; ++r)
      quantize_block(x + r * stride + block * kBlockColumns, rows,
                     blocks + (block * kActivationBlockBytes * rows + 4 * r));
}

}  // namespace godwit::kernels::avx2
