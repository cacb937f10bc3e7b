// Sampler: logits of one position → one token. A pure function of the logits, the options, the
// tokens so far, the seed and the position.
//
//   bias → penalties → temperature → top-k → top-p → min-p → draw    temperature 0: the largest
//
// Repetition penalty (HF): every token of prompt or answer, l > 0 ? l / r : l · r. Presence and
// frequency (OpenAI): tokens of the answer, l − presence − count · frequency. Ties go to the
// smaller id. Ids that do not decode are never taken.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/request.h"

namespace godwit::engine {

// All fields set: the request's, else the model's.
struct SamplingRules {
  float temperature = 1;
  int top_k = 20;  // 0: off
  float top_p = 0.95f, min_p = 0;
  float presence_penalty = 0, frequency_penalty = 0, repetition_penalty = 1;
  std::map<int32_t, float> logit_bias;
  uint64_t seed = 0;
};

// Fills what the request leaves open, checks ranges (the error names the field).
Result<SamplingRules> resolve_sampling(const SamplingOptions& wanted, const SamplingRules& defaults,
                                       int64_t vocabulary);

// Tokens so far, as the penalties need them.
class TokenCounts {
 public:
  void add_prompt(std::span<const int32_t> ids) {
    for (int32_t id : ids) counts_.try_emplace(id, 0);
  }
  void add_answer(int32_t id) { ++counts_[id]; }
  // id → times in the answer; 0: in the prompt only
  const std::unordered_map<int32_t, int>& all() const { return counts_; }

 private:
  std::unordered_map<int32_t, int> counts_;
};

// Ids from `decodable` on, and those in `banned`, are never taken.
struct TokenLimits {
  int32_t decodable = 0;
  std::span<const int32_t> banned;
};
// `logits` are changed; they may be of the first ids only (drafts). kNoToken: one of them is NaN,
// or the largest is infinite, which no sound model makes.
constexpr int32_t kNoToken = -1;
int32_t sample(std::span<float> logits, const SamplingRules& rules, const TokenCounts& counts,
               const TokenLimits& limits, uint64_t position);

// log softmax of unchanged logits at `id`, and the `top` likeliest.
TokenLogprob log_probabilities(std::span<const float> logits, int32_t id, int top);

}  // namespace godwit::engine
