// The sampler against hand-computed cases and against the distribution that it must draw from.
#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "engine/random.h"

namespace godwit::engine {
namespace {

SamplingRules plain(float temperature = 1) {
  return {.temperature = temperature, .top_k = 0, .top_p = 1, .min_p = 0, .seed = 7};
}
int32_t draw(std::vector<float> logits, const SamplingRules& rules, uint64_t position = 0,
             const TokenCounts& counts = {}, std::vector<int32_t> banned = {}) {
  const auto n = static_cast<int32_t>(logits.size());
  return sample(logits, rules, counts, {n, banned}, position);
}
std::vector<double> frequencies(const std::vector<float>& logits, const SamplingRules& rules,
                                int draws = 60000) {
  std::vector<double> share(logits.size(), 0);
  for (int i = 0; i < draws; ++i) share[draw(logits, rules, i)] += 1.0 / draws;
  return share;
}
std::vector<double> softmax(const std::vector<float>& logits, double temperature) {
  std::vector<double> p;
  double sum = 0;
  for (float l : logits) p.push_back(std::exp(l / temperature)), sum += p.back();
  for (double& x : p) x /= sum;
  return p;
}

TEST(Sampler, GreedyTakesTheLargestAndOfEqualsTheFirst) {
  EXPECT_EQ(draw({1, 5, 3, 5}, plain(0)), 1);
  EXPECT_EQ(draw({-3, -2, -1}, plain(0)), 2);
}

TEST(Sampler, DrawsFromTheSoftmax) {
  const std::vector<float> logits = {1, 0, 2.5f, -1, 0.3f};
  for (float temperature : {0.5f, 1.0f, 2.0f}) {
    const auto wanted = softmax(logits, temperature),
               found = frequencies(logits, plain(temperature));
    // Five standard deviations of 60,000 draws.
    for (size_t i = 0; i < logits.size(); ++i) {
      EXPECT_NEAR(found[i], wanted[i], 5 * std::sqrt(wanted[i] * (1 - wanted[i]) / 60000))
          << i << " at " << temperature;
    }
  }
}

TEST(Sampler, DrawsFromTheSoftmaxOfManyWithoutTopK) {
  // More tokens than the first look takes in, all likely.
  std::vector<float> logits(2000, 0.0f);
  for (int i = 0; i < 1000; ++i) logits[i] = 1;
  for (float top_p : {1.0f, 0.9f}) {
    auto rules = plain();
    rules.top_p = top_p;
    constexpr int kDraws = 4000;
    double first_half = 0;
    std::set<int32_t> seen;
    for (int i = 0; i < kDraws; ++i) {
      const int32_t id = draw(logits, rules, i);
      first_half += id < 1000;
      seen.insert(id);
    }
    const double wanted = std::exp(1.0) / (1 + std::exp(1.0)) / top_p;
    EXPECT_NEAR(first_half / kDraws, wanted, 5 * std::sqrt(wanted * (1 - wanted) / kDraws));
    EXPECT_GT(seen.size(), 1200u);
    // 0.9 leaves out the last (1 − 0.9)(1 + e) of the second half's 1000.
    if (top_p < 1) {
      EXPECT_EQ(seen.lower_bound(1000 + 1000 * 7 / 10), seen.end())
          << "of equals the first ids stay";
    }
  }
}

TEST(Sampler, TopKKeepsTheKLargest) {
  auto rules = plain();
  rules.top_k = 2;
  const auto share = frequencies({1, 3, 2, 0}, rules);
  EXPECT_EQ(share[0], 0);
  EXPECT_EQ(share[3], 0);
  EXPECT_NEAR(share[1], std::exp(3.0) / (std::exp(3.0) + std::exp(2.0)), 0.01);
}

TEST(Sampler, TopPKeepsTheFewestThatReachP) {
  // Probabilities 0.5, 0.3, 0.15, 0.05.
  const std::vector<float> logits = {std::log(0.3f), std::log(0.5f), std::log(0.05f),
                                     std::log(0.15f)};
  auto rules = plain();
  rules.top_p = 0.79f;
  auto share = frequencies(logits, rules);
  EXPECT_EQ(share[2] + share[3], 0);
  EXPECT_NEAR(share[1], 0.5 / 0.8, 0.015);
  rules.top_p = 0.81f;
  share = frequencies(logits, rules);
  EXPECT_EQ(share[2], 0);
  EXPECT_NEAR(share[3], 0.15 / 0.95, 0.015);
  rules.top_p = 0.01f;
  EXPECT_NEAR(frequencies(logits, rules, 1000)[1], 1, 1e-9) << "the first always stays";
  // After top-k p counts what is left: of (0.5, 0.3) the first alone has 0.625.
  rules.top_k = 2;
  rules.top_p = 0.6f;
  EXPECT_NEAR(frequencies(logits, rules, 1000)[1], 1, 1e-9);
}

TEST(Sampler, MinPIsAShareOfTheLargest) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.26f), std::log(0.24f)};
  auto rules = plain();
  rules.min_p = 0.5f;
  const auto share = frequencies(logits, rules);
  EXPECT_EQ(share[2], 0);
  EXPECT_NEAR(share[1], 0.26 / 0.76, 0.015);
}

