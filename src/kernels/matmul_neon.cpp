// The products for neon.
#include <arm_neon.h>

#include "kernels/kernel_types.h"

namespace godwit::kernels::neon {
#include "kernels/tile_neon.h"
#include "kernels/tiles.inl"
}  // namespace godwit::kernels::neon
