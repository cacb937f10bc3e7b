#include "engine/drafter.h"

#include <algorithm>

#include "base/check.h"

namespace godwit::engine {

void DraftState::keep(int64_t from, tensor::ConstMatrixView more) {
  CHECK(more.columns == hidden);
  const int64_t skipped = std::max<int64_t>(0, more.rows - kDraftRowsKept);
  if (rows.empty() || end() != from || skipped > 0) {
    rows.clear();
    first = from + skipped;
  }
  rows.reserve(2 * kDraftRowsKept * hidden);
  // All at once when twice as many would wait: seldom.
  const int64_t waiting = pending() + more.rows - skipped;
  if (waiting > 2 * kDraftRowsKept) {
    const int64_t over = waiting - kDraftRowsKept;
    rows.erase(rows.begin(), rows.begin() + over * hidden);
    first += over;
  }
  for (int64_t r = skipped; r < more.rows; ++r)
    rows.insert(rows.end(), more.row(r), more.row(r) + hidden);
}

Drafter::Drafter(const model::Model& model, ComputePool& pool, const Settings& settings,
                 const TokenLimits& limits, model::Workspace& workspace)
    : model_(model),
      pool_(pool),
      settings_(settings),
      limits_{static_cast<int32_t>(std::min<int64_t>(limits.decodable, settings.draft_ids)),
              limits.banned},
      workspace_(workspace),
      hidden_(model.config().text.hidden_size),
      vision_(hidden_),
      logits_(static_cast<size_t>(kDraftRows * settings.draft_ids)) {}

std::unique_ptr<DraftState> Drafter::start() const {
  return std::make_unique<DraftState>(
      DraftState{.memory = {settings_.draft_geometry, settings_.draft_window},
                 .hidden = hidden_,
                 .policy = policy});
}

void Drafter::begin() {
  ids_.clear(), positions_.clear(), sequences_.clear(), members_.clear();
  rows_.clear();
  vision_.clear();
}

// The first `count` of the rows that wait.
void Drafter::add_pending(Sequence& sequence, int64_t count) {
  DraftState& state = *sequence.drafts;
  const int64_t from = state.first;
  sequences_.push_back({static_cast<int64_t>(ids_.size()), count, state.memory.view(count)});
  members_.push_back(&sequence);
  ids_.insert(ids_.end(), sequence.ids.begin() + from + 1, sequence.ids.begin() + from + 1 + count);
  for (int64_t i = from; i < from + count; ++i) positions_.push_back(sequence.position(i));
  vision_.add(sequence, from + 1, from + 1 + count);
  const auto end = state.rows.begin() + count * hidden_;
  rows_.insert(rows_.end(), state.rows.begin(), end);
  state.rows.erase(state.rows.begin(), end);
  state.first += count;
}

void Drafter::add_guess(Sequence& sequence, int64_t position, int32_t token, const float* hidden) {
  sequences_.push_back({static_cast<int64_t>(ids_.size()), 1, sequence.drafts->memory.view(1)});
  members_.push_back(&sequence);
  ids_.push_back(token);
  positions_.push_back(sequence.position(position));
  vision_.add_text(1);
  rows_.insert(rows_.end(), hidden, hidden + hidden_);
  ++sequence.drafts->guessed;
}

void Drafter::run(std::span<const int32_t> logit_rows) {
  const auto n = static_cast<int64_t>(ids_.size());
  next_rows_.resize(n * hidden_);
  model::Batch batch{.ids = ids_,
                     .positions = positions_,
                     .sequences = sequences_,
                     .geometry = &settings_.draft_geometry,
                     .logit_rows = logit_rows};
  vision_.give(batch);
  pool_.use(settings_.threads.of_rows(n));
  model_.draft(batch, {rows_.data(), n, hidden_}, workspace_,
               {.logits = {logits_.data(), static_cast<int64_t>(logit_rows.size()),
                           settings_.draft_ids, settings_.draft_ids},
                .hidden = {next_rows_.data(), n, hidden_, hidden_}});
  for (size_t i = 0; i < members_.size(); ++i)
    members_[i]->drafts->memory.advance(sequences_[i].count);
}

// A prompt, or what was said while nothing was drafted.
void Drafter::feed_all_but(Sequence& sequence, int64_t rows) {
  for (;;) {
    const int64_t left = sequence.drafts->pending() - rows;
    if (left <= 0) return;
    begin();
    add_pending(sequence, std::min({left, kDraftRowsKept, settings_.workspace.max_tokens}));
    run({});
  }
}

int32_t Drafter::pick(const Sequence& sequence, size_t row, size_t nth) {
  const auto columns = static_cast<size_t>(settings_.draft_ids);
  const int32_t id =
      sample({logits_.data() + row * columns, columns}, sequence.prompt.sampling, sequence.counts,
             limits_, static_cast<uint64_t>(sequence.answer_tokens()) + nth);
  return std::max(id, 0);  // a draft is only a guess
}

void Drafter::draft(std::span<const Wish> wishes) {
  CHECK(static_cast<int64_t>(wishes.size()) <= kDraftRows);
  for (const Wish& wish : wishes) {
    DraftState& state = *wish.sequence->drafts;
    state.memory.take_back(std::min(state.guessed, state.memory.length()));
    state.guessed = 0;
    state.ids.clear();
    feed_all_but(*wish.sequence, kMaxDrafts + 1);
  }
  const auto started = Clock::now();
  double calls = 0;
  begin();
  std::vector<int32_t> last;
  std::vector<Wish> left(wishes.begin(), wishes.end());
  for (const Wish& wish : left) {
    CHECK(wish.sequence->drafts->end() == wish.sequence->length() - 1);
    add_pending(*wish.sequence, wish.sequence->drafts->pending());
    last.push_back(static_cast<int32_t>(ids_.size()) - 1);
  }
  for (size_t nth = 0;; ++nth) {
    run(last);
    ++calls;
    for (size_t i = 0; i < left.size(); ++i)
      left[i].sequence->drafts->ids.push_back(pick(*left[i].sequence, i, nth));
    // Those that want more go on from the head's own rows.
    std::vector<Wish> more;
    std::vector<int32_t> rows;
    begin();
    for (size_t i = 0; i < left.size(); ++i) {
      if (left[i].count <= static_cast<int>(nth) + 1) continue;
      Sequence& sequence = *left[i].sequence;
      add_guess(sequence, sequence.length() - 1 + static_cast<int64_t>(nth),
                sequence.drafts->ids.back(), next_rows_.data() + last[i] * hidden_);
      rows.push_back(static_cast<int32_t>(more.size()));
      more.push_back(left[i]);
    }
    if (more.empty()) break;
    left = std::move(more);
    last = std::move(rows);
  }
  costs.add_draft(seconds_since(started) / calls);
}

}  // namespace godwit::engine
