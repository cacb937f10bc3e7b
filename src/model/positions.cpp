// Positions on three axes (spec §3.8). Text counts up on all of them; a run of picture pads with
// grid (1, h, w) has
//
//   time = c, height = c + row, width = c + column
//
// (c: the count at its start; rows and columns after merging) and the count then goes on at
// c + max(rows, columns).
#include <algorithm>

#include "model/model.h"

namespace godwit::model {

int32_t assign_positions(std::span<const int32_t> ids, const ModelConfig& config,
                         std::span<const VisionGrid> grids, std::span<Position> positions) {
  CHECK(positions.size() == ids.size());
  const int merge = config.vision ? config.vision->merge_size : 1;
  int32_t count = 0;
  size_t next_grid = 0;
  for (size_t i = 0; i < ids.size();) {
    const bool pad =
        config.vision && (ids[i] == config.image_token || ids[i] == config.video_token);
    if (!pad || next_grid == grids.size()) {  // a pad without a picture counts as text
      positions[i++] = {count, count, count};
      ++count;
      continue;
    }
    const VisionGrid& grid = grids[next_grid++];
    const int32_t rows = grid.h / merge, columns = grid.w / merge;
    for (int32_t row = 0; row < rows; ++row) {
      for (int32_t column = 0; column < columns && i < ids.size(); ++column) {
        positions[i++] = {count, count + row, count + column};
      }
    }
    count += std::max({rows, columns, 1});
  }
  return count;
}

}  // namespace godwit::model
