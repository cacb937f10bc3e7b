// EventChannel: the way of one request's events from the engine thread to whoever asked.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>

#include "engine/engine.h"

namespace godwit::engine {

class EventChannel : public Generation {
 public:
  std::optional<Event> next() override {
    std::unique_lock lock(mutex_);
    added_.wait(lock, [&] { return !events_.empty() || taken_last_; });
    return take();
  }
  std::optional<Event> poll() override {
    const std::lock_guard lock(mutex_);
    return take();
  }
  void on_event(std::function<void()> notify) override {
    const std::lock_guard lock(mutex_);
    notify_ = std::move(notify);
    if (!events_.empty() && notify_) notify_();
  }
  void cancel() override {
    cancelled_.store(true);
    if (wake_) wake_();
  }

  bool cancelled() const { return cancelled_.load(); }
  const std::atomic<bool>& cancel_flag() const { return cancelled_; }
  // How cancel() tells the engine; set before the channel is given away.
  void set_wake(std::function<void()> wake) { wake_ = std::move(wake); }
  // Nothing comes after kDone or kError.
  void push(Event event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
    if (notify_) notify_();
    added_.notify_all();
  }
  // The two ends that carry no answer.
  void push_error(Error error) {
    Event event;
    event.kind = Event::Kind::kError;
    event.finish = FinishReason::kError;
    event.error = std::move(error);
    push(std::move(event));
  }
  void push_cancelled() {
    Event event;
    event.kind = Event::Kind::kDone;
    event.finish = FinishReason::kCancelled;
    push(std::move(event));
  }

 private:
  std::optional<Event> take() {
    if (events_.empty()) return std::nullopt;
    Event event = std::move(events_.front());
    events_.pop_front();
    taken_last_ = event.kind == Event::Kind::kDone || event.kind == Event::Kind::kError;
    return event;
  }

  std::mutex mutex_;
  std::condition_variable added_;
  std::deque<Event> events_;
  bool taken_last_ = false;
  std::function<void()> notify_, wake_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace godwit::engine
