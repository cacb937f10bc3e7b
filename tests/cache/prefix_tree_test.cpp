// The tree against a list of all that was put in: same longest position, same pages' contents,
// exact counts after each step.
#include "cache/prefix_tree.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>

#include "tests/cache/fake_model.h"

namespace godwit::cache {
namespace {

std::vector<Key> keys_of(std::span<const int32_t> tokens) {
  std::vector<Key> keys;
  for (int32_t t : tokens) keys.push_back(token_key(t));
  return keys;
}

class PrefixTreeTest : public testing::Test {
 protected:
  void start(int64_t pages) {
    pool_ = PagePool::create(g_.page_bytes(), pages).value();
    tree_ = std::make_unique<PrefixTree>(g_, *pool_);
  }
  std::unique_ptr<SequenceMemory> sequence() {
    return std::make_unique<SequenceMemory>(g_, *pool_, blocks_);
  }
  void run(SequenceMemory& memory, std::span<const int32_t> tokens) {
    ASSERT_TRUE(memory.reserve(static_cast<int64_t>(tokens.size())));
    fake_forward(g_, memory, tokens);
  }
  void keep(SequenceMemory& memory, std::span<const int32_t> tokens) {
    auto snapshot = memory.snapshot();
    ASSERT_TRUE(snapshot);
    memory.publish();
    tree_->insert(keys_of(tokens), memory.pages(), std::move(*snapshot));
  }
  // Computes `tokens` from nothing and keeps snapshots at `at`.
  void put(const std::vector<int32_t>& tokens, const std::vector<int>& at) {
    auto memory = sequence();
    int done = 0;
    for (int p : at) {
      run(*memory, std::span(tokens).subspan(done, p - done));
      keep(*memory, std::span(tokens).first(p));
      done = p;
    }
  }
  void verify() {
    tree_->verify([](PageId) { return 0; });
  }

