// The engine from its door, with the demonstration model: answers, limits, errors, counts.
#include "engine/engine.h"

#include <gtest/gtest.h>

#include "tests/engine/engine_fixture.h"

namespace godwit::engine {
namespace {

TEST(Engine, AnswersAndCounts) {
  auto engine = open_engine(nano_options());
  const Reply reply = answer(*engine, ask("What is the capital of France?"));
  ASSERT_EQ(reply.error, "");
  EXPECT_FALSE(reply.content.empty());
  std::printf("%s\n", reply.content.c_str());
  EXPECT_EQ(reply.done.finish, FinishReason::kStop);
  EXPECT_GT(reply.done.usage.prompt_tokens, 10);
  EXPECT_GT(reply.done.usage.completion_tokens, 0);
  EXPECT_EQ(reply.done.usage.reused_tokens, 0);
}

}  // namespace
}  // namespace godwit::engine
