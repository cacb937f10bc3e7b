// The memory plan: what a command will hold, told from headers alone before anything is loaded; and
// how many pages the caches get.
//
// The plan is what one conversation that fills the context makes resident: packed weights, its
// pages, the snapshots of one question, the recurrent state with what drafting keeps, scratch, the
// tokenizer and the program itself. Pages are reserved at the start but become resident when they
// are first used, so a shorter conversation takes less, and more of them (or prefixes that are
// kept) take more, up to `limit`. Experts that do not fit stay on disk: what of them is in memory
// is what the system finds room for. Rows of pictures come on top: their scratch is as large as the
// largest picture seen.
#pragma once

#include "checkpoint/model_folder.h"
#include "engine/settings.h"

namespace godwit::engine {

// Pages for keys, values and snapshots.
Result<int64_t> choose_pages(const EngineOptions& options, const Settings& settings,
                             size_t weights);

// `workspace`: bytes of the model's scratch.
MemoryPlan plan_memory(const EngineOptions& options, const Settings& settings,
                       const checkpoint::ModelFiles& files, const model::WeightPlan& weights,
                       size_t workspace, const model::TextConfig& config);

}  // namespace godwit::engine
