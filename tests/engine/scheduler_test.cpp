// Simulation of the scheduler: thousands of random arrivals, lengths and cancellations over a pool
// of pages that is too small.
//
// After each step: no more rows than allowed, no more pages than there are, chunks cut where they
// must be, and the oldest sequence moved. From the last follows the bound that is checked at each
// end: a request with work w (its own chunks and tokens) is done at most Σ w of all requests that
// arrived before it and were not done, and its own, steps after it arrived.
#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace godwit::engine {
namespace {

constexpr int64_t kPages = 40, kContext = 1600;  // 25 pages: one context always fits

struct Simulated {
  int64_t prompt, answer, length, computed = 0, pages = 0;
  std::vector<int64_t> stops, cuts;  // cuts are among the stops
  int64_t arrived, allowed = 0;
  int preempted = 0;
  bool started = false;
  // Until an older one that is running has computed so much, it is not started.
  Scheduler::Id leader = 0;
  int64_t until = 0;
};

class Simulation {
 public:
  explicit Simulation(uint32_t seed) : random_(seed) {}

  void arrive() {
    const Scheduler::Id id = next_++;
    Simulated s;
    const bool is_long = random_() % 5 == 0;
    s.prompt = 1 + static_cast<int64_t>(random_() % (is_long ? 1400 : 120));
    s.answer = 1 + static_cast<int64_t>(random_() % (random_() % 4 ? 20 : 150));
    s.length = s.prompt;
    for (int64_t at = 1 + static_cast<int64_t>(random_() % 200); at < s.prompt;
         at += 1 + static_cast<int64_t>(random_() % 300)) {
      s.stops.push_back(at);
      if (random_() % 4 == 0) s.cuts.push_back(at);
    }
    if (!all_.empty() && random_() % 3 == 0) {
      const auto at = std::next(all_.begin(), static_cast<int64_t>(random_() % all_.size()));
      s.leader = at->first;
      s.until = std::min(s.prompt, at->second.prompt) - 1;
    }
    s.arrived = step_;
    scheduler_.add(id, s.length, s.stops, s.cuts);
    all_[id] = s;
    // The bound: everyone before it, and itself, one after the other.
    for (const auto& [other, o] : all_) all_[id].allowed += work(o);
  }
  // Steps that a sequence needs when it is the oldest: it gets at least a grain, or what is left up
  // to a stop.
  int64_t work(const Simulated& s) const {
    const auto prompt_steps =
        (s.prompt + s.answer) / limits_.grain + 2 + 2 * static_cast<int64_t>(s.stops.size());
    return prompt_steps + s.answer + 1;
  }

  void cancel_one() {
    if (all_.empty()) return;
    auto at = all_.begin();
    std::advance(at, static_cast<int64_t>(random_() % all_.size()));
    scheduler_.remove(at->first);
    pages_ -= at->second.pages;
    all_.erase(at);
  }

  void start_what_may() {
    for (Scheduler::Id id : scheduler_.to_start()) {
      Simulated& s = all_.at(id);
      const auto leader = all_.find(s.leader);
      if (leader != all_.end() && leader->second.started && leader->second.computed < s.until) {
        ++held_;
        continue;
      }
      // Sometimes a beginning is known.
      const int64_t known =
          !s.stops.empty() && random_() % 3 == 0 ? s.stops[random_() % s.stops.size()] : 0;
      const int64_t pages = (known + 63) / 64;
      s.computed = pages <= kPages - pages_ ? known : 0;
      s.pages = (s.computed + 63) / 64;
      pages_ += s.pages;
      scheduler_.started(id, s.computed);
      s.started = true;
    }
  }

  void step() {
    ++step_;
    while (scheduler_.admit(kPages - pages_)) start_what_may();
    start_what_may();
    Scheduler::Step plan = scheduler_.plan(kPages - pages_);
    while (plan.preempt) {
      Simulated& s = all_.at(*plan.preempt);
      for (const auto& [id, other] : all_) {
        ASSERT_TRUE(id <= *plan.preempt || other.pages == 0) << "the youngest is preempted";
      }
      pages_ -= s.pages;
      s.pages = s.computed = 0;
      s.started = false;
      ++s.preempted;
      ++preemptions_;
      scheduler_.preempted(*plan.preempt);
      plan = scheduler_.plan(kPages - pages_);
    }
    check(plan);
    for (const auto& share : plan.work) carry_out(share);
  }

