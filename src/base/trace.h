// Trace: how long each named part of a computation took, and how much it multiplied and read.
//
//   Trace trace;
//   Trace::Recording recording(trace);     from here on, scopes of this program are recorded
//   { TraceScope scope("mlp"); … }         anywhere below
//
// Off (no recording), a scope is one load and one branch. Scopes open and close on one thread, the
// one that drives the compute pool; names must outlive the trace (literals, names of layers).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace godwit {

class Trace {
 public:
  struct Event {
    const char* name;
    int parent;              // its index, −1: none
    int64_t begin, end = 0;  // nanoseconds since the trace began
    int64_t waited = 0;      // of these, for the slowest thread
    int64_t products = 0, bytes = 0;
  };

  Trace();
  static Trace* active() { return active_; }

  class Recording {
   public:
    explicit Recording(Trace& trace) { active_ = &trace; }
    ~Recording() { active_ = nullptr; }
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;
  };

  void open(const char* name);
  void close();
  // Credited to the innermost open scope.
  void add_work(int64_t products, int64_t bytes);
  void add_wait(int64_t nanoseconds);

  // The time from here to its end was spent waiting for other threads.
  class WaitScope {
   public:
    WaitScope() : start_(active_ ? active_->now() : 0) {}
    ~WaitScope() {
      if (active_) [[unlikely]]
        active_->add_wait(active_->now() - start_);
    }
    WaitScope(const WaitScope&) = delete;
    WaitScope& operator=(const WaitScope&) = delete;

   private:
    int64_t start_;
  };

  const std::vector<Event>& events() const { return events_; }
  // The events of another trace after these.
  void append(const Trace& other);

  // All events of one name; only those that have no scope inside them. The longest first.
  struct Row {
    std::string name;
    int64_t calls = 0;
    double seconds = 0, waited = 0;
    int64_t products = 0, bytes = 0;
  };
  std::vector<Row> table() const;
  // For chrome://tracing and ui.perfetto.dev.
  std::string chrome_json() const;

 private:
  int64_t now() const;

  static inline Trace* active_ = nullptr;
  int64_t start_;
  int current_ = -1;
  std::vector<Event> events_;
};

class TraceScope {
 public:
  explicit TraceScope(const char* name) : trace_(Trace::active()) {
    if (trace_) [[unlikely]]
      trace_->open(name);
  }
  ~TraceScope() {
    if (trace_) [[unlikely]]
      trace_->close();
  }
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

 private:
  Trace* trace_;
};

}  // namespace godwit
