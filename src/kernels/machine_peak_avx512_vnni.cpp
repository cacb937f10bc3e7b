// The machine's integer limit with AVX-512 VNNI.
#include <immintrin.h>

#include "kernels/kernel_types.h"

namespace godwit::kernels::avx512_vnni {
namespace {

using Ints = __m512i;
constexpr int kInt8Macs = 64;
constexpr bool kVaryingOperand = false;
#define KEEP(x) asm volatile("" : "+v"(x))

inline Ints int8_step(Ints sum, Ints a, Ints b) { return _mm512_dpbusd_epi32(sum, a, b); }

}  // namespace
#include "kernels/machine_peak.inl"
}  // namespace godwit::kernels::avx512_vnni
