// Workers: the threads that run handlers. So many work at the same time; one that only waits, for
// a model to load, is not counted: another takes its place, so that requests for a model that is
// loaded are answered meanwhile.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace godwit::server {

class Workers {
 public:
  explicit Workers(int at_once);
  ~Workers() { join(); }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  void post(std::function<void()> task);  // must not throw
  void join();                            // when all that was posted is done

  // While it lives the calling thread counts as waiting. Nothing if it is no worker, or if too many
  // wait: then is_refused().
  class Wait {
   public:
    Wait();
    ~Wait();
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;
    bool is_refused() const { return is_refused_; }

   private:
    Workers* workers_ = nullptr;
    bool is_refused_ = false;
  };

 private:
  bool begin_wait();  // false: too many do
  void end_wait();
  void run();

  const size_t at_once_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  std::vector<std::thread> threads_;
  size_t working_ = 0, waiting_ = 0;
  bool done_ = false;
};

}  // namespace godwit::server
