// Binder: finds a model's tensors by name, checks their shapes, and fills the structs of weights.h.
//
// Binding has two steps. The walk (bind.cpp) asks for every tensor once; nothing is read yet, so it
// works on headers alone and gives the WeightPlan. When nothing is missing or of another shape,
// load() converts and packs what was asked for. Names are those of safetensors without their
// prefixes ("layers.0.mlp.up_proj.weight", "visual.…", "mtp.…", "lm_head.weight"); GGUF names are
// translated to them (gguf_names.cpp).
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "checkpoint/model_folder.h"
#include "kernels/matmul.h"
#include "model/config.h"
#include "model/model.h"
#include "model/packed_file.h"
#include "model/weights.h"

namespace godwit::model {

// What a vector holds in a safetensors file; GGUF files hold the second form already.
enum class VectorForm {
  kPlain,
  kZeroCentred,  // norms: w becomes 1 + w
  kLogDecay,     // A_log becomes −exp(A_log)
};

// Its dimensions but those of 1.
tensor::Shape without_ones(const tensor::Shape& shape);

class Binder {
 public:
  static Result<Binder> open(const checkpoint::ModelFiles& files, const ModelConfig& config);

  bool has(std::string_view name) const { return tensors_.contains(name); }
  bool has_any(std::string_view prefix) const;
  // Names below this prefix are known but not wanted.
  void ignore(std::string_view prefix);
  // Adds what follows to this count of the plan.
  void count_in(int64_t WeightPlan::*part) { part_ = part; }
  void note(const std::string& text);

  // Dimensions of size 1 are not compared: [C, 1, 4] is [C, 4].
  void matrix(const std::string& name, int64_t rows, int64_t columns, PackedMatrix& target);
  // Rows of one stored tensor, in order, as several matrices.
  struct Part {
    PackedMatrix* target;
    int64_t rows;
  };
  void stacked(const std::string& name, const tensor::Shape& shape, const std::vector<Part>& parts);
  void vector(const std::string& name, const tensor::Shape& shape, VectorForm form, Vector& target);
  void mapped(const std::string& name, const tensor::Shape& shape, tensor::TensorView& target);
  // Rows of a mapped tensor will be read while the model runs.
  void stays_mapped(const tensor::TensorView& view) { plan_.mapped_bytes += view.bytes(); }
  // The weight of the convolution over patches, [rows, 3, 2, p, p], or as GGUF has it: one [rows,
  // 3, p, p] for each frame.
  void patch_embedding(const std::string& name, int64_t rows, int patch, PackedMatrix& target);

  // Everything missing and mismatched in one error; else the plan.
  Result<WeightPlan> finish();
  // Reads and packs, or takes what an earlier start has packed. The plan tells what was done; a
  // file that cannot be kept is a note.
  WeightPlan load(const kernels::Context& context, const LoadOptions& options);
  // After load(): the file that all weights are mapped from; null if they are in memory.
  std::shared_ptr<PackedFile> mapped() const { return mapped_; }

 private:
  struct Stored {
    std::string stored_name;
    tensor::TensorView view;
    bool used = false;
  };
  // Null, with the fault noted, if it is missing or of another shape.
  const tensor::TensorView* take(const std::string& name, const tensor::Shape& shape);
  Status add_tensors(const checkpoint::TensorSource& source,
                     const std::function<std::string(std::string_view)>& translate);
  using Target = std::variant<PackedMatrix*, Vector*>;
  using Pack = std::function<PackedMatrix(const kernels::Context&)>;
  void pack_later(const tensor::TensorView& view, const std::string& name, PackedMatrix& target);
  void pack_later(const tensor::TensorView& from, const std::string& name,
                  const tensor::TensorView& shape, PackedMatrix& target, Pack pack);

  const checkpoint::ModelFiles* files_ = nullptr;
  std::string path_;
  bool gguf_ = false;
  std::map<std::string, Stored, std::less<>> tensors_;
  std::set<std::string> missing_, mismatched_;
  // One packed matrix or vector: where it comes from, and goes to.
  struct Load {
    std::string name;
    tensor::TensorView from;
    Target target;
    tensor::DType dtype;
    int64_t rows, columns;
    bool is_expert;
    std::function<void(const kernels::Context&)> run;
  };
  void load_all(const kernels::Context& context);
  // False: there is no such file, or it is not good.
  bool take_packed(const kernels::Context& context, const PackedPlace& place,
                   const LoadOptions& options);
  Status write_packed(const kernels::Context& context, const PackedPlace& place,
                      const LoadOptions& options);
  std::vector<Load> loads_;
  std::shared_ptr<PackedFile> mapped_;
  std::vector<const checkpoint::TensorSource*> sources_;
  WeightPlan plan_;
  int64_t WeightPlan::*part_ = &WeightPlan::text_parameters;
};

// Asks for every tensor of the decoder with its drafting head, and of the vision tower. `weights`
// must stay where it is until load() is done.
void bind_decoder(Binder& binder, const ModelConfig& config, const LoadOptions& options,
                  DecoderWeights& weights);
void bind_vision(Binder& binder, const VisionConfig& config, VisionWeights& weights);

// Our name of a GGUF tensor ("blk.3.attn_norm.weight" → "layers.3.input_layernorm.weight"); empty
// if unknown.
std::string translate_gguf_name(std::string_view name, const TextConfig& config);
// The reverse; where GGUF has one tensor for two of ours, or two for one, the exporter knows.
std::string gguf_name(std::string_view name, const TextConfig& config);
// "model.language_model.layers.0.…" → "layers.0.…"
std::string strip_prefixes(std::string_view name);

}  // namespace godwit::model
