// Packed weights: sizes, and their scalar reading (the layouts are drawn in tile_types.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/tile_types.h"
#include "tensor/dtype.h"

namespace godwit::kernels {

// The tile layouts. Raise kPackedVersion when one changes: files of packed weights carry it.
enum class PackedLayout : int {
  kF32,
  kF16,
  kBF16,
  kQ8_0,
  kQ4_0,
  kIQ4_NL,
  kMXFP4,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_XS,
  kGeneric
};
constexpr int kPackedVersion = 1;

PackedLayout packed_layout(tensor::DType dtype);  // CHECKs that dtype is a weight type
inline bool is_plain(PackedLayout layout) { return layout <= PackedLayout::kBF16; }

// Bytes of one tile, and of a whole matrix.
size_t packed_tile_bytes(PackedLayout layout, int64_t columns);
size_t packed_bytes(tensor::DType dtype, int64_t rows, int64_t columns);

// One row's 32 columns out of a tile: value[k] = scale[k / 16] · integers[k] − min[k / 16].
struct PackedBlock {
  int8_t integers[32];
  float scale[2], min[2];
};
void read_packed_block(PackedLayout layout, const uint8_t* tile, int row, int64_t block,
                       PackedBlock* out);
float read_packed_plain(PackedLayout layout, const uint8_t* tile, int row, int64_t column);

}  // namespace godwit::kernels
