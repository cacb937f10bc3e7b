#include "engine/vision_input.h"

#include <algorithm>

#include "base/check.h"

namespace godwit::engine {

void VisionInput::add(const Sequence& sequence, int64_t begin, int64_t end) {
  const size_t first_token = row_of_.size();
  add_text(end - begin);
  for (const PreparedMedia& media : sequence.prompt.media) {
    for (size_t slice = 0; slice < media.slices.size(); ++slice) {
      const int64_t first = std::max(begin, media.slices[slice]);
      const int64_t last = std::min(end, media.slices[slice] + media.rows_per_slice);
      if (first >= last) continue;
      CHECK(media.rows);
      const int64_t row =
          static_cast<int64_t>(slice) * media.rows_per_slice + (first - media.slices[slice]);
      const auto at = static_cast<int32_t>(rows_.size() / hidden_);
      const auto source = media.rows->begin() + row * hidden_;
      rows_.insert(rows_.end(), source, source + (last - first) * hidden_);
      for (int64_t i = first; i < last; ++i)
        row_of_[first_token + (i - begin)] = at + static_cast<int32_t>(i - first);
    }
  }
}

void VisionInput::give(model::Batch& batch) const {
  if (rows_.empty()) return;
  batch.vision = {rows_.data(), static_cast<int64_t>(rows_.size()) / hidden_, hidden_};
  batch.vision_row = row_of_;
}

}  // namespace godwit::engine
