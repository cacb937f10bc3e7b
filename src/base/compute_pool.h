// ComputePool: the threads that crunch numbers. One caller at a time (the engine thread), which
// takes part.
//
// parallel_for splits [0, n) into tasks that workers take in turn from one counter, so a slow core
// takes fewer. Nothing about results may depend on which worker runs a task: kernels are written so
// that the answer has the same bits for any number of threads. No allocation in parallel_for.
// Workers spin briefly, then park. Only tasks are waited for, never a worker that found no core to
// run on.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "base/function_ref.h"

namespace godwit {

class ComputePool {
 public:
  // `threads` counts the caller: 1 means no further thread is started.
  explicit ComputePool(int threads);
  ~ComputePool();
  ComputePool(const ComputePool&) = delete;
  ComputePool& operator=(const ComputePool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls task(i, worker) for i in [0, n), worker in [0, threads()); returns when all are done.
  void parallel_for(int64_t n, FunctionRef<void(int64_t i, int worker)> task);

 private:
  void work(int worker);
  void take_tasks(int worker);

  std::vector<std::thread> workers_;
  alignas(64) std::atomic<int64_t> left_{0};  // tasks that nobody has taken yet
  alignas(64) std::atomic<int64_t> done_{0};  // tasks that are finished
  int64_t n_ = 0;
  const FunctionRef<void(int64_t, int)>* task_ = nullptr;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<int> parked_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace godwit
