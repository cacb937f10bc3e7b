// The products for avx-vnni.
#include <immintrin.h>

#include "kernels/kernel_types.h"

namespace godwit::kernels::avx_vnni {
#include "kernels/tile_avx2.h"
#include "kernels/tiles.inl"
}  // namespace godwit::kernels::avx_vnni
