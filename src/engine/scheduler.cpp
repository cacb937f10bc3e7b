#include "engine/scheduler.h"

#include <algorithm>

#include "base/check.h"

namespace godwit::engine {

void Scheduler::add(Id id, int64_t length, std::vector<int64_t> stops, std::vector<int64_t> cuts) {
  CHECK(length > 0 && std::includes(stops.begin(), stops.end(), cuts.begin(), cuts.end()));
  waiting_.push_back({.id = id,
                      .arrival = arrivals_++,
                      .length = length,
                      .stops = std::move(stops),
                      .cuts = std::move(cuts)});
}

int64_t Scheduler::Sequence::segment_of(int64_t position) const {
  const auto after = std::upper_bound(stops.begin(), stops.end(), position);
  return after == stops.begin() ? segment : std::max(segment, *std::prev(after));
}

void Scheduler::remove(Id id) {
  const auto same = [id](const Sequence& s) { return s.id == id; };
  CHECK(std::erase_if(waiting_, same) + std::erase_if(running_, same) == 1);
}

Scheduler::Sequence& Scheduler::find(Id id) {
  const auto at = std::find_if(running_.begin(), running_.end(),
                               [id](const Sequence& s) { return s.id == id; });
  CHECK_MSG(at != running_.end(), "the sequence is not running");
  return *at;
}

std::optional<Scheduler::Id> Scheduler::admit(int64_t pages_free) {
  if (waiting_.empty() || running() >= limits_.max_sequences) return std::nullopt;
  Sequence& next = waiting_.front();
  // Room for all that it knows, and for those running to go on by a page each: else it would be
  // preempted at once.
  if (!running_.empty() && pages_of(next.length) + running() + 1 > pages_free) return std::nullopt;
  const auto place = std::find_if(running_.begin(), running_.end(),
                                  [&](const Sequence& s) { return s.arrival > next.arrival; });
  const Id id = next.id;
  running_.insert(place, std::move(next));
  waiting_.erase(waiting_.begin());
  return id;
}

std::vector<Scheduler::Id> Scheduler::to_start() const {
  std::vector<Id> ids;
  for (const Sequence& sequence : running_) {
    if (!sequence.is_started) ids.push_back(sequence.id);
  }
  return ids;
}

void Scheduler::started(Id id, int64_t computed) {
  Sequence& sequence = find(id);
  sequence.is_started = true;
  CHECK(computed >= 0 && computed < sequence.length);
  sequence.computed = sequence.segment = computed;
}

void Scheduler::computed(Id id, int64_t tokens) {
  Sequence& sequence = find(id);
  CHECK(tokens > 0 && tokens <= sequence.left());
  sequence.computed += tokens;
  sequence.segment = sequence.segment_of(sequence.computed);
}

void Scheduler::append(Id id, int64_t tokens) { find(id).length += tokens; }

void Scheduler::preempted(Id id) {
  Sequence sequence = find(id);
  std::erase_if(running_, [id](const Sequence& s) { return s.id == id; });
  sequence.computed = sequence.segment = 0;
  sequence.is_started = false;
  const auto place = std::find_if(waiting_.begin(), waiting_.end(),
                                  [&](const Sequence& s) { return s.arrival > sequence.arrival; });
  waiting_.insert(place, std::move(sequence));
}

int64_t Scheduler::on_grain(Id id, int64_t position) const {
  const int64_t start = find(id).segment_of(position);
  return start + (position - start) / limits_.grain * limits_.grain;
}

bool Scheduler::add_stop(Id id, int64_t position) {
  Sequence& sequence = find(id);
  if (position <= sequence.computed || position >= sequence.length ||
      position != on_grain(id, position))
    return false;
  const auto place = std::lower_bound(sequence.stops.begin(), sequence.stops.end(), position);
  if (place == sequence.stops.end() || *place != position) sequence.stops.insert(place, position);
  return true;
}

// Tokens that the sequence may compute with so many rows.
int64_t Scheduler::chunk(const Sequence& sequence, int64_t budget) const {
  const auto cut = std::upper_bound(sequence.cuts.begin(), sequence.cuts.end(), sequence.computed);
  const int64_t end =
      cut == sequence.cuts.end() ? sequence.length : std::min(*cut, sequence.length);
  const int64_t left = end - sequence.computed;
  if (left <= budget) return left;
  const int64_t most = sequence.computed + budget, start = sequence.segment_of(most);
  return std::max<int64_t>(
      0, start + (most - start) / limits_.grain * limits_.grain - sequence.computed);
}

// Shares in order of arrival, as if there were pages enough.
std::vector<Scheduler::Share> Scheduler::divide() const {
  std::vector<Share> shares(running_.size());
  std::vector<size_t> prefilling;
  bool decoding = false;
  for (size_t i = 0; i < running_.size(); ++i) {
    const Sequence& sequence = running_[i];
    shares[i] = {sequence.id, 0};
    // Waits for what it begins with, or for its next token.
    if (!sequence.is_started || sequence.left() == 0) continue;
    if (sequence.left() <= limits_.decode_tokens) {
      shares[i].count = chunk(sequence, sequence.left());
      decoding = true;
    } else {
      prefilling.push_back(i);
    }
  }
  if (prefilling.empty()) return shares;
  int64_t budget =
      decoding ? std::min(limits_.mixed_tokens, limits_.prefill_tokens) : limits_.prefill_tokens;
  const size_t oldest = prefilling.front();
  const int64_t half =
      prefilling.size() == 1 ? budget : std::max(budget / 2, std::min(budget, limits_.grain));
  shares[oldest].count = chunk(running_[oldest], half);
  budget -= shares[oldest].count;
  std::stable_sort(prefilling.begin() + 1, prefilling.end(),
                   [&](size_t a, size_t b) { return running_[a].left() < running_[b].left(); });
  for (auto i = prefilling.begin() + 1; i != prefilling.end() && budget > 0; ++i) {
    shares[*i].count = chunk(running_[*i], budget);
    budget -= shares[*i].count;
  }
  return shares;
}

Scheduler::Step Scheduler::plan(int64_t pages_free) const {
  Step step;
  std::vector<Share> shares = divide();
  // In order of arrival, as long as there are pages.
  bool lacking = false;  // someone older than the youngest
  for (size_t i = 0; i < shares.size(); ++i) {
    if (shares[i].count == 0) continue;
    const Sequence& sequence = running_[i];
    const int64_t pages =
        pages_of(sequence.computed + shares[i].count) - pages_of(sequence.computed);
    if (pages > pages_free) {
      lacking = lacking || i + 1 < shares.size();
      continue;
    }
    pages_free -= pages;
    step.work.push_back(shares[i]);
  }
  // The youngest pays when someone older cannot go on. If only itself cannot, it waits in its
  // place. The oldest alone always fits: the pool holds one whole context.
  if (lacking) {
    step.work.clear();
    step.preempt = running_.back().id;
  }
  return step;
}

}  // namespace godwit::engine
