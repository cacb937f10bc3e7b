#include "engine/draft_policy.h"

#include <algorithm>
#include <utility>

namespace godwit::engine {
namespace {

constexpr double kNewest = 1.0 / 16;  // its weight in a running mean
constexpr double kOneMoreRow = 0.08;  // of a step, until it was measured
constexpr double kOneDraft = 0.25;    // the same
constexpr double kHysteresis = 1.01;  // a draft more must give a little more
constexpr int64_t kPlainStep = 128;
constexpr int64_t kLookFurther = 64;  // steps after which one draft more than pays is tried

}  // namespace

void RunningMean::add(double x) {
  seen = std::min(seen + 1, 1 << 20);
  value += std::max(kNewest, 1.0 / seen) * (x - value);
}

void DraftCosts::add_step(int64_t rows, double seconds) {
  if (rows >= 1 && rows <= kDraftRows) steps_[rows].add(seconds);
}

double DraftCosts::step(int64_t rows) const {
  rows = std::clamp<int64_t>(rows, 1, kDraftRows);
  double seconds = nearest(rows);
  // More rows never take less: the first steps, which are slow, have one.
  for (int64_t more = rows + 1; more <= kDraftRows; ++more)
    if (steps_[more].seen > 0) seconds = std::min(seconds, steps_[more].value);
  return seconds;
}

double DraftCosts::nearest(int64_t rows) const {
  for (int64_t distance = 0; distance < kDraftRows; ++distance) {
    for (const int64_t known : {rows - distance, rows + distance}) {
      if (known < 1 || known > kDraftRows || steps_[known].seen == 0) continue;
      const auto scale = [](int64_t n) { return 1 + kOneMoreRow * static_cast<double>(n - 1); };
      return steps_[known].value * scale(rows) / scale(known);
    }
  }
  return 1 + kOneMoreRow * static_cast<double>(rows - 1);
}

double DraftCosts::draft() const { return draft_.seen > 0 ? draft_.value : kOneDraft * step(1); }

int DraftPolicy::choose(const DraftCosts& costs, int64_t rows, int most) {
  most = std::clamp(most, 0, kMaxDrafts);
  if (most == 0 || !costs.knows(rows) || ++steps_ % kPlainStep == 0) return 0;
  int best = 0;
  double best_rate = static_cast<double>(rows) / costs.step(rows) * kHysteresis;
  double tokens = static_cast<double>(rows), chance = 1;
  for (int k = 1; k <= most; ++k) {
    chance *= right_[k - 1].value;
    tokens += chance;
    const double rate = tokens / (costs.step(rows + k) + k * costs.draft());
    if (rate > best_rate) best = k, best_rate = rate;
  }
  ++since_try_;
  if (std::exchange(pays_, best > 0) && best == 0) wait_ = kFirstWait, since_try_ = 0;
  tries_ = since_try_ >= (best > 0 ? kLookFurther : wait_);
  if (tries_) since_try_ = 0;
  return tries_ ? std::min(best + 1, most) : best;
}

void DraftPolicy::record(int drafted, int accepted) {
  for (int p = 0; p < std::min(drafted, accepted + 1); ++p) right_[p].add(p < accepted ? 1 : 0);
  if (tries_ && !pays_) wait_ = accepted > 0 ? kFirstWait : std::min(2 * wait_, kLongestWait);
}

}  // namespace godwit::engine
