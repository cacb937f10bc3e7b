// Sequence: one request on the engine thread, from its preparation to its last event.
#pragma once

#include <chrono>
#include <memory>
#include <set>
#include <vector>

#include "cache/sequence_memory.h"
#include "engine/answer.h"
#include "engine/draft_state.h"
#include "engine/event_channel.h"
#include "engine/prepare.h"
#include "engine/sampler.h"

namespace godwit::engine {

using Clock = std::chrono::steady_clock;
inline double seconds_since(Clock::time_point then) {
  return std::chrono::duration<double>(Clock::now() - then).count();
}

struct Sequence {
  Sequence(Prepared from, std::shared_ptr<EventChannel> to, const text::Tokenizer& tokenizer,
           const MarkupIds& markup)
      : prompt(std::move(from)),
        channel(std::move(to)),
        answer(tokenizer, markup, prompt.answer),
        ids(prompt.ids),
        prompt_tokens(static_cast<int64_t>(ids.size())) {
    counts.add_prompt(ids);
  }

  uint64_t id = 0;
  Prepared prompt;
  std::shared_ptr<EventChannel> channel;
  Answer answer;
  TokenCounts counts;
  std::vector<int32_t> ids;  // prompt and answer
  int64_t prompt_tokens;
  std::unique_ptr<cache::SequenceMemory> memory;  // null while waiting
  std::unique_ptr<DraftState> drafts;             // null: nothing is drafted
  std::vector<double> pooled;        // [hidden], of an embedding; a sum, or the last row
  std::vector<TokenLogprob> scores;  // of a scored text
  int64_t last_kept = 0;             // where the last snapshot within the answer is
  std::set<int64_t> branch_stops;    // more places for snapshots, where others parted
  // An older one, or 0: while it computes the first `until` tokens, which both begin with, this one
  // waits for them.
  struct {
    uint64_t id = 0;
    int64_t until = 0;
  } leader;
  Usage usage;
  Timings timings;
  Clock::time_point submitted, started, first_token;
  bool was_started = false, was_looked_up = false;

  int64_t length() const { return static_cast<int64_t>(ids.size()); }
  int64_t answer_tokens() const { return length() - prompt_tokens; }
  model::Position position(int64_t i) const {
    if (i < prompt_tokens) return prompt.positions[i];
    const auto p = static_cast<int32_t>(prompt.next_position + (i - prompt_tokens));
    return {p, p, p};
  }
  // Keys of the first n tokens.
  std::vector<cache::Key> keys(int64_t n) const {
    std::vector<cache::Key> all(prompt.keys.begin(),
                                prompt.keys.begin() + std::min(n, prompt_tokens));
    for (int64_t i = prompt_tokens; i < n; ++i) all.push_back(cache::token_key(ids[i]));
    return all;
  }
};

}  // namespace godwit::engine