TEST(Sampler, PenaltiesByHand) {
  TokenCounts counts;
  counts.add_prompt(std::vector<int32_t>{0, 1});
  counts.add_answer(1);
  counts.add_answer(2);
  counts.add_answer(2);
  auto rules = plain(0);
  // 0 in the prompt, 1 in both, 2 twice in the answer, 3 nowhere.
  rules.repetition_penalty = 2;
  EXPECT_EQ(draw({4, 4, 4, 2.1f}, rules, 0, counts), 3) << "4 / 2 = 2";
  EXPECT_EQ(draw({-1, -1, -1, -1.9f}, rules, 0, counts), 3) << "-1 · 2 = -2";
  rules.repetition_penalty = 1;
  rules.presence_penalty = 1.5f;
  EXPECT_EQ(draw({4, 5, 5, 3}, rules, 0, counts), 0) << "the prompt does not count";
  rules.presence_penalty = 0;
  rules.frequency_penalty = 1;
  EXPECT_EQ(draw({0, 3.5f, 4, 0}, rules, 0, counts), 1) << "4 - 2 < 3.5 - 1";
  // A negative penalty favours what was said.
  rules.frequency_penalty = -1;
  EXPECT_EQ(draw({4, 0, 3, 0}, rules, 0, counts), 2);
}

TEST(Sampler, BiasAndBannedIds) {
  auto rules = plain(0);
  rules.logit_bias = {{0, 10.f}, {1, -100.f}};
  EXPECT_EQ(draw({0, 20, 5}, rules), 0);
  EXPECT_EQ(draw({0, 20, 50}, plain(0), 0, {}, {2}), 1);
  std::vector<float> logits = {1, 2, 9, 9};
  EXPECT_EQ(sample(logits, plain(0), {}, {2, {}}, 0), 1) << "ids from 2 on do not decode";
  logits = {1, 2, 9, 9};
  for (int i = 0; i < 1000; ++i) EXPECT_LT(sample(logits, plain(), {}, {2, {}}, i), 2);
}

TEST(Sampler, TheSameSeedAndPositionGiveTheSameToken) {
  std::mt19937 random(3);
  std::vector<float> logits(1000);
  for (float& l : logits) l = std::normal_distribution<float>(0, 2)(random);
  auto a = plain(), b = plain();
  b.seed = 8;
  int equal = 0;
  for (int i = 0; i < 500; ++i) {
    EXPECT_EQ(draw(logits, a, i), draw(logits, a, i));
    equal += draw(logits, a, i) == draw(logits, b, i);
  }
  EXPECT_LT(equal, 100);
}

TEST(Sampler, UniformNumbersAreUniform) {
  std::vector<int> bins(100, 0);
  for (uint64_t seed = 0; seed < 100; ++seed) {
    for (uint64_t position = 0; position < 1000; ++position)
      ++bins[static_cast<int>(uniform_at(seed, position) * 100)];
  }
  double chi2 = 0;
  for (int count : bins) chi2 += (count - 1000.0) * (count - 1000.0) / 1000;
  EXPECT_LT(chi2, 149) << "99 degrees of freedom: one in a thousand is above";
  EXPECT_GT(chi2, 61);
}

TEST(Sampler, LogProbabilities) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.2f)};
  const auto found = log_probabilities(logits, 2, 2);
  EXPECT_NEAR(found.logprob, std::log(0.2), 1e-6);
  ASSERT_EQ(found.top.size(), 2u);
  EXPECT_EQ(found.top[0].first, 0);
  EXPECT_NEAR(found.top[1].second, std::log(0.3), 1e-6);
}

TEST(Sampler, LogitsThatAreNotFiniteGiveNoToken) {
  const float nan = std::nanf(""), infinity = std::numeric_limits<float>::infinity();
  auto top_k = plain(), top_p = plain();
  top_k.top_k = 2;
  top_p.top_p = 0.9f;
  for (const SamplingRules& rules : {plain(0), plain(), top_k, top_p}) {
    EXPECT_EQ(draw({1, nan, 0}, rules), kNoToken);
    EXPECT_EQ(draw({nan, 1, 0}, rules), kNoToken);
    EXPECT_EQ(draw({nan, nan}, rules), kNoToken);
    EXPECT_EQ(draw({-infinity, -infinity}, rules), kNoToken);
    EXPECT_EQ(draw({0, infinity, 1}, rules), kNoToken);
    EXPECT_EQ(draw({-infinity, 1, -infinity}, rules), 1);
  }
}

TEST(Sampler, TinyTemperatureIsGreedy) { EXPECT_EQ(draw({1, 3, 2}, plain(1e-30f)), 1); }

TEST(Sampler, ResolveChecksRangesAndNamesTheField) {
  const auto refuse = [](SamplingOptions wanted, const char* field) {
    const auto result = resolve_sampling(wanted, {}, 100);
    ASSERT_FALSE(result.has_value()) << field;
    EXPECT_EQ(result.error().message.rfind(field, 0), 0u) << result.error().message;
  };
  refuse({.temperature = -1.f}, "temperature");
  refuse({.temperature = std::nanf("")}, "temperature");
  refuse({.top_k = -1}, "top_k");
  refuse({.top_p = 0.f}, "top_p");
  refuse({.top_p = 1.5f}, "top_p");
  refuse({.min_p = 2.f}, "min_p");
  refuse({.presence_penalty = std::nanf("")}, "presence_penalty");
  refuse({.frequency_penalty = 1e9f}, "frequency_penalty");
  refuse({.repetition_penalty = 0.f}, "repetition_penalty");
  refuse({.logit_bias = {{100, 1.f}}}, "logit_bias");
  const auto rules = resolve_sampling({.top_k = 5}, {.temperature = 0.3f}, 100);
  EXPECT_EQ(rules->top_k, 5);
  EXPECT_EQ(rules->temperature, 0.3f);
}

}  // namespace
}  // namespace godwit::engine
