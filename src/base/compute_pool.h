// ComputePool: the threads that crunch numbers. One caller at a time (the engine thread), which
// takes part.
//
// parallel_for cuts [0, n) into one range of tasks a worker:
//
//   worker 0: [0 → … ]   worker 1: [ → … ]   …      each takes its own from the front,
//                  ↖ steals ↗                       then the others' from the back
//
// so that neighbouring tasks, and the memory that they read, follow each other on one core, and a
// slow core does fewer. Nothing about results may depend on which worker runs a task: kernels are
// written so that the answer has the same bits for any number of threads. No allocation in
// parallel_for. Workers spin briefly, then park. Only tasks are waited for, never a worker that
// found no core to run on.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
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
  // The calls that follow are shared by so many threads, 1 to threads(); the others sleep.
  void use(int threads);

  // Calls task(i, worker) for i in [0, n), worker in [0, threads()); returns when all are done.
  void parallel_for(int64_t n, FunctionRef<void(int64_t i, int worker)> task);

 private:
  // Tasks [begin, end) that nobody has taken yet: both in one word, so that the owner and a thief
  // never take the same one.
  struct alignas(64) Range {
    std::atomic<uint64_t> begin_end{0};  // begin in the upper 32 bits
    int64_t take_first();                // −1: none is left
    int64_t take_last();
  };

  void work(int worker);
  void take_tasks(int worker);
  void run(int64_t i, int worker);

  std::vector<std::thread> workers_;
  std::unique_ptr<Range[]> ranges_;             // [threads]
  alignas(64) std::atomic<uint64_t> calls_{0};  // of parallel_for: workers wait for the next
  alignas(64) std::atomic<int64_t> done_{0};    // tasks that are finished
  const FunctionRef<void(int64_t, int)>* task_ = nullptr;
  std::atomic<int> in_use_;  // workers below this number take part
  std::mutex mutex_;
  std::condition_variable wake_, join_in_;
  std::atomic<int> parked_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace godwit
