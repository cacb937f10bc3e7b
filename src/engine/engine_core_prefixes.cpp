// What EngineCore does with prefixes that are kept: goes on from one, says why from no later, keeps
// what was computed in the tree, and what ended on disk.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/engine_core.h"

namespace godwit::engine {
namespace {

constexpr int64_t kNear = 16;  // tokens that are as quickly computed again as a snapshot is taken

}  // namespace

std::unique_ptr<cache::SequenceMemory> EngineCore::new_memory() {
  // Where one runs at a time it takes the place of what ended last, and the same buffers.
  if (parts_.options.max_sequences == 1) last_ = {};
  blocks_to_make_ = 0;
  return std::make_unique<cache::SequenceMemory>(parts_.settings.geometry, *pool_, blocks_, undo_);
}

bool EngineCore::uses_prefix(const Sequence& sequence) const {
  const bool wants_all_rows =
      sequence.prompt.task == Task::kEmbed && sequence.prompt.pooling == Pooling::kMean;
  return parts_.options.prefix_cache && !wants_all_rows;
}

int64_t EngineCore::reuse_limit(const Sequence& sequence) {
  return sequence.prompt.task == Task::kScore ? sequence.prompt.score_from - 1
                                              : sequence.length() - 1;
}

// What several prompts begin with is computed once, also when they come at once: a younger one
// waits while an older one is about to compute more of it, by a page or more, than is known. It
// loses nothing: it would need the same rows of the same steps.
bool EngineCore::is_held(Sequence& sequence) {
  if (!uses_prefix(sequence)) return false;
  const auto is_ahead = [](const Sequence& older, int64_t until) {
    return older.memory && older.memory->length() < until;
  };
  if (const auto leader = sequences_.find(std::exchange(sequence.leader.id, 0));
      leader != sequences_.end() && is_ahead(*leader->second, sequence.leader.until)) {
    sequence.leader.id = leader->first;
    return true;
  }
  const std::span<const cache::Key> keys = sequence.prompt.keys;
  const int64_t limit = reuse_limit(sequence);
  Sequence* leader = nullptr;
  int64_t until = 0;
  for (const auto& [id, older] : sequences_) {
    if (id >= sequence.id) break;
    if (older->prompt.task == Task::kEmbed || !is_ahead(*older, older->prompt_tokens)) continue;
    const auto& others = older->prompt.keys;
    const int64_t common =
        std::mismatch(keys.begin(), keys.end(), others.begin(), others.end()).first - keys.begin();
    const int64_t end = std::min({common, limit, reuse_limit(*older)});
    const int64_t stop = older->prompt.task == Task::kScore ? older->prompt.score_from - 1
                                                            : scheduler_.on_grain(id, end);
    if (stop > end || stop <= until || !is_ahead(*older, stop) || !wants_snapshot(*older, stop))
      continue;
    leader = older.get();
    until = stop;
  }
  const auto known = [&] {
    return std::max(tree_.longest_position(keys, limit), last_position(keys, limit));
  };
  if (!leader || until < known() + kPageTokens) return false;
  if (scheduler_.add_stop(leader->id, until)) leader->branch_stops.insert(until);
  sequence.leader = {leader->id, until};
  return true;
}

bool EngineCore::attach_prefix(Sequence& sequence) {
  const auto keys = sequence.keys(sequence.length());
  const int64_t limit = reuse_limit(sequence);
  if (files_) files_->restore(keys, limit);
  cache::PrefixMatch match = tree_.find(keys, limit);
  const bool is_first = !sequence.was_looked_up;
  sequence.was_looked_up = true;
  const bool is_last = attach_last(sequence, keys, limit, match);
  if (is_first) explain_reuse(sequence, match, limit);
  // A place where others parted before earns a snapshot, if going on from there would save much.
  if (match.branch_seen >= 2) {
    const int64_t stop = scheduler_.on_grain(sequence.id, match.matched);
    if (stop >= match.position + kPageTokens) sequence.branch_stops.insert(stop);
  }
  if (match.position == 0) return false;
  const bool attached = is_last || attach_snapshot(sequence, match);
  if (attached && is_first) {
    sequence.usage.reused_tokens = static_cast<int>(match.position);
    stats_.reused_tokens += match.position;
  }
  return attached;
}

int64_t EngineCore::last_position(std::span<const cache::Key> keys, int64_t limit) const {
  if (!last_.memory) return 0;
  const int64_t length = last_.memory->length(),
                common =
                    std::mismatch(keys.begin(), keys.end(), last_.keys.begin(), last_.keys.end())
                        .first -
                    keys.begin(),
                position = std::min({common, limit, length});
  return length - position > last_.memory->undoable() ? 0 : position;
}

bool EngineCore::attach_last(Sequence& sequence, const std::vector<cache::Key>& keys, int64_t limit,
                             cache::PrefixMatch& match) {
  const int64_t position = last_position(keys, limit);
  if (position <= match.position) return false;
  const int64_t length = last_.memory->length();
  if (pool_->free() + tree_.evictable_pages() < 1) return false;
  CHECK(tree_.evict(1));  // for a copy of the last page, if others read it
  sequence.memory = std::move(last_.memory);
  last_ = {};
  sequence.memory->take_back(length - position);
  CHECK(sequence.memory->reserve(0));
  stats_.undone_positions += length - position;
  match.position = position;
  match.matched = std::max(match.matched, position);
  return true;
}

bool EngineCore::attach_snapshot(Sequence& sequence, const cache::PrefixMatch& match) {
  // What was found must not be given away while a page is made free for the copy of the partial
  // one.
  for (cache::PageId page : match.pages) pool_->retain(page);
  for (cache::PageId page : match.snapshot.pages) pool_->retain(page);
  sequence.memory = new_memory();
  const bool attached =
      tree_.evict(1) && sequence.memory->attach(match.position, match.pages, match.snapshot);
  for (cache::PageId page : match.pages) pool_->release(page);
  for (cache::PageId page : match.snapshot.pages) pool_->release(page);
  return attached;
}

// Why no more was reused: where the tokens parted from what is known, or that no snapshot was left
// nearer.
void EngineCore::explain_reuse(Sequence& sequence, const cache::PrefixMatch& match, int64_t limit) {
  const int64_t known = std::min(match.matched, limit);  // from the limit on, nothing may be reused
  const bool diverged = match.diverged && match.matched < limit;
  if (known - match.position >= kPageTokens) {
    ++stats_.reuse_no_snapshot;
  } else if (known == 0) {
    ++stats_.reuse_unknown;
  } else {
    ++(diverged ? stats_.reuse_diverged : stats_.reuse_whole);
  }
  if (match.position >= known && !diverged) return;
  std::string place = "the prompt";
  for (const auto& [begin, name] : sequence.prompt.sections) {
    if (begin <= known) place = name;
  }
  std::string note = diverged
                         ? fmt::format("diverged at {} after {} of {} tokens", place, known,
                                       sequence.prompt_tokens)
                         : fmt::format("{} of {} tokens are known", known, sequence.prompt_tokens);
  if (match.position < known) {
    note += match.position > 0 ? fmt::format("; nearest snapshot at {}", match.position)
                               : std::string("; no snapshot before");
  }
  sequence.usage.reuse_note = std::move(note);
}

// Stops strictly between.
std::vector<int64_t> EngineCore::stops_within(const Sequence& sequence, int64_t begin,
                                              int64_t end) const {
  std::set<int64_t> stops = sequence.branch_stops;
  stops.insert(sequence.prompt.stops.begin(), sequence.prompt.stops.end());
  return {stops.upper_bound(begin), stops.lower_bound(end)};
}

// The recurrence pauses at every stop, so that its bits do not depend on what is in the tree.
void EngineCore::plan_pauses(Runner::Work& work) {
  const Sequence& sequence = *work.sequence;
  const int64_t begin = sequence.memory->length(),
                pages = cache::snapshot_pages(parts_.settings.geometry);
  for (int64_t position : stops_within(sequence, begin, begin + work.count)) {
    Runner::Work::Pause pause{position, {}};
    if (wants_snapshot(sequence, position) && tree_.evict(pages)) {
      for (int64_t i = 0; i < pages; ++i) {
        pause.snapshot.pages.push_back(pool_->allocate());
        pause.pages.push_back(pool_->data(pause.snapshot.pages.back()));
      }
    }
    work.pauses.push_back(std::move(pause));
  }
}

bool EngineCore::wants_snapshot(const Sequence& sequence, int64_t position) const {
  if (!parts_.options.prefix_cache) return false;
  switch (sequence.prompt.task) {
    case Task::kEmbed:
      return false;
    case Task::kScore:  // other ends may follow what is not scored
      if (position != sequence.prompt.score_from - 1 || position < kPageTokens) return false;
      break;
    case Task::kGenerate: {  // where it came from is near enough
      const int64_t known = sequence.usage.reused_tokens;
      if (known > 0 && position > known && position - known < kNear) return false;
      break;
    }
  }
  return !tree_.has_snapshot(sequence.keys(position));
}

// Keeps what was computed so far in the tree. Pages run short: it is not kept.
void EngineCore::keep_snapshot(Sequence& sequence) {
  const int64_t done = sequence.memory->length();
  if (!parts_.options.prefix_cache || done == 0) return;
  const auto keys = sequence.keys(done);
  if (tree_.has_snapshot(keys) || !tree_.evict(cache::snapshot_pages(parts_.settings.geometry)))
    return;
  auto snapshot = sequence.memory->snapshot();
  if (!snapshot) return;
  tree_.insert(keys, sequence.memory->pages(), std::move(*snapshot));
  sequence.memory->publish();
}

// An answer may be cut short, or edited: a long one has snapshots on its way.
void EngineCore::keep_long_answer(Sequence& sequence) {
  const int64_t done = sequence.memory->length(),
                last = std::max(sequence.prompt_tokens, sequence.last_kept);
  if (done - last < kLongText) return;
  sequence.last_kept = done;
  keep_snapshot(sequence);
}

// Snapshots are taken while somebody waits for a token: those of a question find their pages
// resident. False: they are.
bool EngineCore::make_ready(int64_t pages) {
  const auto ahead = static_cast<int64_t>(parts_.settings.memory.snapshots / pool_->page_bytes());
  return pool_->make_ready(pages, ahead);
}

void EngineCore::do_chore() {
  if (blocks_to_make_ > 0) {
    --blocks_to_make_;
    blocks_.make_ready();
  } else if (!is_ready_) {
    is_ready_ = !make_ready(1);
  } else {
    spill_page();
  }
}

void EngineCore::spill_page() {
  if (!files_->spill_page(spills_.front())) spills_.pop_front();
}

// Where a later conversation would go on from: the system block, pictures, the last question, the
// end, and where this came from.
void EngineCore::plan_spill(const Sequence& sequence) {
  if (!files_) return;
  const int64_t done = sequence.memory->length();
  std::vector<int64_t> positions = sequence.prompt.lasting;
  positions.push_back(sequence.usage.reused_tokens);
  positions.push_back(done);
  std::erase_if(positions, [done](int64_t p) { return p <= 0 || p > done; });
  std::sort(positions.begin(), positions.end());
  spills_.emplace_back();
  spills_.back().keys = sequence.keys(done);
  spills_.back().positions = std::move(positions);
}

}  // namespace godwit::engine
