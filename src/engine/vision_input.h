// VisionInput: rows of pictures and clips among the tokens of one batch.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/sequence.h"
#include "model/batch.h"

namespace godwit::engine {

class VisionInput {
 public:
  explicit VisionInput(int64_t hidden) : hidden_(hidden) {}
  void clear() { rows_.clear(), row_of_.clear(); }
  // Tokens [begin, end) of the sequence are the batch's next ones.
  void add(const Sequence& sequence, int64_t begin, int64_t end);
  void add_text(int64_t tokens) { row_of_.resize(row_of_.size() + tokens, -1); }
  // Batch::vision and vision_row, valid until the next add().
  void give(model::Batch& batch) const;

 private:
  const int64_t hidden_;
  std::vector<float> rows_;      // [v, hidden]
  std::vector<int32_t> row_of_;  // [n]
};

}  // namespace godwit::engine
