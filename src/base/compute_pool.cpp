#include "base/compute_pool.h"

#include "base/check.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace godwit {
namespace {

// Long enough to bridge the gap between two kernels of one step, short enough not to burn an idle
// machine.
constexpr int kSpins = 20000;

inline void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

ComputePool::ComputePool(int threads) {
  CHECK(threads >= 1);
  workers_.reserve(threads - 1);
  for (int worker = 1; worker < threads; ++worker)
    workers_.emplace_back([this, worker] { work(worker); });
}

ComputePool::~ComputePool() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    generation_.fetch_add(1);
  }
  wake_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void ComputePool::parallel_for(int64_t n, FunctionRef<void(int64_t, int)> task) {
  if (n <= 0) return;
  if (workers_.empty() || n == 1) {
    for (int64_t i = 0; i < n; ++i) task(i, 0);
    return;
  }
  n_ = n;
  task_ = &task;
  next_.store(0, std::memory_order_relaxed);
  running_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  generation_.fetch_add(
      1);  // sequentially consistent with parked_: a worker either sees this or is seen parked
  if (parked_.load() > 0) {
    std::lock_guard lock(mutex_);
    wake_.notify_all();
  }
  take_tasks(0);
  while (running_.load(std::memory_order_acquire) != 0) relax();
}

void ComputePool::take_tasks(int worker) {
  for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < n_;) (*task_)(i, worker);
}

void ComputePool::work(int worker) {
  for (uint32_t seen = 0;;) {
    for (int spin = 0; generation_.load(std::memory_order_acquire) == seen; ++spin) {
      if (spin < kSpins) {
        relax();
        continue;
      }
      std::unique_lock lock(mutex_);
      parked_.fetch_add(1);
      wake_.wait(lock, [&] { return generation_.load() != seen; });
      parked_.fetch_sub(1);
    }
    ++seen;
    if (stopping_) return;
    take_tasks(worker);
    running_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace godwit
