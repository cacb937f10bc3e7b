// Prefixes that were written and read back hold what would be computed.
#include "cache/prefix_files.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/cache/fake_model.h"
#include "tests/temporary_folder.h"

namespace godwit::cache {
namespace {
namespace fs = std::filesystem;

void spill_all(PrefixFiles& files, std::span<const Key> keys,
               const std::vector<int64_t>& positions) {
  PrefixFiles::Spill spill;
  spill.keys.assign(keys.begin(), keys.end());
  spill.positions = positions;
  while (files.spill_page(spill)) {
  }
}

// Changes a byte of the record that ends at `position`.
void damage(const std::string& folder, std::span<const Key> keys, int64_t position) {
  const Hash128 hash = chain_hashes(keys)[position];
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().string().find(fmt::format("{:016x}{:016x}", hash.high, hash.low)) ==
        std::string::npos)
      continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(300);  // in its body: found when it is read
    file.put('?');
  }
}

class PrefixFilesTest : public testing::Test {
 protected:
  // A run of the program: memory is empty at its start.
  struct Life {
    Life(const CacheGeometry& g, const std::string& folder)
        : pool(PagePool::create(g.page_bytes(), 300).value()),
          blocks(block_floats(g)),
          tree(g, *pool),
          store(DiskStore::open({folder, {1, 2}}).value()),
          compute(2),
          files(g, *pool, tree, *store, compute) {}
    std::unique_ptr<PagePool> pool;
    BlockPool blocks;
    PrefixTree tree;
    std::unique_ptr<DiskStore> store;
    ComputePool compute;
    PrefixFiles files;
  };
  void SetUp() override {
    for (int i = 0; i < 40; ++i)
      tokens_.push_back(i * 7 % 31), keys_.push_back(token_key(tokens_.back()));
  }

  void compute(Life& life, const std::vector<int64_t>& stops) {
    SequenceMemory memory(g_, *life.pool, life.blocks);
    for (int64_t stop : stops) {
      const int64_t from = memory.length();
      ASSERT_TRUE(memory.reserve(stop - from));
      fake_forward(g_, memory, std::span(tokens_).subspan(from, stop - from));
      life.tree.insert(std::span(keys_).first(stop), memory.pages(), memory.snapshot().value());
      memory.publish();
    }
  }
  std::vector<float> at(Life& life, int64_t position) {
    const auto match = life.tree.find(keys_, position);
    EXPECT_EQ(match.position, position);
    SequenceMemory memory(g_, *life.pool, life.blocks);
    EXPECT_TRUE(memory.attach(match.position, match.pages, match.snapshot));
    return contents(g_, memory);
  }
  std::vector<float> wanted(int64_t position) {
    auto pool = PagePool::create(g_.page_bytes(), 100).value();
    BlockPool blocks(block_floats(g_));
    SequenceMemory memory(g_, *pool, blocks);
    EXPECT_TRUE(memory.reserve(position));
    fake_forward(g_, memory, std::span(tokens_).first(position));
    return contents(g_, memory);
  }

  const CacheGeometry g_ = small_geometry();  // 8 tokens a page
  const TemporaryFolder temporary_;
  const std::string folder_ = temporary_.string();
  std::vector<int32_t> tokens_;
  std::vector<Key> keys_;
};

TEST_F(PrefixFilesTest, AChainComesBackAfterARestart) {
  {
    Life life(g_, folder_);
    compute(life, {5, 13, 24, 38});
    spill_all(life.files, keys_, std::vector<int64_t>{5, 13, 38});
  }
  Life life(g_, folder_);
  EXPECT_EQ(life.files.restore(keys_, 39), 38);
  EXPECT_EQ(at(life, 38), wanted(38));
  EXPECT_EQ(life.files.restore(keys_, 39), 0) << "nothing longer than what is known";
  life.tree.verify([](PageId) { return 0; });
}

TEST_F(PrefixFilesTest, TheLimitHoldsAndWhatIsKnownIsUsed) {
  {
    Life life(g_, folder_);
    compute(life, {5, 13, 24, 38});
    spill_all(life.files, keys_, std::vector<int64_t>{5, 13, 24, 38});
  }
  Life life(g_, folder_);
  EXPECT_EQ(life.files.restore(keys_, 20), 13);
  EXPECT_EQ(at(life, 13), wanted(13));
  EXPECT_EQ(life.files.restore(keys_, 39), 38)
      << "goes on from a partial page that others may read";
  EXPECT_EQ(at(life, 38), wanted(38));
  EXPECT_EQ(at(life, 13), wanted(13));
  life.tree.verify([](PageId) { return 0; });
}

