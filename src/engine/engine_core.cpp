#include "engine/engine_core.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "text/trim.h"

namespace godwit::engine {
namespace {

constexpr size_t kMaxSpills = 8;    // that wait for a moment without work; beyond: a page a step
constexpr size_t kMostSpills = 64;  // beyond: the oldest is not kept on disk
constexpr int64_t kTokensPerReady = 32;  // computed; a page made ready beside them is not felt
#ifdef GODWIT_CHECKED
constexpr bool kCheckedBuild = true;
#else
constexpr bool kCheckedBuild = false;
#endif
constexpr char kNotFinite[] =
    "the model gave numbers that are not finite: are its weights damaged?";

SchedulerLimits scheduler_limits(const EngineOptions& options, int64_t grain) {
  const int64_t chunk = options.prefill_chunk;
  return {.prefill_tokens = chunk,
          .mixed_tokens = std::max(grain, chunk / 4),
          .max_sequences = options.max_sequences,
          .page_tokens = kPageTokens,
          .grain = grain};
}

// A vector of the same direction and length 1.
std::vector<float> normalised(const std::vector<double>& values) {
  double sum = 0;
  for (double v : values) sum += v * v;
  const double scale = sum > 0 ? 1 / std::sqrt(sum) : 0;
  std::vector<float> result;
  for (double v : values) result.push_back(static_cast<float>(v * scale));
  return result;
}

}  // namespace

Result<std::unique_ptr<EngineCore>> EngineCore::create(const Parts& parts) {
  TRY(auto pool,
      cache::PagePool::create(parts.settings.geometry.page_bytes(), parts.settings.pages));
  return std::unique_ptr<EngineCore>(new EngineCore(parts, std::move(pool)));
}

EngineCore::EngineCore(const Parts& parts, std::unique_ptr<cache::PagePool> pool)
    : parts_(parts),
      pool_(std::move(pool)),
      blocks_(cache::block_floats(parts.settings.geometry)),
      tree_(parts.settings.geometry, *pool_),
      scheduler_(scheduler_limits(parts.options, parts.settings.grain)),
      runner_(parts.model, parts.compute, parts.settings, parts.vision),
      undo_{parts.settings.undo_window,
            [&model = parts.model](const float* factors, int64_t positions, const float* from,
                                   float* state) { model.replay(factors, positions, from, state); },
            parts.settings.drafts},
      newline_(parts.tokenizer.encode("\n")) {
  if (parts_.settings.drafts > 0)
    drafter_.emplace(parts_.model, parts_.compute, parts_.settings, token_limits(),
                     runner_.workspace());
  if (parts_.store && parts_.options.prefix_cache)
    files_.emplace(parts.settings.geometry, *pool_, tree_, *parts_.store, parts_.compute);
  if (parts_.options.prefix_cache) {
    blocks_to_make_ = undo_.window > 0 ? 2 : 1;
    is_ready_ = false;
  }
  update_stats();
}

EngineCore::~EngineCore() {
  while (!spills_.empty()) spill_page();
  sequences_.clear();
  last_ = {};
  tree_.clear();
  CHECK(pool_->used() == 0);
}

void EngineCore::add(std::unique_ptr<Sequence> sequence) {
  sequence->id = next_id_++;
  sequence->usage.prompt_tokens = static_cast<int>(sequence->prompt_tokens);
  for (const PreparedMedia& media : sequence->prompt.media) {
    sequence->usage.vision_tokens +=
        static_cast<int>(media.rows_per_slice * static_cast<int64_t>(media.slices.size()));
  }
  sequence->timings.prepare = sequence->prompt.seconds;
  scheduler_.add(sequence->id, sequence->length(), sequence->prompt.stops, sequence->prompt.cuts);
  ++stats_.requests;
  stats_.prompt_tokens += sequence->prompt_tokens;
  push_progress(*sequence, 0);
  sequences_.emplace(sequence->id, std::move(sequence));
}

void EngineCore::step() {
  drop_cancelled();
  admit();
  const std::vector<Runner::Work> work = reserve_step();
  const auto begin = Clock::now();
  int64_t tokens = 0, rows = 0;
  bool decodes = drafter_ && !work.empty();
  for (const Runner::Work& item : work) {
    tokens += item.count;
    rows += 1 + static_cast<int64_t>(item.drafts.size());
    decodes = decodes && item.count == 1;
  }
  // In one forward(), unless several texts are scored: rows of logits are few.
  for (auto first = work.begin(); first != work.end();) {
    auto last = first;
    for (int64_t logits = 0; last != work.end(); ++last) {
      logits += last->logits;
      if (logits > parts_.settings.workspace.max_logit_rows) break;
    }
    run({first, last});
    first = last;
  }
  if (decodes) drafter_->costs.add_step(rows, seconds_since(begin));
  if (parts_.options.prefix_cache) {
    make_ready(tokens / kTokensPerReady);
    is_ready_ = false;
  }
  if (kCheckedBuild || parts_.options.checked) verify();
  update_stats();
}

void EngineCore::run(std::span<const Runner::Work> work) {
  const auto begin = Clock::now();
  const bool prefill =
      std::any_of(work.begin(), work.end(), [](const auto& w) { return w.count > 1; });
  runner_.run(work);
  (prefill ? stats_.prefill_seconds : stats_.decode_seconds) += seconds_since(begin);
  size_t row = 0;
  for (size_t i = 0; i < work.size(); ++i) {
    Sequence& sequence = *work[i].sequence;
    after_share(work[i]);
    const int64_t drafts = static_cast<int64_t>(work[i].drafts.size());
    const int64_t done = sequence.memory->length() - drafts;
    if (sequence.drafts) sequence.drafts->keep(done - work[i].count, runner_.hidden(i));
    const bool is_whole = done == sequence.length();
    const size_t first_row = row;
    row += static_cast<size_t>(work[i].logits);
    switch (sequence.prompt.task) {
      case Task::kGenerate:
        if (is_whole) take_tokens(sequence, work[i], first_row);
        break;
      case Task::kEmbed:
        pool_rows(sequence, runner_.hidden(i));
        if (is_whole) finish_embedding(sequence);
        break;
      case Task::kScore:
        if (take_scores(sequence, done - work[i].logits, first_row) && is_whole)
          finish(sequence, FinishReason::kStop);
        break;
    }
  }
}

void EngineCore::pool_rows(Sequence& sequence, tensor::ConstMatrixView rows) {
  sequence.pooled.resize(rows.columns, 0);
  if (sequence.prompt.pooling == Pooling::kLast) {
    std::copy_n(rows.row(rows.rows - 1), rows.columns, sequence.pooled.begin());
    return;
  }
  for (int64_t r = 0; r < rows.rows; ++r) {
    for (int64_t c = 0; c < rows.columns; ++c) sequence.pooled[c] += rows.row(r)[c];
  }
}

void EngineCore::finish_embedding(Sequence& sequence) {
  if (std::all_of(sequence.pooled.begin(), sequence.pooled.end(),
                  [](float x) { return std::isfinite(x); })) {
    finish(sequence, FinishReason::kStop);
  } else {
    fail(sequence, kNotFinite);
  }
}

// Row `row` of the logits is that of position `first`, which tells of the token after it.
bool EngineCore::take_scores(Sequence& sequence, int64_t first, size_t row) {
  for (int64_t i = first; i < std::min(sequence.memory->length(), sequence.length() - 1); ++i) {
    sequence.scores.push_back(log_probabilities(runner_.logits(row++), sequence.ids[i + 1],
                                                std::max(0, sequence.prompt.logprobs)));
    if (!std::isnan(sequence.scores.back().logprob)) continue;
    fail(sequence, kNotFinite);
    return false;
  }
  return true;
}

void EngineCore::drop_cancelled() {
  for (auto at = sequences_.begin(); at != sequences_.end();) {
    Sequence& sequence = *(at++)->second;  // finish() takes it out
    if (sequence.channel->cancelled()) finish(sequence, FinishReason::kCancelled);
  }
}

void EngineCore::admit() {
  for (;;) {
    for (Scheduler::Id id : scheduler_.to_start()) {
      if (!is_held(*sequences_.at(id))) start(*sequences_.at(id));
    }
    if (scheduler_.admit(pool_->free() + tree_.evictable_pages())) continue;
    if (last_.memory && scheduler_.waiting() > 0 &&
        scheduler_.running() < parts_.options.max_sequences) {
      last_ = {};  // its pages are wanted
    } else {
      return;
    }
  }
}

void EngineCore::start(Sequence& sequence) {
  if (!sequence.was_started) {
    sequence.was_started = true;
    sequence.started = Clock::now();
    sequence.timings.queued =
        std::max(0.0, seconds_since(sequence.submitted) - sequence.timings.prepare);
  }
  if (drafter_ && sequence.prompt.task == Task::kGenerate && sequence.prompt.draft_tokens != 0)
    sequence.drafts = drafter_->start();
  if (uses_prefix(sequence)) attach_prefix(sequence);
  if (!sequence.memory) sequence.memory = new_memory();
  scheduler_.started(sequence.id, sequence.memory->length());
  std::erase_if(sequence.branch_stops,
                [&](int64_t stop) { return !scheduler_.add_stop(sequence.id, stop); });
}

// Plans a step and makes room for it; takes memory from the youngest as long as there is too
// little.
std::vector<Runner::Work> EngineCore::reserve_step() {
  for (;;) {
    const Scheduler::Step step = scheduler_.plan(pool_->free() + tree_.evictable_pages());
    const bool is_short = step.preempt || (step.work.empty() && scheduler_.running() > 0);
    if (is_short && last_.memory) {
      last_ = {};
      continue;
    }
    if (step.preempt) {
      preempt(*step.preempt);
      continue;
    }
    std::vector<Runner::Work> work;
    Runner::VisionTime vision{Clock::now() + std::chrono::milliseconds(parts_.options.vision_ms)};
    for (const Scheduler::Share& share : step.work) {
      Sequence& sequence = *sequences_.at(share.id);
      keep_long_answer(sequence);
      if (!runner_.encode_media(sequence, share.count, vision)) continue;  // in a later step
      CHECK(tree_.evict(sequence.memory->pages_needed(share.count)) &&
            sequence.memory->reserve(share.count));
      const int64_t end = sequence.memory->length() + share.count;
      int64_t logits = 0;
      if (sequence.prompt.task == Task::kGenerate) logits = end == sequence.length();
      if (sequence.prompt.task == Task::kScore)
        logits = std::clamp<int64_t>(end - (sequence.prompt.score_from - 1), 0, share.count);
      work.push_back({&sequence, share.count, logits});
    }
    if (drafter_) plan_drafts(work);
    for (Runner::Work& item : work) plan_pauses(item);  // room for shares first
    return work;
  }
}

// Room for what may come next where a sequence lacks one token; the drafting head says what.
void EngineCore::plan_drafts(std::vector<Runner::Work>& work) {
  // The head needs the hidden row of the token before: a preempted sequence that goes on from a
  // kept prefix of all but one token has none.
  const auto lacks_one = [](const Runner::Work& item) {
    const Sequence& sequence = *item.sequence;
    return sequence.drafts && item.count == 1 && item.logits == 1 && sequence.answer_tokens() > 0 &&
           sequence.drafts->end() == sequence.length() - 1;
  };
  const auto decodes = std::count_if(work.begin(), work.end(), lacks_one);
  if (decodes == 0) return;
  const auto room = std::min<int64_t>(parts_.settings.drafts, kDraftRows / decodes - 1);
  std::vector<Drafter::Wish> wishes;
  for (const Runner::Work& item : work) {
    if (!lacks_one(item)) continue;
    Sequence& sequence = *item.sequence;
    int64_t most = std::min(room, sequence.prompt.max_new_tokens - sequence.answer_tokens() - 1);
    if (const int wanted = sequence.prompt.draft_tokens; wanted >= 0)
      most = std::min<int64_t>(most, wanted);
    if (most <= 0) continue;
    const int count =
        parts_.options.draft_always
            ? static_cast<int>(most)
            : sequence.drafts->policy.choose(drafter_->costs, decodes, static_cast<int>(most));
    if (count == 0 || !tree_.evict(sequence.memory->pages_needed(1 + count))) continue;
    CHECK(sequence.memory->reserve(1 + count));
    wishes.push_back({&sequence, count});
  }
  if (wishes.empty()) return;
  const auto begin = Clock::now();
  drafter_->draft(wishes);
  stats_.decode_seconds += seconds_since(begin);
  for (const Drafter::Wish& wish : wishes) {
    DraftState& state = *wish.sequence->drafts;
    state.unconfirmed = static_cast<int64_t>(state.ids.size());
    const auto item = std::find_if(work.begin(), work.end(),
                                   [&](const auto& w) { return w.sequence == wish.sequence; });
    item->drafts = state.ids;
    item->logits += state.unconfirmed;
  }
}

void EngineCore::preempt(Scheduler::Id id) {
  Sequence& sequence = *sequences_.at(id);
  sequence.memory.reset();
  sequence.pooled.clear();  // they are made again
  sequence.scores.clear();
  sequence.drafts.reset();
  scheduler_.preempted(id);
  ++stats_.preempted;
  log_info("request {}: preempted, pages ran out", id);
}

void EngineCore::push_progress(const Sequence& sequence, int64_t done) {
  Event event;
  event.kind = Event::Kind::kPromptProgress;
  event.done = static_cast<int>(done);
  event.total = static_cast<int>(sequence.prompt_tokens);
  event.usage = sequence.usage;
  sequence.channel->push(std::move(event));
}

void EngineCore::after_share(const Runner::Work& work) {
  Sequence& sequence = *work.sequence;
  scheduler_.computed(sequence.id, work.count);
  const int64_t done = sequence.memory->length() - static_cast<int64_t>(work.drafts.size());
  if (done <= sequence.prompt_tokens) push_progress(sequence, done);
  for (const Runner::Work::Pause& pause : work.pauses) {
    if (!pause.snapshot.pages.empty())
      tree_.insert(sequence.keys(pause.position), sequence.memory->pages(), pause.snapshot);
  }
  if (!work.pauses.empty()) sequence.memory->publish();
  const auto& stops = sequence.prompt.stops;
  if (std::binary_search(stops.begin(), stops.end(), done) ||
      sequence.branch_stops.contains(done)) {
    if (wants_snapshot(sequence, done)) keep_snapshot(sequence);
  }
}

void EngineCore::take_tokens(Sequence& sequence, const Runner::Work& work, size_t row) {
  const size_t drafted = work.drafts.size();
  for (size_t p = 0; p < drafted; ++p) ++stats_.drafted[p];
  sequence.usage.drafted_tokens += static_cast<int>(drafted);
  size_t right = 0;
  for (;; ++right) {
    const int64_t next = sequence.length();
    if (!take_token(sequence, runner_.logits(row + right))) return;  // the drafts went with it
    // More than one where the thought was closed: those follow from no logits.
    const bool alone = sequence.length() == next + 1;
    if (right == drafted || !alone || sequence.ids.back() != work.drafts[right]) break;
    --sequence.drafts->unconfirmed;
    scheduler_.computed(sequence.id, 1);
    ++stats_.drafts_accepted[right];
    ++sequence.usage.accepted_drafts;
  }
  if (drafted == 0) return;
  drop_drafts(sequence);
  for (DraftPolicy* policy : {&sequence.drafts->policy, &drafter_->policy})
    policy->record(static_cast<int>(drafted), static_cast<int>(right));
}

// As if only what is right had been computed.
void EngineCore::drop_drafts(Sequence& sequence) {
  const int64_t wrong = sequence.drafts ? std::exchange(sequence.drafts->unconfirmed, 0) : 0;
  if (wrong == 0) return;
  sequence.memory->take_back(wrong);
  sequence.drafts->drop_last(wrong);
}

TokenLimits EngineCore::token_limits() const {
  return {static_cast<int32_t>(std::min<int64_t>(parts_.tokenizer.vocabulary_size(),
                                                 parts_.model.config().text.vocab_size)),
          parts_.conventions.undecodable};
}

bool EngineCore::take_token(Sequence& sequence, std::span<float> logits) {
  if (sequence.answer_tokens() == 0) {
    sequence.first_token = Clock::now();
    sequence.timings.first_token = seconds_since(sequence.submitted);
    sequence.timings.prefill = seconds_since(sequence.started) - sequence.timings.vision;
  }
  if (sequence.answer_tokens() >= sequence.prompt.max_new_tokens) {
    finish(sequence, FinishReason::kLength);
    return false;
  }
  if (sequence.answer.over_budget()) return close_thought(sequence);  // a budget of 0
  const TokenLimits limits = token_limits();
  const auto position = static_cast<uint64_t>(sequence.answer_tokens());
  std::vector<float> raw;
  if (sequence.prompt.logprobs >= 0) raw.assign(logits.begin(), logits.begin() + limits.decodable);
  const int32_t id = sample(logits, sequence.prompt.sampling, sequence.counts, limits, position);
  if (id == kNoToken) {
    fail(sequence, kNotFinite);
    return false;
  }
  std::optional<TokenLogprob> logprob;
  if (!raw.empty()) logprob = log_probabilities(raw, id, sequence.prompt.logprobs);

  const auto& ends = parts_.conventions.markup.ends;
  if (!sequence.prompt.ignore_end && std::find(ends.begin(), ends.end(), id) != ends.end()) {
    sequence.ids.push_back(id);  // part of the turn, though never computed here
    finish(sequence, FinishReason::kStop);
    return false;
  }
  if (!append(sequence, id, std::move(logprob))) return false;
  return !sequence.answer.over_budget() || close_thought(sequence);
}

bool EngineCore::close_thought(Sequence& sequence) {
  for (int32_t id : parts_.conventions.markup.close_think) {
    if (!append(sequence, id, std::nullopt)) return false;
  }
  return true;
}

bool EngineCore::append(Sequence& sequence, int32_t id, std::optional<TokenLogprob> logprob) {
  sequence.ids.push_back(id);
  sequence.counts.add_answer(id);
  ++sequence.usage.completion_tokens;
  ++stats_.generated_tokens;
  scheduler_.append(sequence.id, 1);
  std::vector<Event> events;
  sequence.answer.push(id, std::move(logprob), events);
  for (Event& event : events) sequence.channel->push(std::move(event));
  if (sequence.answer.stopped_by()) {
    finish(sequence, FinishReason::kStopString);
    return false;
  }
  if (sequence.answer.has_all_calls()) {
    // The rest of the call's markup: part of the turn, though never computed here.
    if (!parts_.tokenizer.token_bytes(id).ends_with('\n'))
      sequence.ids.insert(sequence.ids.end(), newline_.begin(), newline_.end());
    if (const int32_t end = parts_.conventions.markup.tool_call_end; end >= 0)
      sequence.ids.push_back(end);
    finish(sequence, FinishReason::kStop);
    return false;
  }
  if (sequence.answer_tokens() >= sequence.prompt.max_new_tokens) {
    finish(sequence, FinishReason::kLength);
    return false;
  }
  return true;
}

void EngineCore::finish(Sequence& sequence, FinishReason reason) {
  drop_drafts(sequence);
  std::vector<Event> events;
  const bool is_cut = reason == FinishReason::kLength || reason == FinishReason::kCancelled;
  sequence.answer.finish(is_cut, events);
  for (Event& event : events) sequence.channel->push(std::move(event));
  if (sequence.memory && sequence.prompt.task == Task::kGenerate) {
    if (reason == FinishReason::kStopString) take_back_stop_string(sequence);
    keep_snapshot(sequence);
    plan_spill(sequence);
    if (parts_.settings.undo_window > 0 && sequence.memory->undoable() > 0)
      last_ = {sequence.keys(sequence.memory->length()), std::move(sequence.memory)};
  }
  remember_turn(sequence, is_cut);

  Event done;
  done.kind = Event::Kind::kDone;
  done.finish = reason == FinishReason::kStop && sequence.answer.called_tools()
                    ? FinishReason::kToolCalls
                    : reason;
  done.stop_string = sequence.answer.stopped_by().value_or("");
  done.usage = sequence.usage;
  done.usage.reasoning_tokens = sequence.answer.reasoning_tokens();
  const auto media = static_cast<int>(sequence.prompt.media.size());
  done.usage.pictures_reused = media - done.usage.pictures_encoded;
  stats_.pictures_encoded += done.usage.pictures_encoded;
  stats_.pictures_reused += done.usage.pictures_reused;
  if (sequence.answer_tokens() > 0) {
    sequence.timings.decode = seconds_since(sequence.first_token);
  } else if (sequence.prompt.task != Task::kGenerate && sequence.was_started) {
    sequence.timings.prefill = seconds_since(sequence.started) - sequence.timings.vision;
  }
  done.timings = sequence.timings;
  done.seed = sequence.prompt.sampling.seed;
  done.logprobs = sequence.prompt.task == Task::kScore ? std::move(sequence.scores)
                                                       : sequence.answer.take_logprobs();
  if (reason != FinishReason::kCancelled) done.embedding = normalised(sequence.pooled);
  ended_.emplace_back(sequence.channel, std::move(done));
  remove(sequence.id);
}

void EngineCore::deliver_ends() {
  for (auto& [channel, event] : ended_) channel->push(std::move(event));
  ended_.clear();
  if (spills_.size() > kMaxSpills) spill_page();
  if (spills_.size() > kMostSpills) spills_.pop_front();
}

void EngineCore::remember_turn(const Sequence& sequence, bool is_cut) {
  const int64_t begin = sequence.prompt.answer_begin;
  if (begin < 0 || sequence.answer_tokens() == 0 || !sequence.prompt.answer.parse) return;
  Turn turn{sequence.answer.message(), {sequence.ids.begin() + begin, sequence.ids.end()}};
  if (is_cut && !turn.message.tool_calls.empty()) {  // within a call, perhaps: only the text counts
    auto cut = cut_turn(turn.tokens, text::trim(turn.message.content), parts_.tokenizer);
    if (!cut) return;
    turn.tokens = std::move(cut->tokens);
    turn.message.tool_calls.clear();
  } else {
    close_turn(turn.tokens, parts_.tokenizer);
  }
  parts_.turns.remember(hash_keys(std::span(sequence.prompt.keys).first(begin)), std::move(turn));
}

// A stop string is no part of what was said: what lies behind its beginning is taken back, so that
// the next turn goes on from there.
void EngineCore::take_back_stop_string(Sequence& sequence) {
  const int64_t begin = sequence.prompt.answer_begin;
  if (begin < 0 || !sequence.prompt.answer.parse) return;
  const auto cut = cut_turn(std::span(sequence.ids).subspan(begin),
                            text::trim(sequence.answer.said()), parts_.tokenizer);
  if (!cut) return;
  const int64_t more = sequence.memory->length() - begin - static_cast<int64_t>(cut->kept);
  if (more > 0 && more <= sequence.memory->undoable()) sequence.memory->take_back(more);
}

void EngineCore::remove(Scheduler::Id id) {
  runner_.forget(*sequences_.at(id));
  scheduler_.remove(id);
  sequences_.erase(id);
}

void EngineCore::fail(Sequence& sequence, const std::string& reason) {
  sequence.channel->push_error({reason, ErrorKind::kFailed});
  remove(sequence.id);
}

void EngineCore::fail_all(const std::string& reason) {
  while (!sequences_.empty()) fail(*sequences_.begin()->second, reason);
}

// Every page is free, or held by exactly those that say so.
void EngineCore::verify() const {
  std::vector<int> held(pool_->total());
  for (const auto& [id, sequence] : sequences_) {
    if (!sequence->memory) continue;
    for (cache::PageId page : sequence->memory->pages()) ++held[page];
  }
  if (last_.memory) {
    for (cache::PageId page : last_.memory->pages()) ++held[page];
  }
  tree_.verify([&](cache::PageId page) { return held[page]; });
}

void EngineCore::update_stats() {
  stats_.running = scheduler_.running();
  stats_.waiting = scheduler_.waiting();
  stats_.pages_total = pool_->total();
  stats_.pages_used = pool_->used();
  const auto page_bytes = static_cast<int64_t>(pool_->page_bytes());
  stats_.cache_bytes = stats_.pages_total * page_bytes;
  stats_.cache_bytes_used = stats_.pages_used * page_bytes;
  stats_.snapshots = tree_.snapshots();
  stats_.snapshot_bytes =
      tree_.snapshots() * cache::snapshot_pages(parts_.settings.geometry) * page_bytes;
}

}  // namespace godwit::engine
