// The products for avx512-vnni.
#include <immintrin.h>

#include "kernels/kernel_types.h"

namespace godwit::kernels::avx512_vnni {
#include "kernels/tile_avx512.h"
#include "kernels/tiles.inl"
}  // namespace godwit::kernels::avx512_vnni
