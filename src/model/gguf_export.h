// A checkpoint as the contents of GGUF files: metadata, names, and tensors with the changes that
// the format wants (spec §8.2 – 8.5, as llama.cpp reads them):
//
//   norms hold 1 + w · ssm_a = −exp(A_log) · conv1d squeezed · gate and up of experts apart, single
//   experts stacked · value heads in GGUF's order (group g, member j: g·r + j → j·groups + g) ·
//   the drafting head as block L · the patch convolution as one matrix a frame
//
// A GGUF checkpoint comes out as it is. Nothing is copied: rows are made when they are asked for.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "checkpoint/gguf.h"
#include "checkpoint/model_folder.h"
#include "model/config.h"

namespace godwit::model {

struct ExportTensor {
  enum class Change { kNone, kAddOne, kMinusExp };

  std::string name;
  tensor::Shape shape;
  bool always_f32 = false;  // norms, vectors, convolutions, routers: whatever type is asked for
  Change change = Change::kNone;
  // The rows of the parts, one after the other; all parts have as many.
  std::vector<tensor::TensorView> parts;
  // Row i of the file is row rows[i] of the source, column j is columns[j]; empty: the same.
  std::vector<int32_t> rows, columns;

  int64_t row_count() const { return shape.elements() / row_length(); }
  int64_t row_length() const { return parts[0].columns(); }
  void read_row(int64_t row, float* values) const;
};

struct GgufExport {
  std::vector<std::pair<std::string, checkpoint::GgufValue>> metadata;  // without general.file_type
  std::vector<ExportTensor> tensors;
  std::vector<std::string> left_out;  // tensors that are not part of the model
};

Result<GgufExport> export_text(const checkpoint::ModelFiles& files);
// No tensors: the checkpoint has no vision tower.
Result<GgufExport> export_vision(const checkpoint::ModelFiles& files);

using GgufMetadata = std::vector<std::pair<std::string, checkpoint::GgufValue>>;
// tokenizer.ggml.*, the chat template, and sampling defaults (gguf_export_tokenizer.cpp).
Status export_tokenizer(const checkpoint::ModelFiles& files, const ModelConfig& config,
                        GgufMetadata& metadata);

}  // namespace godwit::model
