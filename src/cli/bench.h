// What the tables of `godwit bench` share.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/json.h"
#include "cli/commands.h"
#include "tensor/blocks.h"

namespace godwit::cli {

// Conversations of many turns (bench_turns.cpp).
Result<int> bench_turns(const BenchOptions& options, const std::string& path);

// Decoding with drafts (bench_draft.cpp).
Result<int> bench_draft(const BenchOptions& options, const std::string& path);

// What drafting, verifying and taking back drafts costs (bench_undo.cpp).
Result<int> bench_undo(const BenchOptions& options, const std::string& path);

tensor::DType kv_type_of(const std::string& name);
double median(std::vector<double> values);   // not empty; of an even number the mean of two
checkpoint::Json json_number(double value);  // three decimals

}  // namespace godwit::cli
