// The machine's integer limit with NEON dot products.
#include <arm_neon.h>

#include "kernels/kernel_types.h"

namespace godwit::kernels::neon_dot {
namespace {

using Ints = int32x4_t;
constexpr int kInt8Macs = 16;
constexpr bool kVaryingOperand = false;
#define KEEP(x) asm volatile("" : "+w"(x))

inline Ints int8_step(Ints sum, Ints a, Ints b) {
  return vdotq_s32(sum, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b));
}

}  // namespace
#include "kernels/machine_peak.inl"
}  // namespace godwit::kernels::neon_dot
