// Scheduler: which sequences compute how many tokens in the next step. Pure: it knows lengths and
// counts, no model, no memory.
//
//   waiting (by arrival) ──admit()──► running ──plan()──► rows of the next forward()
//        ▲                              │
//        └───────── preempted ──────────┘   the youngest, when pages run out
//
// A sequence has `length` tokens known and `computed` tokens in memory. One that lacks few tokens
// (a decode) gets them in every step. What is left of the step is prefill: at least half goes to
// the oldest sequence that prefills, the rest to those with the fewest tokens left. So short
// prompts pass long ones, and still no one waits for ever: the oldest sequence is never preempted
// and moves in every step, and everyone becomes the oldest (test: simulation, with the bound).
//
// Chunks end at multiples of `grain` after the last stop (a place where a snapshot is due and the
// recurrent layers pause), or at one, whatever ran beside: so the recurrence is always cut at the
// same places, and gives the same bits. Only a prompt that goes on from positions taken back inside
// the prompt before it may have its last rows cut otherwise, and then agrees to f32 rounding.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace godwit::engine {

struct SchedulerLimits {
  int64_t prefill_tokens = 512;  // of one step
  int64_t mixed_tokens = 128;    // the same beside running decodes, whose next token it delays
  int max_sequences = 8;
  int page_tokens = 64;
  int64_t grain = 64;
  int64_t decode_tokens = 8;  // a sequence that lacks at most so many is not prefilling
};

class Scheduler {
 public:
  using Id = uint64_t;
  struct Share {
    Id id;
    int64_t count;
  };
  struct Step {
    std::vector<Share> work;    // in order of arrival; empty: nothing to do, or `preempt`
    std::optional<Id> preempt;  // take this one's memory away (preempted()), then plan again
  };

  explicit Scheduler(const SchedulerLimits& limits) : limits_(limits) {}

  // A new sequence. `stops`: rising; `cuts`, rising and among them: a chunk must end there.
  void add(Id id, int64_t length, std::vector<int64_t> stops, std::vector<int64_t> cuts = {});
  void remove(Id id);  // done or cancelled, waiting or running

  // The next waiting sequence, if there is room for it: it is running now, and gets shares once the
  // caller has said by started() how much of it is known.
  std::optional<Id> admit(int64_t pages_free);
  std::vector<Id> to_start() const;  // running and not started, by arrival
  void started(Id id, int64_t computed);

  Step plan(int64_t pages_free) const;
  void computed(Id id, int64_t tokens);  // a share was done
  void append(Id id, int64_t tokens);    // new tokens at the end, to be computed
  void preempted(Id id);  // memory gone: it waits again, before all that arrived later
  // One more stop. False: it is passed, or not on the grain; nothing has changed.
  bool add_stop(Id id, int64_t position);
  // The multiple of `grain` at or before `position` at which a stop may be added.
  int64_t on_grain(Id id, int64_t position) const;

  int64_t waiting() const { return static_cast<int64_t>(waiting_.size()); }
  int64_t running() const { return static_cast<int64_t>(running_.size()); }

 private:
  struct Sequence {
    Id id;
    uint64_t arrival;
    int64_t length, computed = 0;
    int64_t segment = 0;  // where the present run between stops began
    bool is_started = false;
    std::vector<int64_t> stops, cuts;
    // Where the run that holds `position` begins.
    int64_t segment_of(int64_t position) const;
    int64_t left() const { return length - computed; }
  };
  Sequence& find(Id id);
  const Sequence& find(Id id) const { return const_cast<Scheduler*>(this)->find(id); }
  int64_t pages_of(int64_t tokens) const {
    return (tokens + limits_.page_tokens - 1) / limits_.page_tokens;
  }
  int64_t chunk(const Sequence& sequence, int64_t budget) const;
  std::vector<Share> divide() const;

  SchedulerLimits limits_;
  uint64_t arrivals_ = 0;
  std::vector<Sequence> waiting_, running_;  // both by arrival
};

}  // namespace godwit::engine
