#include "base/compute_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace godwit {
namespace {

TEST(ComputePool, RunsEveryTaskOnceForAnyNumberOfThreads) {
  for (int threads : {1, 2, 3, 8}) {
    ComputePool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int64_t n : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> runs(n);
      std::atomic<int> wrong_worker{0};
      pool.parallel_for(n, [&](int64_t i, int worker) {
        runs[i].fetch_add(1);
        if (worker < 0 || worker >= threads) wrong_worker.fetch_add(1);
      });
      for (int64_t i = 0; i < n; ++i) ASSERT_EQ(runs[i].load(), 1) << "task " << i << " of " << n;
      EXPECT_EQ(wrong_worker.load(), 0);
    }
  }
}

TEST(ComputePool, ManyShortCallsInARow) {
  ComputePool pool(2);
  std::atomic<int64_t> sum{0};
  for (int call = 0; call < 20000; ++call)
    pool.parallel_for(3, [&](int64_t i, int) { sum.fetch_add(i); });
  EXPECT_EQ(sum.load(), 20000 * 3);
}

TEST(ComputePool, FewerThreadsMayBeUsed) {
  ComputePool pool(4);
  std::atomic<int64_t> sum{0};
  for (int call = 0; call < 4000; ++call) {
    pool.use(1 + call * 7 % 4);
    pool.parallel_for(5, [&](int64_t i, int) { sum.fetch_add(i); });
  }
  EXPECT_EQ(sum.load(), 4000 * 10);
  EXPECT_EQ(pool.threads(), 4);
  // Those that are not used fall asleep, and run no task from then on.
  pool.use(2);
  int outside = 1;
  for (int round = 0; round < 500 && outside > 0; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    std::atomic<int> found{0};
    for (int call = 0; call < 200; ++call)
      pool.parallel_for(8, [&](int64_t, int worker) { found += worker >= 2; });
    outside = found.load();
  }
  EXPECT_EQ(outside, 0);
}

TEST(ComputePool, WakesAfterParking) {
  ComputePool pool(3);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    std::atomic<int> done{0};
    pool.parallel_for(16, [&](int64_t, int) { done.fetch_add(1); });
    EXPECT_EQ(done.load(), 16);
  }
}

}  // namespace
}  // namespace godwit
