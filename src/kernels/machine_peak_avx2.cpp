// The machine's limits with AVX2: bytes to words (maddubs), words to integers (madd), add.
#include <immintrin.h>

#include "kernels/kernel_types.h"

namespace godwit::kernels::avx2 {
namespace {

using Ints = __m256i;
using Floats = __m256;
using Words = __m256i;
constexpr int kInt8Macs = 32;
constexpr bool kVaryingOperand = true;  // else the first two instructions would leave the loop
#define KEEP(x) asm volatile("" : "+x"(x))

inline Ints int8_step(Ints sum, Ints a, Ints b) {
  const __m256i words = _mm256_maddubs_epi16(a, b);
  return _mm256_add_epi32(sum, _mm256_madd_epi16(words, _mm256_set1_epi16(1)));
}
inline Floats float_step(Floats sum, Floats a, Floats b) { return _mm256_fmadd_ps(a, b, sum); }

}  // namespace
#define PEAK_ALL
#include "kernels/machine_peak.inl"
}  // namespace godwit::kernels::avx2
