// Settings: EngineOptions and a checkpoint's files → every number that the engine runs by; and the
// memory plan, before anything is loaded.
#pragma once

#include <string>

#include "engine/conventions.h"
#include "engine/engine.h"
#include "engine/threads.h"
#include "model/model.h"

namespace godwit::engine {

constexpr int kPageTokens = 64;
constexpr int64_t kScoreRows =
    32;  // of a text that is scored, in one forward(): a vocabulary is wide

struct Settings {
  ThreadCounts threads;
  int64_t context = 0;
  int64_t grain = 0;  // chunks of a prompt end at multiples of so many tokens (scheduler.h)
  int64_t pages = 0;
  int undo_window = 0;
  tensor::DType kv_type = tensor::DType::kF16;
  cache::CacheGeometry geometry;
  int drafts = 0;  // of a step, at most; 0: the drafting head is not loaded
  cache::CacheGeometry draft_geometry;
  int64_t draft_window = 0;  // positions that the head sees at least
  int64_t draft_ids = 0;     // only tokens below are drafted
  model::WorkspaceLimits workspace;
  MemoryPlan memory;
};
// Checks the options against the model. `weights`: all that the files hold.
Result<Settings> settle(const EngineOptions& options, const model::ModelConfig& config,
                        const checkpoint::ModelFiles& files, const model::WeightPlan& weights);

ModelInfo describe(const checkpoint::ModelFiles& files, const model::ModelConfig& config,
                   const model::WeightPlan& weights, const text::TemplateChoice& chat_template,
                   const Settings& settings);

}  // namespace godwit::engine
