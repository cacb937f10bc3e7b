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

ComputePool::ComputePool(int threads) {
  CHECK(threads >= 1);
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
  for (auto& worker : workers_) worker.join();
}

void ComputePool::parallel_for(int64_t n, FunctionRef<void(int64_t, int)> task) {
  if (n <= 0) return;
  if (workers_.empty() || n == 1) {
    for (int64_t i = 0; i < n; ++i) task(i, 0);
    return;
  }
  // Nobody reads these before the store to left_: all tasks of the last call are done.
  n_ = n;
  task_ = &task;
  done_.store(0, std::memory_order_relaxed);
  left_.store(
      n);  // sequentially consistent with parked_: a worker either sees this or is seen parked
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

// A task is taken by counting down; it then cannot be over before it is done, so n_ and task_ are
// its own.
void ComputePool::take_tasks(int worker) {
  for (int64_t left = left_.load(std::memory_order_acquire); left > 0;) {
    if (!left_.compare_exchange_weak(left, left - 1, std::memory_order_acq_rel,
                                     std::memory_order_acquire))
      continue;
    (*task_)(n_ - left, worker);
    done_.fetch_add(1, std::memory_order_release);
    left = left_.load(std::memory_order_acquire);
  }
}

void ComputePool::work(int worker) {
  while (!stopping_.load()) {
    for (int spin = 0; left_.load(std::memory_order_acquire) == 0 && spin < kSpins; ++spin) relax();
    if (left_.load(std::memory_order_acquire) == 0) {
      std::unique_lock lock(mutex_);
      parked_.fetch_add(1);
      wake_.wait(lock, [&] { return stopping_.load() || left_.load() != 0; });
      parked_.fetch_sub(1);
    }
    take_tasks(worker);
  }
}

}  // namespace godwit
