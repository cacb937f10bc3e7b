// The machine's integer limit with AVX-VNNI.
#include <immintrin.h>

#include "kernels/kernel_types.h"

namespace godwit::kernels::avx_vnni {
namespace {

using Ints = __m256i;
constexpr int kInt8Macs = 32;
constexpr bool kVaryingOperand = false;
#define KEEP(x) asm volatile("" : "+x"(x))

inline Ints int8_step(Ints sum, Ints a, Ints b) { return _mm256_dpbusd_avx_epi32(sum, a, b); }

}  // namespace
#include "kernels/machine_peak.inl"
}  // namespace godwit::kernels::avx_vnni
