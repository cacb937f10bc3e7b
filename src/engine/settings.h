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
  int64_t pages = 0;
  int undo_window = 0;
  tensor::DType kv_type = tensor::DType::kF16;
  cache::CacheGeometry geometry;
  model::WorkspaceLimits workspace;
  MemoryPlan memory;
};
// Checks the options against the model.
Result<Settings> settle(const EngineOptions& options, const model::ModelConfig& config,
                        const checkpoint::ModelFiles& files, const model::WeightPlan& weights);

ModelInfo describe(const checkpoint::ModelFiles& files, const model::ModelConfig& config,
                   const model::WeightPlan& weights, const text::TemplateChoice& chat_template,
                   const Settings& settings);

}  // namespace godwit::engine
