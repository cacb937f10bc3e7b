// The page pool counts exactly: every page is free, or has as many references as were taken.
#include "cache/page_pool.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <set>
#include <vector>

#include "base/resident.h"

namespace godwit::cache {
namespace {

TEST(PagePool, GivesEachPageOnceAndRefusesMore) {
  auto pool = PagePool::create(100, 5).value();
  std::set<PageId> pages;
  for (int i = 0; i < 5; ++i) pages.insert(pool->allocate());
  EXPECT_EQ(pages.size(), 5u);
  EXPECT_FALSE(pages.contains(kNoPage));
  EXPECT_EQ(pool->allocate(), kNoPage);
  EXPECT_EQ(pool->free(), 0);
  pool->release(3);
  EXPECT_EQ(pool->allocate(), 3) << "the page that was touched last is used first";
}

TEST(PagePool, PagesDoNotOverlap) {
  auto pool = PagePool::create(100, 5).value();
  for (int i = 0; i < 5; ++i) std::memset(pool->data(pool->allocate()), i, 100);
  for (int i = 0; i < 5; ++i) {
    for (int b = 0; b < 100; ++b) EXPECT_EQ(static_cast<int>(pool->data(i)[b]), i);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(pool->data(i)) % 64, 0u);
  }
}

TEST(PagePool, PagesAreMadeReadyOnlyAheadOfThoseGivenOut) {
  auto pool = PagePool::create(1 << 16, 20).value();
  const std::vector<std::byte> memory(1 << 16);
  if (!make_resident(memory)) GTEST_SKIP() << "this system cannot";
  EXPECT_TRUE(pool->make_ready(3, 8));
  EXPECT_TRUE(pool->make_ready(5, 8));
  EXPECT_FALSE(pool->make_ready(1, 8)) << "eight are ready";
  for (int i = 0; i < 3; ++i) std::memset(pool->data(pool->allocate()), i, 1 << 16);
  EXPECT_TRUE(pool->make_ready(100, 8)) << "three of them were taken";
  EXPECT_FALSE(pool->make_ready(1, 8));
  EXPECT_EQ(static_cast<int>(pool->data(2)[5]), 2) << "what is there stays";
  EXPECT_TRUE(pool->make_ready(100, 100));
  EXPECT_FALSE(pool->make_ready(1, 100)) << "there are no more";
  EXPECT_EQ(pool->used(), 3);
}

TEST(PagePool, RandomReferencesAreCountedExactly) {
  auto pool = PagePool::create(64, 50).value();
  std::mt19937 random(1);
  std::vector<int> wanted(50, 0);
  for (int step = 0; step < 20000; ++step) {
    const int page = static_cast<int>(random() % 50);
    switch (random() % 3) {
      case 0: {
        const PageId fresh = pool->allocate();
        const bool none_free = std::count(wanted.begin(), wanted.end(), 0) == 0;
        EXPECT_EQ(fresh == kNoPage, none_free);
        if (fresh != kNoPage) {
          EXPECT_EQ(wanted[fresh]++, 0);
        }
        break;
      }
      case 1:
        if (wanted[page] > 0) pool->retain(page), ++wanted[page];
        break;
      default:
        if (wanted[page] > 0) pool->release(page), --wanted[page];
    }
    EXPECT_EQ(pool->references(page), wanted[page]);
    EXPECT_EQ(pool->free(), std::count(wanted.begin(), wanted.end(), 0));
  }
}

TEST(PagePoolDeathTest, ReleasingAFreePageIsAMistake) {
  auto pool = PagePool::create(64, 2).value();
  const PageId page = pool->allocate();
  pool->release(page);
  EXPECT_DEATH(pool->release(page), "references_");
}

}  // namespace
}  // namespace godwit::cache
