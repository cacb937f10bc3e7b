// The kernels behind ops.h for any processor.
#include <cmath>

#include "base/float16.h"
#include "kernels/kernel_types.h"

#define VEC_FN [[maybe_unused]] static inline

namespace godwit::kernels::scalar {
// The order matters.
// clang-format off
#include "kernels/vec_scalar.h"
#include "kernels/rows.inl"
#include "kernels/gemm.inl"
#include "kernels/delta.inl"
#include "kernels/attend.inl"
// clang-format on
}  // namespace godwit::kernels::scalar
