// The kernels behind ops.h for AVX-512.
#include <immintrin.h>

#include "kernels/kernel_types.h"

#define VEC_FN [[maybe_unused, gnu::always_inline]] static inline

namespace godwit::kernels::avx512 {
// The order matters.
// clang-format off
#include "kernels/vec_avx512.h"
#include "kernels/vec_math.inl"
#include "kernels/rows.inl"
#include "kernels/gemm.inl"
#include "kernels/delta.inl"
#include "kernels/attend.inl"
// clang-format on
}  // namespace godwit::kernels::avx512
