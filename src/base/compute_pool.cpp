#include "base/compute_pool.h"

#include "base/check.h"
#include "base/trace.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace godwit {
namespace {

// Long enough to bridge the gap between two kernels of one step, short enough not to burn an idle
// machine.
constexpr int kSpins = 20000;
constexpr int kJoinSpins = 2000;  // then the core is given away

inline void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

int64_t ComputePool::Range::take_first() {
  uint64_t range = begin_end.load(std::memory_order_acquire);
  while (range >> 32 < (range & UINT32_MAX)) {
    if (begin_end.compare_exchange_weak(range, range + (uint64_t{1} << 32),
                                        std::memory_order_acq_rel, std::memory_order_acquire))
      return static_cast<int64_t>(range >> 32);
  }
  return -1;
}

int64_t ComputePool::Range::take_last() {
  uint64_t range = begin_end.load(std::memory_order_acquire);
  while (range >> 32 < (range & UINT32_MAX)) {
    if (begin_end.compare_exchange_weak(range, range - 1, std::memory_order_acq_rel,
                                        std::memory_order_acquire))
      return static_cast<int64_t>((range & UINT32_MAX) - 1);
  }
  return -1;
}

ComputePool::ComputePool(int threads) : in_use_(threads) {
  CHECK(threads >= 1);
  ranges_ = std::make_unique<Range[]>(threads);
  workers_.reserve(threads - 1);
  for (int worker = 1; worker < threads; ++worker)
    workers_.emplace_back([this, worker] { work(worker); });
}

ComputePool::~ComputePool() {
  {
    std::lock_guard lock(mutex_);
    stopping_.store(true);
  }
  wake_.notify_all();
  join_in_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void ComputePool::use(int count) {
  CHECK(count >= 1 && count <= threads());
  if (in_use_.load() == count) return;
  {
    std::lock_guard lock(mutex_);
    in_use_.store(count);
  }
  wake_.notify_all();
  join_in_.notify_all();
}

void ComputePool::parallel_for(int64_t n, FunctionRef<void(int64_t, int)> task) {
  if (n <= 0) return;
  const int64_t count = in_use_.load();
  if (count == 1 || n == 1) {
    for (int64_t i = 0; i < n; ++i) task(i, 0);
    return;
  }
  CHECK(n <= UINT32_MAX);
  // Nobody reads this without having taken a task, and all tasks of the last call are done.
  task_ = &task;
  done_.store(0, std::memory_order_relaxed);
  for (int64_t w = 0; w < count; ++w) {
    const uint64_t begin = n * w / count, end = n * (w + 1) / count;
    ranges_[w].begin_end.store(begin << 32 | end, std::memory_order_release);
  }
  // Sequentially consistent with parked_: a worker either sees this call or is seen parked.
  calls_.fetch_add(1);
  if (parked_.load() > 0) {
    std::lock_guard lock(mutex_);
    wake_.notify_all();
  }
  take_tasks(0);
  const Trace::WaitScope waiting;
  for (int spin = 0; done_.load(std::memory_order_acquire) != n; ++spin) {
    if (spin < kJoinSpins) {
      relax();
    } else {
      std::this_thread::yield();  // whoever has the task may be waiting for this core
    }
  }
}

void ComputePool::run(int64_t i, int worker) {
  (*task_)(i, worker);
  done_.fetch_add(1, std::memory_order_release);
}

// A call cannot end before a task that was taken is done, so task_ is that task's own even if the
// range was read during the call before.
void ComputePool::take_tasks(int worker) {
  for (int64_t i; (i = ranges_[worker].take_first()) >= 0;) run(i, worker);
  for (int other = 1; other < threads(); ++other) {
    Range& victim = ranges_[(worker + other) % threads()];
    for (int64_t i; (i = victim.take_last()) >= 0;) run(i, worker);
  }
}

void ComputePool::work(int worker) {
  uint64_t seen = 0;
  while (!stopping_.load()) {
    if (worker >= in_use_.load()) {
      std::unique_lock lock(mutex_);
      join_in_.wait(lock, [&] { return stopping_.load() || worker < in_use_.load(); });
      seen = calls_.load() - 1;  // a call may be under way: there is no harm in looking
      continue;
    }
    for (int spin = 0; calls_.load(std::memory_order_acquire) == seen && spin < kSpins; ++spin)
      relax();
    if (calls_.load(std::memory_order_acquire) == seen) {
      std::unique_lock lock(mutex_);
      parked_.fetch_add(1);
      wake_.wait(lock, [&] {
        return stopping_.load() || calls_.load() != seen || worker >= in_use_.load();
      });
      parked_.fetch_sub(1);
    }
    seen = calls_.load(std::memory_order_acquire);
    take_tasks(worker);
  }
}

}  // namespace godwit
