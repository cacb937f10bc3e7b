// Prompts that come at once and begin alike: what they have in common is computed once, and the
// answers are those of an engine without a cache, to the bit.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/engine/engine_fixture.h"

namespace godwit::engine {
namespace {

constexpr int kSomeTokens = 64;  // of a prompt, that each may compute for itself

std::string items(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += fmt::format("item {} is {}; ", i, i * 37 % 91);
  return text;
}

// Users of one system block.
std::vector<GenerationRequest> users(const std::vector<std::string>& questions) {
  std::vector<GenerationRequest> all;
  for (const std::string& question : questions) {
    all.push_back(ask(question, 12));
    all.back().messages.insert(all.back().messages.begin(), message("system", items(70)));
    all.back().logprobs = 0;
  }
  return all;
}

void expect_same_as_without_cache(const std::vector<GenerationRequest>& requests,
                                  const std::vector<Reply>& replies) {
  auto options = nano_options();
  options.prefix_cache = false;
  auto engine = open_engine(options);
  for (size_t i = 0; i < requests.size(); ++i) {
    const Reply alone = answer(*engine, requests[i]);
    EXPECT_EQ(replies[i].error, "");
    ASSERT_EQ(replies[i].logprobs.size(), alone.logprobs.size()) << i;
    for (size_t t = 0; t < alone.logprobs.size(); ++t) {
      EXPECT_EQ(replies[i].logprobs[t].id, alone.logprobs[t].id) << i;
      EXPECT_EQ(replies[i].logprobs[t].logprob, alone.logprobs[t].logprob) << i;
    }
  }
}

// Prompt tokens that each computed, rising. (Which request is the first to be prepared, is open.)
std::vector<int> computed(const std::vector<Reply>& replies) {
  std::vector<int> counts;
  for (const Reply& reply : replies)
    counts.push_back(reply.done.usage.prompt_tokens - reply.done.usage.reused_tokens);
  std::sort(counts.begin(), counts.end());
  return counts;
}

TEST(AtOnce, TheSamePromptIsReadOnce) {
  const auto requests = users({"Hello?", "Hello?", "Hello?", "Hello?"});
  auto engine = open_engine(nano_options());
  const auto replies = answers_at_once(*engine, requests);
  ASSERT_GT(replies[0].done.usage.prompt_tokens, 500);
  EXPECT_EQ(computed(replies)[3], replies[0].done.usage.prompt_tokens);
  EXPECT_LT(computed(replies)[2], kSomeTokens);
  EXPECT_EQ(engine->stats().preempted, 0);
  expect_same_as_without_cache(requests, replies);
}

TEST(AtOnce, ASystemBlockIsReadOnceForAllItsUsers) {
  std::vector<std::string> questions;
  for (int i = 0; i < 12; ++i) questions.push_back(fmt::format("What is {} plus 5?", i));
  const auto requests = users(questions);
  auto engine = open_engine(nano_options());  // eight at once, so four come later
  const auto replies = answers_at_once(*engine, requests);
  EXPECT_LT(computed(replies)[10], kSomeTokens);
  expect_same_as_without_cache(requests, replies);
}

// Two go further with each other than with the third.
TEST(AtOnce, EachWaitsForTheOneThatSharesMost) {
  auto requests = users({"Hello?", items(20) + "Why?", items(20) + "Where?"});
  auto engine = open_engine(nano_options());
  const auto replies = answers_at_once(*engine, requests);
  EXPECT_LT(computed(replies)[0], 2 * kSomeTokens) << "from a place on the grain of chunks";
  EXPECT_LT(computed(replies)[1], 350);
  expect_same_as_without_cache(requests, replies);
}

TEST(AtOnce, TextsThatPartAnywhereShareWhatComesBefore) {
  std::vector<GenerationRequest> requests;
  for (const char* end : {"The first", "A second", "Another"}) {
    requests.push_back(ask("", 12));
    requests.back().messages.clear();
    requests.back().raw_text = items(60) + end;
    requests.back().logprobs = 0;
  }
  requests[2].task = Task::kScore;
  requests[2].score_from = 600;
  auto engine = open_engine(nano_options());
  const auto replies = answers_at_once(*engine, requests);
  const int scored = replies[2].done.usage.prompt_tokens - 600;
  EXPECT_LT(computed(replies)[1], scored + 2 * kSomeTokens) << "only one reads all";
  expect_same_as_without_cache(requests, replies);
}

TEST(AtOnce, WhoeverWaitsGoesOnWhenTheFirstIsCancelled) {
  const auto requests = users({"Hello?", "Hello?", "Hello?"});
  auto options = nano_options();
  options.prefill_chunk = 64;
  auto engine = open_engine(options);
  auto first = engine->submit(requests[0]).value();
  while (auto event = first->next()) {
    if (event->kind == Event::Kind::kPromptProgress && event->done > 0) break;
  }
  auto second = engine->submit(requests[1]).value(), third = engine->submit(requests[2]).value();
  first->cancel();
  EXPECT_EQ(collect(*first).done.finish, FinishReason::kCancelled);
  const std::vector<Reply> replies = {collect(*second), collect(*third)};
  EXPECT_LT(computed(replies)[0], kSomeTokens);
  expect_same_as_without_cache({requests[1], requests[2]}, replies);
}

TEST(AtOnce, InTightMemoryAllAreAnswered) {
  const auto requests = users(std::vector<std::string>(8, "Hello?"));
  auto engine = open_engine(tight());
  expect_same_as_without_cache(requests, answers_at_once(*engine, requests));
}

}  // namespace
}  // namespace godwit::engine
