// The products for neon-dot.
#include <arm_neon.h>

#include "kernels/kernel_types.h"

namespace godwit::kernels::neon_dot {
#include "kernels/tile_neon.h"
#include "kernels/tiles.inl"
}  // namespace godwit::kernels::neon_dot
