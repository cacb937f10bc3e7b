#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "engine/random.h"

namespace godwit::engine {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

struct Candidate {
  float logit;
  int32_t id;
};
// Larger first, ties to the smaller id.
bool before(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

// The k largest, in order. One pass: a heap of k whose smallest is the bar that nearly all values
// fail.
std::vector<Candidate> largest(std::span<const float> logits, size_t k) {
  std::vector<Candidate> heap;
  heap.reserve(k + 1);
  float bar = kNever;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] > bar)) continue;  // an equal value has a larger id than those kept
    if (heap.size() == k) {
      std::pop_heap(heap.begin(), heap.end(), before);
      heap.pop_back();
    }
    heap.push_back({logits[i], static_cast<int32_t>(i)});
    std::push_heap(heap.begin(), heap.end(), before);
    if (heap.size() == k) bar = heap.front().logit;
  }
  std::sort_heap(heap.begin(), heap.end(), before);
  return heap;
}

void apply_bias_and_penalties(std::span<float> logits, const SamplingRules& rules,
                              const TokenCounts& counts) {
  for (const auto& [id, bias] : rules.logit_bias)
    if (static_cast<size_t>(id) < logits.size()) logits[id] += bias;
  if (rules.repetition_penalty == 1 && rules.presence_penalty == 0 && rules.frequency_penalty == 0)
    return;
  for (const auto& [id, count] : counts.all()) {
    if (id < 0 || static_cast<size_t>(id) >= logits.size()) continue;
    float& logit = logits[id];
    logit = logit > 0 ? logit / rules.repetition_penalty : logit * rules.repetition_penalty;
    if (count > 0)
      logit -= rules.presence_penalty + static_cast<float>(count) * rules.frequency_penalty;
  }
}

// Weights exp(l − max) of sorted candidates, cut by top-p and min-p; returns their sum.
double weigh(std::vector<Candidate>& sorted, std::vector<double>& weights, double total,
             const SamplingRules& rules) {
  const double limit = static_cast<double>(rules.top_p) * total;
  double sum = 0;
  size_t kept = 0;
  for (; kept < sorted.size(); ++kept) {
    const double weight = std::exp(static_cast<double>(sorted[kept].logit) - sorted[0].logit);
    // Stays while those before it have not reached p; the first always stays.
    if (kept > 0 && (sum >= limit || weight < rules.min_p)) break;
    weights.push_back(weight);
    sum += weight;
  }
  sorted.resize(kept);
  return sum;
}

// Sum of exp(l − largest) over all.
double total_weight(std::span<const float> logits, float largest_logit) {
  double total = 0;
  for (float logit : logits) total += std::exp(logit - largest_logit);
  return total;
}

// One pass without branches, a hundredth of a step.
bool are_sound(std::span<const float> logits) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  int finite = 0, unsound = 0;
  for (const float logit : logits) {
    unsound += !(logit <= kLargest);
    finite += std::abs(logit) <= kLargest;
  }
  return unsound == 0 && finite > 0;
}

// Nothing is cut off but by min-p: no order is needed.
int32_t draw_from_all(std::span<const float> logits, const SamplingRules& rules,
                      uint64_t position) {
  float largest_logit = kNever;
  for (float logit : logits) largest_logit = std::max(largest_logit, logit);
  const auto weight = [&](float logit) {
    const double w = std::exp(static_cast<double>(logit) - largest_logit);
    return w >= rules.min_p ? w : 0.0;
  };
  double total = 0;
  for (float logit : logits) total += weight(logit);
  double left = uniform_at(rules.seed, position) * total;
  int32_t last = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double w = weight(logits[i]);
    if (w == 0) continue;
    last = static_cast<int32_t>(i);
    left -= w;
    if (left < 0) break;
  }
  return last;
}

}  // namespace

