// Prepare: a request → token ids and all that the engine thread needs to run it. Template,
// tokenising and decoding of pictures happen here, on any thread.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "cache/prefix_tree.h"
#include "engine/answer.h"
#include "engine/decoded_media.h"
#include "engine/sampler.h"
#include "engine/settings.h"
#include "engine/turn_memory.h"
#include "engine/vision_store.h"
#include "model/model.h"
#include "text/prompt_encoding.h"

namespace godwit::engine {

constexpr int64_t kLongText = 2048;  // tokens between snapshots where nothing else ends

// A picture or clip of a prompt. Its rows of the vision tower stand at the pads, slice by slice.
struct PreparedMedia {
  std::shared_ptr<const MediaFacts> facts;
  std::shared_ptr<const media::PatchedMedia> patches;  // null while `rows` are known
  std::shared_ptr<const VisionRows> rows;              // [pads, hidden]
  std::vector<int64_t> slices;                         // position of the first pad of each
  int64_t rows_per_slice = 0;
};

struct Prepared {
  std::vector<int32_t> ids;                // [n]
  std::vector<cache::Key> keys;            // [n]
  std::vector<model::Position> positions;  // [n]
  int32_t next_position = 0;               // of the first generated token
  std::vector<PreparedMedia> media;
  std::vector<int64_t> stops;    // rising: a snapshot is worth keeping after so many tokens
  std::vector<int64_t> cuts;     // of them: a forward() must end there
  std::vector<int64_t> lasting;  // of them, rising: those that are worth keeping on disk
  std::vector<std::pair<int64_t, std::string>> sections;  // first token → "message 5 (assistant)"
  int64_t answer_begin = -1;  // where the generation prompt begins; −1: there is none
  SamplingRules sampling;
  AnswerOptions answer;
  int64_t max_new_tokens = 0;
  Task task = Task::kGenerate;
  Pooling pooling = Pooling::kMean;
  int64_t score_from = 1;
  int draft_tokens = -1;
  int logprobs = -1;
  bool ignore_end = false;
  double seconds = 0;  // that this took
};

struct PrepareContext {
  const text::Tokenizer& tokenizer;
  const Conventions& conventions;
  const model::ModelConfig& config;
  bool has_vision;
  int64_t context;        // tokens
  int64_t grain;          // of the scheduler
  bool official_history;  // assistant turns as the template writes them, not as they were generated
  VisionStore& vision;
  DecodedMedia& decoded;
  const TurnMemory& turns;
  const std::atomic<bool>* cancelled = nullptr;  // stops the decoding of a clip
  bool only_ids = false;  // for counting: as many as there are, and no pixels are kept
};

// The prompt's template options with the request's thinking in them.
text::TemplateOptions template_options(const GenerationRequest& request);

Result<Prepared> prepare(const PrepareContext& context, const GenerationRequest& request);

}  // namespace godwit::engine
