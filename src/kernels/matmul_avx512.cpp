// The products for avx512.
#include <immintrin.h>

#include "kernels/kernel_types.h"

namespace godwit::kernels::avx512 {
#include "kernels/tile_avx512.h"
#include "kernels/tiles.inl"
}  // namespace godwit::kernels::avx512