Result<SamplingRules> resolve_sampling(const SamplingOptions& wanted, const SamplingRules& defaults,
                                       int64_t vocabulary) {
  SamplingRules rules = defaults;
  const auto take = [](auto& target, const auto& value) {
    if (value) target = *value;
  };
  take(rules.temperature, wanted.temperature);
  take(rules.top_k, wanted.top_k);
  take(rules.top_p, wanted.top_p);
  take(rules.min_p, wanted.min_p);
  take(rules.presence_penalty, wanted.presence_penalty);
  take(rules.frequency_penalty, wanted.frequency_penalty);
  take(rules.repetition_penalty, wanted.repetition_penalty);
  take(rules.seed, wanted.seed);
  rules.logit_bias = wanted.logit_bias;
  if (!(rules.temperature >= 0 && rules.temperature <= 100)) {
    return bad_input("temperature: expected 0 to 100, found {}", rules.temperature);
  }
  if (rules.top_k < 0) return bad_input("top_k: expected 0 (off) or more, found {}", rules.top_k);
  if (!(rules.top_p > 0 && rules.top_p <= 1))
    return bad_input("top_p: expected above 0 and at most 1, found {}", rules.top_p);
  if (!(rules.min_p >= 0 && rules.min_p <= 1))
    return bad_input("min_p: expected 0 to 1, found {}", rules.min_p);
  if (!(std::abs(rules.presence_penalty) <= 100)) {
    return bad_input("presence_penalty: expected -100 to 100, found {}", rules.presence_penalty);
  }
  if (!(std::abs(rules.frequency_penalty) <= 100)) {
    return bad_input("frequency_penalty: expected -100 to 100, found {}", rules.frequency_penalty);
  }
  if (!(rules.repetition_penalty > 0 && rules.repetition_penalty <= 100)) {
    return bad_input("repetition_penalty: expected above 0 and at most 100, found {}",
                     rules.repetition_penalty);
  }
  for (const auto& [id, bias] : rules.logit_bias) {
    if (id < 0 || id >= vocabulary)
      return bad_input("logit_bias: expected token ids below {}, found {}", vocabulary, id);
    if (!(std::abs(bias) <= 1e6f))
      return bad_input("logit_bias: expected a finite value for token {}, found {}", id, bias);
  }
  return rules;
}

int32_t sample(std::span<float> logits, const SamplingRules& rules, const TokenCounts& counts,
               const TokenLimits& limits, uint64_t position) {
  CHECK(limits.decodable > 0 && static_cast<size_t>(limits.decodable) <= logits.size());
  if (!are_sound(logits.first(limits.decodable))) return kNoToken;
  apply_bias_and_penalties(logits, rules, counts);
  for (int32_t id : limits.banned)
    if (static_cast<size_t>(id) < logits.size()) logits[id] = kNever;
  logits = logits.first(limits.decodable);
  if (rules.temperature < 1e-5f || rules.top_k == 1) {
    return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
  for (float& logit : logits) logit /= rules.temperature;

  std::vector<Candidate> sorted;
  std::vector<double> weights;
  double sum = 0;
  const bool cut = rules.top_k > 0 && static_cast<size_t>(rules.top_k) < logits.size();
  if (!cut && rules.top_p >= 1) return draw_from_all(logits, rules, position);
  // Without top-k most of the weight still sits in few tokens: look at a few hundred, and at more
  // only if that was too few.
  for (size_t k = cut ? rules.top_k : 256;; k *= 16) {
    sorted = largest(logits, std::min(k, logits.size()));
    if (sorted.empty()) return kNoToken;  // all are banned
    const size_t looked_at = sorted.size();
    double total = 0;
    if (cut) {
      for (const Candidate& c : sorted)
        total += std::exp(static_cast<double>(c.logit) - sorted[0].logit);
    } else {
      total = total_weight(logits, sorted[0].logit);
    }
    weights.clear();
    sum = weigh(sorted, weights, total, rules);
    if (cut || sorted.size() < looked_at || looked_at == logits.size() || k >= logits.size()) break;
  }
  double left = uniform_at(rules.seed, position) * sum;
  for (size_t i = 0; i < sorted.size(); ++i) {
    left -= weights[i];
    if (left < 0) return sorted[i].id;
  }
  return sorted.back().id;
}

TokenLogprob log_probabilities(std::span<const float> logits, int32_t id, int top) {
  const float largest_logit = *std::max_element(logits.begin(), logits.end());
  const auto shift =
      static_cast<float>(largest_logit + std::log(total_weight(logits, largest_logit)));
  TokenLogprob result{id, logits[id] - shift, {}};
  if (top > 0) {
    for (const Candidate& c : largest(logits, static_cast<size_t>(top)))
      result.top.emplace_back(c.id, c.logit - shift);
  }
  return result;
}

}  // namespace godwit::engine
