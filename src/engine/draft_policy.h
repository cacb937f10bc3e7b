// DraftPolicy: how many tokens to draft. Pure: it knows what was accepted and what steps took.
//
//   c[p]   how often draft p is right if those before it were: a running mean
//   a step with k drafts gives 1 + c1 + c1 c2 + … + c1⋯ck tokens of this sequence and takes
//   time(rows + k) + k · draft; the k that gives most tokens a second is taken
//
// Where that is none, one draft is tried now and then: after 16 steps, and after each try that
// failed twice as many, up to 512. So text that cannot be foreseen costs next to nothing. And where
// drafts pay, a step in 128 goes without, so that what it would take stays known.
#pragma once

#include <array>
#include <cstdint>

#include "engine/engine.h"

namespace godwit::engine {

constexpr int64_t kDraftRows = 8;  // of a step; with more, each costs as much as a step's own

// Of all that was seen while that is little, then of the newest.
struct RunningMean {
  double value = 0;
  int seen = 0;
  void add(double x);
};

// Seconds that steps took, by their rows, and one draft of every sequence that drafts: running
// means, because contexts grow and machines have other work.
class DraftCosts {
 public:
  void add_step(int64_t rows, double seconds);
  void add_draft(double seconds) { draft_.add(seconds); }
  bool knows(int64_t rows) const { return rows <= kDraftRows && steps_[rows].seen >= kEnough; }
  double step(int64_t rows) const;  // a guess where nothing was measured
  double draft() const;

 private:
  double nearest(int64_t rows) const;  // from the measured number of rows that is nearest
  static constexpr int kEnough = 4;    // the first are slow
  std::array<RunningMean, kDraftRows + 1> steps_{};
  RunningMean draft_;
};

class DraftPolicy {
 public:
  // Drafts for the next step, at most `most`, in a batch that has `rows` rows without them.
  int choose(const DraftCosts& costs, int64_t rows, int most);
  void record(int drafted, int accepted);

 private:
  // A guess that counts as two that were seen.
  std::array<RunningMean, kMaxDrafts> right_{{{0.7, 2}, {0.6, 2}, {0.6, 2}, {0.6, 2}}};
  bool pays_ = true, tries_ = false;  // at the last choice
  int64_t wait_ = kFirstWait;         // steps before the next try
  int64_t since_try_ = 0, steps_ = 0;
  static constexpr int64_t kFirstWait = 16, kLongestWait = 512;
};

}  // namespace godwit::engine