  void check(const Scheduler::Step& plan) {
    if (all_.empty()) {
      ASSERT_TRUE(plan.work.empty());
      return;
    }
    ASSERT_FALSE(plan.work.empty());
    ASSERT_EQ(plan.work.front().id, all_.begin()->first) << "the oldest moves in every step";
    std::set<Scheduler::Id> seen;
    int64_t rows = 0, prefill = 0;
    for (const auto& share : plan.work) {
      ASSERT_TRUE(seen.insert(share.id).second);
      const Simulated& s = all_.at(share.id);
      ASSERT_GT(share.count, 0);
      ASSERT_LE(s.computed + share.count, s.length);
      rows += share.count;
      if (s.length - s.computed > limits_.decode_tokens) prefill += share.count;
      for (int64_t cut : s.cuts)
        ASSERT_FALSE(s.computed < cut && cut < s.computed + share.count) << "a cut was passed";
    }
    ASSERT_LE(prefill, limits_.prefill_tokens);
    ASSERT_LE(rows, limits_.prefill_tokens + limits_.decode_tokens * limits_.max_sequences);
    ASSERT_LE(static_cast<int>(seen.size()), limits_.max_sequences);
  }

  void carry_out(const Scheduler::Share& share) {
    Simulated& s = all_.at(share.id);
    scheduler_.computed(share.id, share.count);
    s.computed += share.count;
    const int64_t pages = (s.computed + 63) / 64;
    pages_ += pages - s.pages;
    s.pages = pages;
    ASSERT_LE(pages_, kPages);
    if (s.computed < s.length) return;
    const bool forced = random_() % 50 == 0;  // several tokens at once
    const int64_t more = std::min<int64_t>(forced ? 4 : 1, s.prompt + s.answer - s.length);
    if (more <= 0) {
      ASSERT_LE(step_ - s.arrived, s.allowed) << "waited longer than the bound";
      longest_ = std::max(longest_,
                          static_cast<double>(step_ - s.arrived) / static_cast<double>(s.allowed));
      ++done_;
      pages_ -= s.pages;
      scheduler_.remove(share.id);
      all_.erase(share.id);
      return;
    }
    s.length += more;
    scheduler_.append(share.id, more);
  }

  void run(int arrivals) {
    int arrived = 0;
    while (arrived < arrivals || !all_.empty()) {
      // Bursts and lulls.
      const bool busy = step_ / 400 % 2 == 0;
      if (arrived < arrivals && random_() % (busy ? 6 : 40) == 0) arrive(), ++arrived;
      if (random_() % 100 == 0) cancel_one();
      ASSERT_NO_FATAL_FAILURE(step());
      ASSERT_LT(step_, 2'000'000);
    }
    EXPECT_EQ(pages_, 0) << "pages are all given back";
    EXPECT_EQ(scheduler_.running() + scheduler_.waiting(), 0);
    EXPECT_GT(done_, arrivals * 3 / 5);
    EXPECT_GT(preemptions_, 0);
    EXPECT_GT(held_, 0);
    testing::Test::RecordProperty("steps", static_cast<int>(step_));
    testing::Test::RecordProperty("longest_wait_over_bound", std::to_string(longest_));
  }

