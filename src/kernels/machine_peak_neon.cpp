// The machine's limits with NEON without dot products: bytes to words, words added in pairs.
#include <arm_neon.h>

#include "kernels/kernel_types.h"

namespace godwit::kernels::neon {
namespace {

using Ints = int32x4_t;
using Floats = float32x4_t;
using Words = uint64x2_t;
constexpr int kInt8Macs = 16;
constexpr bool kVaryingOperand = true;
#define KEEP(x) asm volatile("" : "+w"(x))

inline Ints int8_step(Ints sum, Ints a, Ints b) {
  const int8x16_t x = vreinterpretq_s8_s32(a), y = vreinterpretq_s8_s32(b);
  sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(x), vget_low_s8(y)));
  return vpadalq_s16(sum, vmull_high_s8(x, y));
}
inline Floats float_step(Floats sum, Floats a, Floats b) { return vfmaq_f32(sum, a, b); }

}  // namespace
#define PEAK_ALL
#include "kernels/machine_peak.inl"
}  // namespace godwit::kernels::neon
