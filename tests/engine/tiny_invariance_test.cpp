// The reference's tiny checkpoints (dense, mixture of experts, scaled positions) behind the
// engine's door: greedy answers are the same with the cache on, hit, restored from disk, preempted,
// and in company.
#include <gtest/gtest.h>

#include <random>

#include "tests/engine/engine_fixture.h"
#include "tests/temporary_folder.h"

namespace godwit::engine {
namespace {

class TinyInvariance : public testing::TestWithParam<const char*> {
 protected:
  EngineOptions options() const {
    EngineOptions with;
    with.model = fmt::format(GODWIT_SOURCE_DIR "/tests/goldens/gguf/{}.bf16.gguf", GetParam());
    with.threads = 1;
    with.context = 256;
    with.cache_bytes = size_t{64} << 20;
    with.checked = true;
    return with;
  }
  EngineOptions without_cache() const {
    auto without = options();
    without.prefix_cache = false;
    return without;
  }
  // Random ids: of lengths within a page, at one, and in several chunks; the last two begin alike.
  static std::vector<GenerationRequest> prompts(int64_t vocabulary) {
    std::mt19937 random(7);
    std::vector<GenerationRequest> all;
    for (int length : {5, 63, 64, 65, 100, 130, 140, 150}) {
      GenerationRequest request;
      request.raw_ids.emplace();
      for (int i = 0; i < length; ++i)
        request.raw_ids->push_back(static_cast<int32_t>(random() % vocabulary));
      request.sampling.temperature = 0;
      request.max_tokens = 100;
      request.logprobs = 0;
      request.ignore_end = true;
      request.parse_output = false;
      all.push_back(std::move(request));
    }
    std::copy_n(all[6].raw_ids->begin(), 128, all[7].raw_ids->begin());
    return all;
  }
  static std::vector<std::vector<int32_t>> ids_of(const std::vector<Reply>& replies) {
    std::vector<std::vector<int32_t>> ids;
    for (const Reply& reply : replies) {
      EXPECT_EQ(reply.error, "");
      ids.emplace_back();
      for (const TokenLogprob& token : reply.logprobs) ids.back().push_back(token.id);
    }
    return ids;
  }
};

TEST_P(TinyInvariance, GreedyAnswersAreTheSameInEveryWay) {
  const auto alone = open_engine(without_cache());
  const auto asked = prompts(alone->info().vocabulary);
  const auto expected = ids_of(answers(*alone, asked));
  ASSERT_EQ(expected.size(), 8u);
  for (const auto& ids : expected) ASSERT_EQ(ids.size(), 100u);
  EXPECT_EQ(ids_of(answers_at_once(*alone, asked)), expected) << "in company, without a cache";

  const TemporaryFolder folder;
  auto on_disk = options();
  on_disk.cache_folder = folder.string();
  {
    const auto engine = open_engine(on_disk);
    EXPECT_EQ(ids_of(answers_at_once(*engine, asked)), expected) << "in company";
    const int64_t before = engine->stats().reused_tokens;
    EXPECT_EQ(ids_of(answers(*engine, asked)), expected) << "reused";
    EXPECT_GT(engine->stats().reused_tokens, before + 500);
  }
  {
    const auto engine = open_engine(on_disk);
    EXPECT_EQ(ids_of(answers(*engine, asked)), expected) << "restored from disk";
    EXPECT_GT(engine->stats().reused_tokens, 500);
  }
  const auto engine = open_engine(tight(options()));
  EXPECT_EQ(ids_of(answers_at_once(*engine, asked)), expected) << "preempted";
  EXPECT_GT(engine->stats().preempted, 0);
}

INSTANTIATE_TEST_SUITE_P(Goldens, TinyInvariance,
                         testing::Values("qwen35-tiny", "qwen35-moe", "qwen35-yarn"),
                         [](const auto& model) {
                           const std::string name = model.param;
                           return name.substr(name.find('-') + 1);
                         });

}  // namespace
}  // namespace godwit::engine
