// Settings: EngineOptions and a checkpoint's files → every number that the engine runs by; and the
// memory plan, before anything is loaded.
#pragma once

#include <string>

#include "engine/answer.h"
#include "engine/engine.h"
#include "engine/sampler.h"
#include "engine/threads.h"
#include "media/patches.h"
#include "media/video.h"
#include "model/model.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace godwit::engine {

constexpr int kPageTokens = 64;
constexpr int64_t kScoreRows =
    32;  // of a text that is scored, in one forward(): a vocabulary is wide

// What the checkpoint says about making prompts and answers.
struct Conventions {
  text::TemplateChoice chat_template{};
  MarkupIds markup;
  SamplingRules sampling;  // defaults
  media::PixelLimits picture_limits{65536, 16777216}, video_limits{4096, 25165824};
  media::VideoSampling video_sampling;
  std::vector<int32_t> undecodable;  // ids below the vocabulary's size that have no bytes
};
Result<Conventions> read_conventions(const checkpoint::ModelFiles& files,
                                     const text::Tokenizer& tokenizer);

Result<std::unique_ptr<text::Tokenizer>> open_tokenizer(const checkpoint::ModelFiles& files);

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
text::TemplateChoice chat_template_of(const checkpoint::ModelFiles& files);

}  // namespace godwit::engine
