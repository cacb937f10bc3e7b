// The machine's limits in plain C++.
#include "kernels/kernel_types.h"

namespace godwit::kernels::scalar {
namespace {

using Ints = int32_t;
using Floats = float;
using Words = uint64_t __attribute__((may_alias));
constexpr int kInt8Macs = 4;
constexpr bool kVaryingOperand = true;
#define KEEP(x) asm volatile("" : "+r"(x))

inline Ints int8_step(Ints sum, Ints a, Ints b) {
  for (int shift = 0; shift < 32; shift += 8)
    sum += static_cast<int8_t>(a >> shift) * static_cast<int8_t>(b >> shift);
  return sum;
}
inline Floats float_step(Floats sum, Floats a, Floats b) { return sum + a * b; }

}  // namespace
#define PEAK_ALL
#include "kernels/machine_peak.inl"
}  // namespace godwit::kernels::scalar
