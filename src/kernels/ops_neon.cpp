// The kernels behind ops.h for NEON.
#include <arm_neon.h>

#include "kernels/kernel_types.h"

#define VEC_FN [[maybe_unused, gnu::always_inline]] static inline

namespace godwit::kernels::neon {
// The order matters.
// clang-format off
#include "kernels/vec_neon.h"
#include "kernels/vec_math.inl"
#include "kernels/rows.inl"
#include "kernels/gemm.inl"
#include "kernels/delta.inl"
#include "kernels/attend.inl"
// clang-format on
}  // namespace godwit::kernels::neon
