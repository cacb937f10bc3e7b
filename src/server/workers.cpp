#include "server/workers.h"

#include <algorithm>
#include <system_error>
#include <utility>

namespace godwit::server {
namespace {

constexpr size_t kMostWaiting = 64;

thread_local Workers* here = nullptr;  // of a worker thread

}  // namespace

Workers::Workers(int at_once) : at_once_(static_cast<size_t>(std::max(1, at_once))) {
  for (size_t i = 0; i < at_once_; ++i) threads_.emplace_back([this] { run(); });
}

void Workers::post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  changed_.notify_one();
}

void Workers::join() {
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
    done_ = true;  // no thread is started from here on
    threads.swap(threads_);
  }
  changed_.notify_all();
  for (std::thread& thread : threads) thread.join();
}

void Workers::run() {
  here = this;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return done_ || (!tasks_.empty() && working_ < at_once_); });
    if (tasks_.empty()) return;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    ++working_;
    lock.unlock();
    task();
    task = nullptr;
    lock.lock();
    --working_;
  }
}

bool Workers::begin_wait() {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_ == kMostWaiting) return false;
    if (!done_ && threads_.size() <= at_once_ + waiting_) {
      try {
        threads_.emplace_back([this] { run(); });
      } catch (const std::system_error&) {  // no more threads here: the others have to do
      }
    }
    ++waiting_;
    --working_;
  }
  changed_.notify_one();
  return true;
}

// More may work for a moment: who has waited goes on at once.
void Workers::end_wait() {
  const std::lock_guard lock(mutex_);
  --waiting_;
  ++working_;
}

Workers::Wait::Wait() {
  if (!here) return;
  if (here->begin_wait())
    workers_ = here;
  else
    is_refused_ = true;
}

Workers::Wait::~Wait() {
  if (workers_) workers_->end_wait();
}

}  // namespace godwit::server