TEST_F(PrefixFilesTest, OtherTokensFindOnlyWhatTheyShare) {
  {
    Life life(g_, folder_);
    compute(life, {5, 13, 24, 38});
    spill_all(life.files, keys_, std::vector<int64_t>{5, 13, 24, 38});
  }
  Life life(g_, folder_);
  keys_[20] = token_key(999);
  EXPECT_EQ(life.files.restore(keys_, 39), 13);
}

TEST_F(PrefixFilesTest, WhatLeavesTheTreeWhileItIsPackedIsNotKept) {
  {
    Life life(g_, folder_);
    compute(life, {5, 38});
    PrefixFiles::Spill spill;
    spill.keys = keys_;
    spill.positions = {5, 38};
    // One page of keys and values at 5, two of them there for the snapshot, and then some of 38.
    const int64_t first = 1 + snapshot_pages(g_);
    for (int64_t i = 0; i < first + 2; ++i) ASSERT_TRUE(life.files.spill_page(spill));
    life.tree.clear();
    EXPECT_FALSE(life.files.spill_page(spill));
  }
  Life life(g_, folder_);
  EXPECT_EQ(life.files.restore(keys_, 39), 5);
  EXPECT_EQ(at(life, 5), wanted(5));
}

TEST_F(PrefixFilesTest, DamagedLinksCostWhatIsBehindThem) {
  {
    Life life(g_, folder_);
    compute(life, {13, 24, 38});
    spill_all(life.files, keys_, std::vector<int64_t>{13, 24, 38});
  }
  damage(folder_, keys_, 24);
  Life life(g_, folder_);
  EXPECT_EQ(life.files.restore(keys_, 39), 13) << "what is whole";
  EXPECT_EQ(at(life, 13), wanted(13));
  life.tree.verify([](PageId) { return 0; });
}

TEST_F(PrefixFilesTest, NoRoomLeavesWhatIsKnown) {
  {
    Life life(g_, folder_);
    compute(life, {13, 38});
    spill_all(life.files, keys_, std::vector<int64_t>{13, 38});
  }
  Life life(g_, folder_);
  ASSERT_EQ(life.files.restore(keys_, 20), 13);
  while (life.pool->free() > 0) life.pool->allocate();
  EXPECT_EQ(life.files.restore(keys_, 39), 0);
  EXPECT_EQ(life.tree.find(keys_, 39).position, 13);
}

// Room is made by what was known, and then the file is no good: what is before it comes back.
TEST_F(PrefixFilesTest, DamageIsFoundAfterRoomWasMade) {
  {
    Life life(g_, folder_);
    compute(life, {13, 38});
    spill_all(life.files, keys_, std::vector<int64_t>{13, 38});
  }
  damage(folder_, keys_, 38);
  Life life(g_, folder_);
  ASSERT_EQ(life.files.restore(keys_, 20), 13);
  const int64_t wanted_pages =
      (38 + g_.page_tokens - 1) / g_.page_tokens - 13 / g_.page_tokens + snapshot_pages(g_);
  std::vector<PageId> taken;
  while (life.pool->free() >= wanted_pages) taken.push_back(life.pool->allocate());
  EXPECT_EQ(life.files.restore(keys_, 39), 13);
  EXPECT_EQ(at(life, 13), wanted(13));
  for (PageId page : taken) life.pool->release(page);
  life.tree.verify([](PageId) { return 0; });
}

TEST_F(PrefixFilesTest, NoRoomIsNoError) {
  {
    Life life(g_, folder_);
    compute(life, {38});
    spill_all(life.files, keys_, std::vector<int64_t>{38});
  }
  Life life(g_, folder_);
  std::vector<PageId> taken;
  while (life.pool->free() > 3) taken.push_back(life.pool->allocate());
  EXPECT_EQ(life.files.restore(keys_, 39), 0);
  EXPECT_EQ(life.pool->free(), 3);
}

}  // namespace
}  // namespace godwit::cache
