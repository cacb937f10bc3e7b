// The vision tower (spec §3): patches of pictures and of temporal slices of clips → rows that stand
// among the embeddings.
#pragma once

#include <atomic>
#include <span>

#include "kernels/context.h"
#include "model/config.h"
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
// out_hidden_size]. False: `stop` was set on the way.
bool encode_vision(const kernels::Context& context, const VisionConfig& config,
                   const VisionWeights& weights, tensor::ConstMatrixView pixel_values,
                   std::span<const VisionGrid> grids, const VisionScratch& scratch,
                   tensor::MatrixView merged, Observer* observer, const std::atomic<bool>* stop);

}  // namespace godwit::model
