// What a sequence remembers after taking positions back, after snapshots and after attaching to
// shared pages is what it would remember had it seen just the tokens that are left.
#include "cache/sequence_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cache/window_memory.h"
#include "tests/cache/fake_model.h"

namespace godwit::cache {
namespace {

using testing::FloatNear;
using testing::Pointwise;

class SequenceMemoryTest : public testing::Test {
 protected:
  const CacheGeometry g_ = small_geometry();
  std::unique_ptr<PagePool> pool_ = PagePool::create(g_.page_bytes(), 400).value();
  BlockPool blocks_{block_floats(g_)};

  std::vector<float> expected(std::span<const int32_t> tokens) {
    SequenceMemory memory(g_, *pool_, blocks_);
    EXPECT_TRUE(memory.reserve(static_cast<int64_t>(tokens.size())));
    if (!tokens.empty()) fake_forward(g_, memory, tokens);
    return contents(g_, memory);
  }
  void run(SequenceMemory& memory, std::span<const int32_t> tokens) {
    ASSERT_TRUE(memory.reserve(static_cast<int64_t>(tokens.size())));
    fake_forward(g_, memory, tokens);
  }
};

TEST_F(SequenceMemoryTest, RandomStepsAndUndoEqualTheTokensThatAreLeft) {
  std::mt19937 random(5);
  SequenceMemory memory(g_, *pool_, blocks_, fake_undo(g_, 8));
  std::vector<int32_t> tokens;
  int64_t taken_back = 0, furthest = 0;
  for (int step = 0; step < 600; ++step) {
    if (tokens.size() > 120) memory.clear(), tokens.clear();
    if (random() % 4 == 0 && memory.undoable() > 0) {
      const auto n = static_cast<int64_t>(1 + random() % memory.undoable());
      memory.take_back(n);
      tokens.resize(tokens.size() - n);
      taken_back += n;
      furthest = std::max(furthest, n);
    } else {
      std::vector<int32_t> next(1 + (random() % 8 == 0 ? 9 + random() % 20 : random() % 4));
      for (int32_t& t : next) t = static_cast<int32_t>(random() % 50);
      run(memory, next);
      tokens.insert(tokens.end(), next.begin(), next.end());
    }
    ASSERT_THAT(contents(g_, memory), Pointwise(FloatNear(1e-5), expected(tokens)))
        << "step " << step;
  }
  EXPECT_GT(taken_back, 200);
  EXPECT_GE(furthest, 8);
}

// A call's drafts are taken back whatever the window, and what the window promises stays true.
TEST_F(SequenceMemoryTest, DraftsAreTakenBack) {
  for (const int window : {0, 2, 8, 64}) {
    std::mt19937 random(window);
    Undo undo = fake_undo(g_, window);
    undo.drafts = 4;
    SequenceMemory memory(g_, *pool_, blocks_, undo);
    std::vector<int32_t> tokens(20, 3);
    run(memory, tokens);
    int64_t steps = 0, kept = 0;
    for (int step = 0; step < 200; ++step) {
      const auto drafts = static_cast<int64_t>(random() % 5);
      std::vector<int32_t> next(1 + drafts);
      for (int32_t& t : next) t = static_cast<int32_t>(random() % 50);
      ASSERT_TRUE(memory.reserve(1 + drafts));
      fake_forward(g_, memory, next, drafts);
      ASSERT_GE(memory.undoable(), drafts);
      const auto wrong = static_cast<int64_t>(random() % (1 + drafts));
      memory.take_back(wrong);
      tokens.insert(tokens.end(), next.begin(), next.end() - wrong);
      steps += 1 + drafts - wrong;
      if (window > 0) {
        ASSERT_GE(memory.undoable(), std::min<int64_t>(window, steps));
      }
      ASSERT_THAT(contents(g_, memory), Pointwise(FloatNear(1e-5), expected(tokens)))
          << "window " << window << ", step " << step;
      if (random() % 40 == 0 && window > 0) {
        const auto n = static_cast<int64_t>(1 + random() % memory.undoable());
        memory.take_back(n);
        tokens.resize(tokens.size() - n);
        steps = memory.undoable();
        kept = std::max(kept, n);
        ASSERT_THAT(contents(g_, memory), Pointwise(FloatNear(1e-5), expected(tokens)));
      }
    }
    EXPECT_GE(kept, window);
  }
}

TEST(WindowMemory, RemembersTheLastPositions) {
  const CacheGeometry g{.attention_layers = 1,
                        .kv_heads = 1,
                        .head_dim = 4,
                        .kv_type = tensor::DType::kF32,
                        .page_tokens = 8};
  WindowMemory memory(g, 20);
  EXPECT_EQ(WindowMemory::bytes(g, 20), 4 * g.page_bytes());
  std::mt19937 random(3);
  std::vector<float> written;
  const auto row = [&](const SequenceView& view, int64_t p) -> float& {
    return reinterpret_cast<float*>(view.pages[p / 8])[p % 8 * 4];
  };
  for (int call = 0; call < 300; ++call) {
    const auto n = static_cast<int64_t>(1 + random() % 9);
    const SequenceView view = memory.view(n);
    ASSERT_GE(view.cached, std::min<int64_t>(20 - n, static_cast<int64_t>(written.size())));
    for (int64_t p = 0; p < view.cached; ++p)
      ASSERT_EQ(row(view, p), written[written.size() - view.cached + p]) << "call " << call;
    for (int64_t t = 0; t < n; ++t) {
      written.push_back(static_cast<float>(random()));
      row(view, view.cached + t) = written.back();
    }
    memory.advance(n);
    const auto wrong = static_cast<int64_t>(random() % n);
    memory.take_back(wrong);
    written.resize(written.size() - wrong);
  }
  EXPECT_GT(written.size(), 500u);
}

TEST_F(SequenceMemoryTest, AfterTwoWindowsAtLeastOneWindowCanBeTakenBack) {
  SequenceMemory memory(g_, *pool_, blocks_, fake_undo(g_, 64));
  run(memory, std::vector<int32_t>(100, 3));
  EXPECT_EQ(memory.undoable(), 0) << "a prefill is not logged";
  for (int32_t t = 0; t < 500; ++t) {
    run(memory, std::vector{t});
    EXPECT_GE(memory.undoable(), std::min(64, t + 1));
    EXPECT_LE(memory.undoable(), 128);
  }
}

TEST_F(SequenceMemoryTest, AttachGoesOnFromTheSnapshotAndLeavesTheSharedPagesAlone) {
  std::vector<int32_t> tokens(21);
  for (int i = 0; i < 21; ++i) tokens[i] = i;
  SequenceMemory first(g_, *pool_, blocks_);
  run(first, std::span(tokens).first(13));
  const auto snapshot = first.snapshot();
  ASSERT_TRUE(snapshot);
  first.publish();
  run(first, std::span(tokens).subspan(13));

  const std::vector<PageId> shared(first.pages().begin(), first.pages().begin() + 2);
  SequenceMemory second(g_, *pool_, blocks_);
  ASSERT_TRUE(second.attach(13, shared, *snapshot));
  EXPECT_EQ(second.pages()[0], shared[0]) << "a full page is shared";
  EXPECT_NE(second.pages()[1], shared[1]) << "a partial one is copied";
  run(second, std::vector<int32_t>{40, 41, 42, 43, 44});
  std::vector<int32_t> other(tokens.begin(), tokens.begin() + 13);
  other.insert(other.end(), {40, 41, 42, 43, 44});
  EXPECT_EQ(contents(g_, second), expected(other));
  EXPECT_EQ(contents(g_, first), expected(tokens));
}

TEST_F(SequenceMemoryTest, RowsThatOthersReadAreCopiedBeforeTheyAreWrittenAgain) {
  SequenceMemory memory(g_, *pool_, blocks_, fake_undo(g_, 8));
  for (int32_t t = 0; t < 12; ++t) run(memory, std::vector{t});
  memory.publish();
  const PageId shared = memory.pages()[1];
  pool_->retain(shared);
  const std::vector<std::byte> before(pool_->data(shared),
                                      pool_->data(shared) + pool_->page_bytes());
  memory.take_back(3);
  EXPECT_EQ(memory.pages_needed(1), 1);
  run(memory, std::vector{77});
  EXPECT_NE(memory.pages()[1], shared);
  EXPECT_EQ(std::memcmp(before.data(), pool_->data(shared), before.size()), 0);
  EXPECT_THAT(contents(g_, memory),
              Pointwise(FloatNear(1e-5), expected(std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 77})));
  pool_->release(shared);
}

TEST_F(SequenceMemoryTest, ReserveChangesNothingWhenThePoolIsEmpty) {
  auto small = PagePool::create(g_.page_bytes(), 2).value();
  SequenceMemory memory(g_, *small, blocks_);
  EXPECT_FALSE(memory.reserve(17));
  EXPECT_EQ(small->used(), 0);
  EXPECT_TRUE(memory.reserve(16));
  EXPECT_EQ(small->used(), 2);
}

TEST_F(SequenceMemoryTest, EverythingIsGivenBack) {
  {
    SequenceMemory memory(g_, *pool_, blocks_, fake_undo(g_, 4));
    run(memory, std::vector<int32_t>(30, 1));
    const auto snapshot = memory.snapshot();
    EXPECT_EQ(static_cast<int64_t>(snapshot->pages.size()), snapshot_pages(g_));
    for (PageId page : snapshot->pages) pool_->release(page);
  }
  EXPECT_EQ(pool_->used(), 0);
}

}  // namespace
}  // namespace godwit::cache