 private:
  const SchedulerLimits limits_{.prefill_tokens = 256, .mixed_tokens = 128, .max_sequences = 6};
  Scheduler scheduler_{limits_};
  std::map<Scheduler::Id, Simulated> all_;  // by arrival
  std::mt19937 random_;
  Scheduler::Id next_ = 1;
  int64_t step_ = 0, pages_ = 0;
  int done_ = 0, preemptions_ = 0, held_ = 0;
  double longest_ = 0;
};

TEST(Scheduler, ThousandsOfRandomRequestsAreAllServedWithinTheBound) {
  for (uint32_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    ASSERT_NO_FATAL_FAILURE(Simulation(seed).run(1000));
  }
}

// The same prompt is cut at the same places whatever runs beside it.
TEST(Scheduler, ChunksDoNotDependOnCompany) {
  const SchedulerLimits limits{.prefill_tokens = 256, .mixed_tokens = 128, .max_sequences = 6};
  const std::vector<int64_t> stops = {70, 100, 700, 1100};
  const auto cuts = [&](int company, uint32_t seed) {
    std::mt19937 random(seed);
    Scheduler scheduler(limits);
    std::map<Scheduler::Id, int64_t> computed, length;
    for (int i = 0; i < company; ++i) {
      length[1 + i] = 1 + static_cast<int64_t>(random() % 900);
      scheduler.add(1 + i, length[1 + i], {});
    }
    scheduler.add(99, 1300, stops);
    length[99] = 1300;
    std::set<int64_t> ends;
    while (computed[99] < 1300) {
      while (const auto id = scheduler.admit(10000)) scheduler.started(*id, 0), computed[*id] = 0;
      for (const auto& share : scheduler.plan(10000).work) {
        scheduler.computed(share.id, share.count);
        computed[share.id] += share.count;
        if (share.id == 99) ends.insert(computed[99]);
        if (share.id != 99 && computed[share.id] == length[share.id])
          scheduler.append(share.id, 1), ++length[share.id];
      }
    }
    return ends;
  };
  // Every end is a stop, or a multiple of 64 after the last stop.
  for (uint32_t seed = 0; seed < 40; ++seed) {
    for (int64_t end : cuts(static_cast<int>(seed % 6), seed)) {
      int64_t segment = 0;
      for (int64_t stop : stops) {
        if (stop < end) segment = stop;
      }
      const bool is_stop = std::find(stops.begin(), stops.end(), end) != stops.end() || end == 1300;
      EXPECT_TRUE(is_stop || (end - segment) % 64 == 0) << end;
    }
  }
}

TEST(Scheduler, AShortPromptPassesALongOne) {
  Scheduler scheduler({.prefill_tokens = 512, .mixed_tokens = 128});
  scheduler.add(1, 100000, {});
  scheduler.add(2, 100, {});
  while (const auto id = scheduler.admit(100000)) scheduler.started(*id, 0);
  const auto step = scheduler.plan(100000);
  ASSERT_EQ(step.work.size(), 2u);
  EXPECT_EQ(step.work[0].count, 256);
  EXPECT_EQ(step.work[1].count, 100) << "the whole of the short one in the first step";
}

TEST(Scheduler, DecodesGoOnBesideAPrefill) {
  Scheduler scheduler({.prefill_tokens = 512, .mixed_tokens = 128});
  scheduler.add(1, 10, {});
  scheduler.add(2, 5000, {});
  while (const auto id = scheduler.admit(100000)) scheduler.started(*id, 0);
  scheduler.computed(1, 10);
  for (int i = 0; i < 20; ++i) {
    scheduler.append(1, 1);
    const auto step = scheduler.plan(100000);
    ASSERT_EQ(step.work.size(), 2u);
    EXPECT_EQ(step.work[0].count, 1);
    EXPECT_EQ(step.work[1].count, 128);
    for (const auto& share : step.work) scheduler.computed(share.id, share.count);
  }
}

TEST(Scheduler, StopsCanBeAddedOnTheGrainOnly) {
  Scheduler scheduler({.prefill_tokens = 512});
  scheduler.add(1, 1000, {100});
  ASSERT_TRUE(scheduler.admit(100));
  scheduler.started(1, 0);
  EXPECT_EQ(scheduler.on_grain(1, 99), 64);
  EXPECT_EQ(scheduler.on_grain(1, 300), 292);
  EXPECT_FALSE(scheduler.add_stop(1, 300)) << "not on the grain after 100";
  EXPECT_TRUE(scheduler.add_stop(1, 64));
  EXPECT_EQ(scheduler.plan(100).work[0].count, 484) << "100 and six grains, past both stops";
}

TEST(Scheduler, ChunksEndAtCuts) {
  Scheduler scheduler({.prefill_tokens = 512});
  scheduler.add(1, 1000, {100, 150, 400}, {150});
  ASSERT_TRUE(scheduler.admit(100));
  scheduler.started(1, 0);
  EXPECT_EQ(scheduler.plan(100).work[0].count, 150);
  scheduler.computed(1, 150);
  EXPECT_EQ(scheduler.plan(100).work[0].count, 250 + 256) << "400, and four grains";
}

}  // namespace
}  // namespace godwit::engine
