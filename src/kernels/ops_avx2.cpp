// The kernels behind ops.h for AVX2.
#include <immintrin.h>

#include "kernels/kernel_types.h"

#define VEC_FN [[maybe_unused, gnu::always_inline]] static inline

namespace godwit::kernels::avx2 {
// The order matters.
// clang-format off
#include "kernels/vec_avx2.h"
#include "kernels/vec_math.inl"
#include "kernels/rows.inl"
#include "kernels/gemm.inl"
#include "kernels/delta.inl"
#include "kernels/attend.inl"
// clang-format on
}  // namespace godwit::kernels::avx2