  const CacheGeometry g_ = small_geometry();  // 8 tokens a page
  std::unique_ptr<PagePool> pool_;
  BlockPool blocks_{block_floats(g_)};
  std::unique_ptr<PrefixTree> tree_;
};

TEST_F(PrefixTreeTest, FindsTheLongestRunThatHasASnapshot) {
  start(200);
  std::vector<int32_t> tokens(30);
  for (int i = 0; i < 30; ++i) tokens[i] = i;
  put(tokens, {5, 12, 24, 30});
  verify();
  auto other = tokens;
  other[20] = 99;
  const auto match = tree_->find(keys_of(other), 29);
  EXPECT_EQ(match.position, 12);
  EXPECT_EQ(match.matched, 20);
  EXPECT_TRUE(match.diverged);
  EXPECT_EQ(match.branch_seen, 1);
  EXPECT_EQ(tree_->find(keys_of(other), 29).branch_seen, 2);
  EXPECT_EQ(tree_->find(keys_of(tokens), 29).position, 24) << "the limit holds";
  EXPECT_EQ(tree_->find(keys_of(tokens), 30).position, 30);
  const auto longer =
      tree_->find(keys_of(std::vector<int32_t>(tokens.begin(), tokens.begin() + 13)), 12);
  EXPECT_EQ(longer.position, 12);
  EXPECT_FALSE(longer.diverged);
  EXPECT_EQ(tree_->find(keys_of(std::vector<int32_t>{7, 8}), 2).position, 0);
}

TEST_F(PrefixTreeTest, ASiblingThatAgreesLessMayHaveTheFurthestSnapshot) {
  start(200);
  put({1, 2, 3, 4, 5, 6}, {3, 6});
  put({1, 2, 3, 4, 9, 9, 9}, {7});  // agrees for four, its snapshot is behind the parting
  const auto match = tree_->find(keys_of(std::vector<int32_t>{1, 2, 3, 4, 9, 8}), 5);
  EXPECT_EQ(match.matched, 5);
  EXPECT_EQ(match.position, 3);
  verify();
}

TEST_F(PrefixTreeTest, MediaKeysAreNoTokens) {
  EXPECT_NE(media_key(1, 0), media_key(2, 0));
  EXPECT_NE(media_key(1, 0), media_key(1, 1));
  for (int i = 0; i < 1000; ++i) EXPECT_GT(media_key(i, i), token_key(-1));
}

TEST_F(PrefixTreeTest, EvictsWhatCostsLeastToComputeAgain) {
  start(200);
  std::vector<int32_t> a(40, 1), b(40, 2);
  put(a, {38, 40});  // the one at 40 saves two positions only
  put(b, {40});
  tree_->find(keys_of(b), 40);
  const int64_t free = pool_->free();
  EXPECT_TRUE(tree_->evict(free + 1));
  EXPECT_EQ(tree_->longest_position(keys_of(a), 40), 38);
  EXPECT_EQ(tree_->longest_position(keys_of(b), 40), 40);
  EXPECT_FALSE(tree_->evict(pool_->total() + 1));
  EXPECT_EQ(pool_->used(), 0);
  EXPECT_EQ(tree_->snapshots(), 0);
  verify();
}

// Random conversations that share beginnings, kept, found, gone on with and evicted.
TEST_F(PrefixTreeTest, RandomOperationsAgreeWithAListOfAllThatWasKept) {
  start(420);
  std::mt19937 random(11);
  std::vector<std::vector<int32_t>>
      kept;  // token runs at whose end a snapshot was taken (some may be evicted)
  std::vector<std::vector<int32_t>> texts;
  struct Running {
    std::unique_ptr<SequenceMemory> memory;
    std::vector<int32_t> tokens;
  };
  std::vector<Running> running;
  int64_t reused = 0, evictions = 0, continued = 0;
  for (int step = 0; step < 12000; ++step) {
    if (running.size() < 4 && random() % 3 == 0) {
      // A new text: some other's beginning and something new.
      std::vector<int32_t> text;
      if (!texts.empty() && random() % 8) {
        const auto& from = texts[random() % texts.size()];
        text.assign(from.begin(),
                    from.begin() + static_cast<int64_t>(random() % (from.size() + 1)));
      }
      const size_t more = 1 + random() % 30;
      for (size_t i = 0; i < more; ++i) text.push_back(static_cast<int32_t>(random() % 3));
      if (text.size() > 90) text.resize(90);
      if (texts.size() > 60) texts.erase(texts.begin());
      texts.push_back(text);
      const auto keys = keys_of(text);
      const auto limit = static_cast<int64_t>(text.size()) - 1;
      // Brute force: the longest kept run that is a prefix and still there.
      int64_t longest = 0;
      for (const auto& run : kept) {
        const auto n = static_cast<int64_t>(run.size());
        if (n <= limit && n > longest && std::equal(run.begin(), run.end(), text.begin()) &&
            tree_->has_snapshot(keys_of(run))) {
          longest = n;
        }
      }
      const auto match = tree_->find(keys, limit);
      ASSERT_EQ(match.position, longest);
      Running fresh{sequence(), {}};
      if (match.position > 0 && fresh.memory->attach(match.position, match.pages, match.snapshot)) {
        fresh.tokens.assign(text.begin(), text.begin() + match.position);
        reused += match.position;
        SequenceMemory alone(g_, *pool_, blocks_);
        if (alone.reserve(match.position)) {
          fake_forward(g_, alone, fresh.tokens);
          ASSERT_EQ(contents(g_, *fresh.memory), contents(g_, alone));
        }
      }
      running.push_back(std::move(fresh));
    } else if (!running.empty()) {
      const size_t which = random() % running.size();
      auto& [memory, tokens] = running[which];
      std::vector<int32_t> next(1 + random() % 6);
      for (int32_t& t : next) t = static_cast<int32_t>(random() % 3);
      const int64_t wanted =
          memory->pages_needed(static_cast<int64_t>(next.size())) + snapshot_pages(g_);
      const int64_t before = tree_->snapshots();
      const bool fits = pool_->free() >= wanted || tree_->evict(wanted);
      evictions += before - tree_->snapshots();
      if (!fits || tokens.size() > 100 || random() % 12 == 0) {
        if (!tokens.empty()) texts.push_back(tokens);
        running.erase(running.begin() + static_cast<int64_t>(which));
      } else {
        run(*memory, next);
        tokens.insert(tokens.end(), next.begin(), next.end());
        if (random() % 2) {
          keep(*memory, tokens);
          kept.push_back(tokens);
          ++continued;
        }
      }
    }
    std::map<PageId, int> others;
    for (const auto& r : running) {
      for (PageId page : r.memory->pages()) ++others[page];
    }
    tree_->verify([&](PageId page) {
      const auto found = others.find(page);
      return found == others.end() ? 0 : found->second;
    });
    if (kept.size() > 400)
      std::erase_if(kept, [&](const auto& run) { return !tree_->has_snapshot(keys_of(run)); });
  }
  EXPECT_GT(reused, 1000);
  EXPECT_GT(evictions, 100);
  EXPECT_GT(continued, 500);
  running.clear();
  tree_->clear();
  EXPECT_EQ(pool_->used(), 0);
}

}  // namespace
}  // namespace godwit::cache
