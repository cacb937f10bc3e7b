// The vision tower (spec §3): patches of pictures and of temporal slices of clips → rows that stand
// among the embeddings.
#pragma once

#include <span>

#include "kernels/context.h"
#include "model/config.h"
#include "model/model.h"
#include "model/observer.h"
#include "model/weights.h"
#include "model/workspace.h"

namespace godwit::model {

// N patches, D hidden size of the tower, d its head_dim.
struct VisionScratch {
  VisionScratch(Arena& arena, const kernels::Context& context, const VisionConfig& config,
                int64_t n, int64_t longest_segment);
  tensor::MatrixView x, normed, mixed;  // [N, D]
  tensor::MatrixView qkv;               // [N, 3D]: q | k | v
  tensor::MatrixView cos, sin;          // [N, d / 2]
  tensor::MatrixView inner;             // [rows of a slice, I]
  tensor::MatrixView merger;            // [N / merge², merge² · D]
  std::span<int64_t> starts;            // of segments, and N
  std::span<std::byte> attention, matmul;
};

// pixel_values [N, patch_values] in merge-block order, grids in patches → merged [N / merge²,
// out_hidden_size]. Everything given must outlive it.
class VisionEncoder final : public VisionPass {
 public:
  VisionEncoder(const kernels::Context& context, const VisionConfig& config,
                const VisionWeights& weights, tensor::ConstMatrixView pixel_values,
                std::span<const VisionGrid> grids, Arena arena, tensor::MatrixView merged,
                Observer* observer);
  // A block; with the first the embedding before it, with the last the merger behind it.
  bool next() override;

 private:
  void embed();
  void merge();
  void observe(std::string_view name, tensor::ConstMatrixView view) const {
    if (observer_) observer_->observe(name, view);
  }

  const kernels::Context& context_;
  const VisionConfig& config_;
  const VisionWeights& weights_;
  const tensor::ConstMatrixView pixel_values_;
  const VisionScratch scratch_;
  const tensor::MatrixView merged_;
  Observer* const observer_;
  std::span<const int64_t> starts_;
  size_t block_ = 0;
};

}  // namespace godwit::model
