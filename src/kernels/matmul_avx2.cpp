// The products for avx2.
#include <immintrin.h>

#include "kernels/kernel_types.h"

namespace godwit::kernels::avx2 {
#include "kernels/tile_avx2.h"
#include "kernels/tiles.inl"
}  // namespace godwit::kernels::avx2
