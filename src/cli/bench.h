// What the tables of `godwit bench` and `godwit eval` share.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "checkpoint/json.h"
#include "cli/commands.h"
#include "model/model.h"
#include "model/workspace.h"
#include "tensor/blocks.h"

namespace godwit::cli {

// Conversations of many turns (bench_turns.cpp).
Result<int> bench_turns(const BenchOptions& options, const std::string& path);

// Decoding with drafts (bench_draft.cpp).
Result<int> bench_draft(const BenchOptions& options, const std::string& path);

// What drafting, verifying and taking back drafts costs (bench_undo.cpp).
Result<int> bench_undo(const BenchOptions& options, const std::string& path);

// forward() over `ids`, which follow what `memory` holds; logits of the last `logit_rows` of them.
void run_ids(const model::Model& model, const cache::CacheGeometry& geometry,
             const cache::SequenceView& memory, std::span<const int32_t> ids, int64_t logit_rows,
             model::Workspace& workspace, float* logits);

// Ids that are the same in every run.
std::vector<int32_t> made_up_ids(int64_t first_position, int64_t count, int64_t vocabulary);

tensor::DType kv_type_of(const std::string& name);
double median(std::vector<double> values);   // not empty; of an even number the mean of two
checkpoint::Json json_number(double value);  // three decimals

}  // namespace godwit::cli
