// The machine's limits with AVX-512 without VNNI.
#include <immintrin.h>

#include "kernels/kernel_types.h"

namespace godwit::kernels::avx512 {
namespace {

using Ints = __m512i;
using Floats = __m512;
using Words = __m512i;
constexpr int kInt8Macs = 64;
constexpr bool kVaryingOperand = true;  // else the first two instructions would leave the loop
#define KEEP(x) asm volatile("" : "+v"(x))

inline Ints int8_step(Ints sum, Ints a, Ints b) {
  const __m512i words = _mm512_maddubs_epi16(a, b);
  return _mm512_add_epi32(sum, _mm512_madd_epi16(words, _mm512_set1_epi16(1)));
}
inline Floats float_step(Floats sum, Floats a, Floats b) { return _mm512_fmadd_ps(a, b, sum); }

}  // namespace
#define PEAK_ALL
#include "kernels/machine_peak.inl"
}  // namespace godwit::kernels::avx512
