// Tensor dump: runs a prompt through a model and keeps every observed tensor, under the names of
// docs/model.md. This is what `godwit debug tensors` does and what the golden tests compare with
// the reference's recordings.
//
// Input tensors: input_ids [T]; optional segments [calls] (tokens of each call; they share the
// caches), position_ids [3, T] (else assigned), pixel_values with image_grid_thw [images, 3],
// pixel_values_videos with video_grid_thw [clips, 3].
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "checkpoint/tensor_source.h"
#include "model/model.h"

namespace godwit::model {

struct DumpedTensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

struct TensorDump {
  std::map<std::string, DumpedTensor> tensors;
  // Greedy choices after the prompt, and three chained drafts after the first of them.
  std::vector<int64_t> greedy_ids, draft_ids;
};

struct DumpOptions {
  int64_t generate = 0;  // greedy tokens; drafts need at least one
  int page_tokens = 64;
};

// Keys and values are kept in f32.
Result<TensorDump> dump_tensors(const Model& model, const checkpoint::TensorSource& input,
                                const DumpOptions& options = {});

// Loads the model, reads the input file and writes the dump: F32, and I64 for ids.
Status dump_tensors_to_file(const checkpoint::ModelFiles& files, const kernels::Context& context,
                            const std::string& input_path, const std::string& output_path,
                            const DumpOptions& options = {});

}  // namespace godwit::model
