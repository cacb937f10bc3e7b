// Model: a checkpoint's weights in the shape of the machine, and the functions that run them. It
// holds no sequence's memory, samples nothing, logs nothing; forward() allocates nothing.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "checkpoint/model_folder.h"
#include "kernels/context.h"
#include "model/batch.h"
#include "model/config.h"
#include "model/observer.h"

namespace godwit::model {

struct LoadOptions {
  bool vision = true;    // load the vision tower if the checkpoint has one
  bool drafting = true;  // load the drafting head if there is one
  // Packed weights are kept in this folder for the next start, which reads them; empty: nowhere.
  std::string packed_folder;
  size_t packed_limit = size_t{64} << 30;  // of all files there
  size_t packed_least = size_t{64} << 20;  // smaller models are packed in no time
  enum class Experts {
    kInMemory,
    kOnDisk,  // they stay in the mapped file, so that a model larger than the memory runs
  };
  Experts experts = Experts::kInMemory;
};

// What a model needs, known from headers alone, before anything is loaded.
struct WeightPlan {
  int64_t parameters = 0, text_parameters = 0, vision_parameters = 0, mtp_parameters = 0;
  size_t stored_bytes = 0;  // in the files
  size_t packed_bytes = 0;  // in memory, packed
  size_t mapped_bytes = 0;  // embeddings with a head of their own: rows are read from the file
  size_t expert_bytes = 0;  // of packed_bytes: experts, of which a token reads the chosen ones
  int tensors = 0;
  bool was_kept = false;         // load(): packed weights of an earlier start were read
  bool experts_on_disk = false;  // load(): as LoadOptions asked, if it could be done
  std::string note;  // for people: tensors that were not recognised, parts that are absent; empty:
                     // nothing to say
};

struct WorkspaceLimits {
  int64_t max_tokens = 512;  // rows of one forward()
  int64_t max_logit_rows = 16;
  int64_t max_context = 8192;  // longest sequence
  int64_t max_patches = 0;     // of one encode_vision(); 0: no vision
  int64_t max_segment = 0;     // longest picture or temporal slice, in patches
};

class Workspace;  // all scratch, sized once (workspace.h)

// The vision tower at work on some pictures.
class VisionPass {
 public:
  virtual ~VisionPass() = default;
  // Does one more part (a block is one). False: that was the last, the rows are there.
  virtual bool next() = 0;
};

class Model {
 public:
  // Every missing and mismatched tensor is told in one error; unknown ones in WeightPlan.note.
  // `files` must outlive the model: rows of untied embeddings are read from the mapped file.
  static Result<std::unique_ptr<Model>> load(const checkpoint::ModelFiles& files,
                                             const kernels::Context& context,
                                             const LoadOptions& options = {});
  static Result<WeightPlan> plan(const checkpoint::ModelFiles& files,
                                 const LoadOptions& options = {});
  virtual ~Model() = default;

  virtual const ModelConfig& config() const = 0;
  virtual const WeightPlan& weights() const = 0;
  // Weights that an earlier start has packed are mapped, so that this one answers at once. Each
  // call moves a piece of them into huge pages, from where they are read a few percent faster: some
  // ten milliseconds, for moments without work. Results do not change. False: nothing is left.
  virtual bool settle_next() const = 0;
  virtual cache::CacheGeometry cache_geometry(tensor::DType kv_type, int page_tokens) const = 0;
  virtual cache::CacheGeometry draft_cache_geometry(tensor::DType kv_type, int page_tokens)
      const = 0;  // attention_layers = 1; 0 without drafting head
  virtual bool has_vision() const = 0;
  virtual bool has_drafting() const = 0;

  virtual size_t workspace_bytes(const WorkspaceLimits& limits) const = 0;
  virtual std::unique_ptr<Workspace> make_workspace(const WorkspaceLimits& limits) const = 0;

  virtual void forward(const Batch& batch, Workspace& workspace, const BatchOutput& output,
                       Observer* observer = nullptr) const = 0;

  // pixel_values [N, 3·2·16·16] of pictures and clips one after the other, their grids (t, h, w in
  // patches) → merged rows [N / merge², hidden].
  virtual void encode_vision(tensor::ConstMatrixView pixel_values,
                             std::span<const VisionGrid> grids, Workspace& workspace,
                             tensor::MatrixView merged, Observer* observer = nullptr) const = 0;
  // The same in parts: a large picture takes seconds. What is viewed, and the workspace, are the
  // pass's until it is done or dropped.
  virtual std::unique_ptr<VisionPass> start_vision(tensor::ConstMatrixView pixel_values,
                                                   std::span<const VisionGrid> grids,
                                                   Workspace& workspace,
                                                   tensor::MatrixView merged) const = 0;

  // Drafting head: row i of the batch holds id t[i+1] and position of i; `hidden` [n, H] the
  // decoder's (or the head's own) output at i. BatchOutput.hidden receives what the next draft step
  // takes.
  virtual void draft(const Batch& batch, tensor::ConstMatrixView hidden, Workspace& workspace,
                     const BatchOutput& output, Observer* observer = nullptr) const = 0;

  // Moves a delta-net layer's state on by positions that were logged (RecurrentView::factors), with
  // the bits of the steps themselves if the calls that logged them were of at most 16 tokens.
  // `from`: the state before, if it is not in `state` itself; else null.
  virtual void replay(const float* factors, int64_t positions, const float* from,
                      float* state) const = 0;
};

// Positions on three axes over a whole prompt (spec §3.8): text counts up, each picture or temporal
// slice spans a grid. `grids`: (1,h,w) per vision run in order, already split per slice. Returns
// the next text position.
int32_t assign_positions(std::span<const int32_t> ids, const ModelConfig& config,
                         std::span<const VisionGrid> grids, std::span<Position> positions);

}  // namespace godwit::model
