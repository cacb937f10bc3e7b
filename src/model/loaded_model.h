// LoadedModel: the one implementation of Model. Its methods are in model.cpp (loading, sizes) and
// decoder.cpp (running).
#pragma once

#include <atomic>

#include "model/mixers.h"
#include "model/model.h"
#include "model/packed_file.h"
#include "model/rope.h"
#include "model/vision.h"
#include "model/weights.h"
#include "model/workspace.h"

namespace godwit::model {

// Scratch that lives through a whole forward() or draft(); n tokens, m rows of logits.
struct DecoderScratch {
  DecoderScratch(Arena& arena, const ModelConfig& config, int64_t n, int64_t m, int64_t context);
  MatrixView x;              // [n, H]: the residual stream
  MatrixView normed, mixed;  // [n, H]
  MatrixView cos, sin;       // [n, rotary_dim / 2]
  MatrixView selected;       // [m, H]: rows whose logits are wanted
  std::span<std::byte*> key_pages, value_pages;
  std::span<std::byte> matmul;
};

class LoadedModel final : public Model {
 public:
  LoadedModel(ModelConfig config, const kernels::Context& context);
  Status bind_and_load(const checkpoint::ModelFiles& files, const LoadOptions& options);

  const ModelConfig& config() const override { return config_; }
  const WeightPlan& weights() const override { return plan_; }
  bool settle_next() const override { return mapped_ && mapped_->settle_next(); }
  cache::CacheGeometry cache_geometry(tensor::DType kv_type, int page_tokens) const override;
  cache::CacheGeometry draft_cache_geometry(tensor::DType kv_type, int page_tokens) const override;
  bool has_vision() const override { return vision_.has_value(); }
  bool has_drafting() const override { return decoder_.mtp.has_value(); }
  size_t workspace_bytes(const WorkspaceLimits& limits) const override;
  std::unique_ptr<Workspace> make_workspace(const WorkspaceLimits& limits) const override;

  void forward(const Batch& batch, Workspace& workspace, const BatchOutput& output,
               Observer* observer) const override;
  void draft(const Batch& batch, ConstMatrixView hidden, Workspace& workspace,
             const BatchOutput& output, Observer* observer) const override;
  void replay(const float* factors, int64_t positions, const float* from,
              float* state) const override;
  void encode_vision(ConstMatrixView pixel_values, std::span<const VisionGrid> grids,
                     Workspace& workspace, MatrixView merged, Observer* observer) const override;
  std::unique_ptr<VisionPass> start_vision(ConstMatrixView pixel_values,
                                           std::span<const VisionGrid> grids, Workspace& workspace,
                                           MatrixView merged) const override;

 private:
  Step begin(const Batch& batch, const WorkspaceLimits& limits, Arena& arena,
             const DecoderScratch& scratch, Observer* observer) const;
  void embed(const Batch& batch, MatrixView out) const;
  void run_layer(const Step& step, const LayerWeights& layer, const DecoderScratch& scratch) const;
  void finish(const Step& step, const Vector& norm, const DecoderScratch& scratch,
              const BatchOutput& output, std::string_view norm_name,
              std::string_view logits_name) const;

  ModelConfig config_;
  kernels::Context context_;
  WeightPlan plan_;
  std::shared_ptr<PackedFile> mapped_;  // holds all packed weights; null: they are in memory
  RopeFrequencies rope_;
  DecoderWeights decoder_;
  std::optional<VisionWeights> vision_;
  const checkpoint::TensorSource* source_ = nullptr;  // that embed_tokens is mapped from
  mutable std::atomic<int64_t> rows_read_ = 0;        // of it since it was last forgotten
};

}  // namespace godwit::model
