// Drafter: asks the model's drafting head which tokens may come next. The engine then computes them
// in the same forward() as the last known token, and keeps those that the sampler picks: drafts
// change how fast an answer comes, never a token of it.
//
//   token i+1, hidden row of i         ─► head ─► logits of token i+2: the first draft
//   the draft, the head's row of i     ─► head ─► logits of token i+3: the second, and so on
//
// The head is one attention layer with keys and values of its own. They are kept for the last
// kDraftWindow positions of a running sequence and nowhere else: rows of a reused prefix are not
// known, old ones are forgotten, and of a long prompt only the last kDraftRowsKept are fed. A head
// that knows less guesses worse; that is all.
//
// A draft is drawn from the head's logits by the sampler itself, with the same options and the same
// random number as the token will be: where the distributions agree, so do the draws. Only the
// first kMaxDraftIds tokens are drafted: the product with all rows of a large vocabulary would take
// longer than the rest of the head, and a tokenizer's first tokens are its most frequent.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/compute_pool.h"
#include "engine/draft_policy.h"
#include "engine/settings.h"
#include "engine/vision_input.h"
#include "model/model.h"

namespace godwit::engine {

class Drafter {
 public:
  Drafter(const model::Model& model, ComputePool& pool, const Settings& settings,
          const TokenLimits& limits, model::Workspace& workspace);

  // For a sequence that starts.
  std::unique_ptr<DraftState> start() const;

  struct Wish {
    Sequence* sequence;  // all its tokens but the last are computed
    int count;           // 1 … kMaxDrafts
  };
  // Fills DraftState::ids of them.
  void draft(std::span<const Wish> wishes);

  DraftPolicy policy;  // of all sequences so far
  DraftCosts costs;

 private:
  void feed_all_but(Sequence& sequence, int64_t rows);
  void begin();
  void add_pending(Sequence& sequence, int64_t count);
  void add_guess(Sequence& sequence, int64_t position, int32_t token, const float* hidden);
  void run(std::span<const int32_t> logit_rows);
  int32_t pick(const Sequence& sequence, size_t row, size_t nth);

  const model::Model& model_;
  ComputePool& pool_;
  const Settings& settings_;
  const TokenLimits limits_;
  model::Workspace& workspace_;
  const int64_t hidden_;
  // One call of the head.
  std::vector<int32_t> ids_;
  std::vector<model::Position> positions_;
  std::vector<model::BatchSequence> sequences_;
  std::vector<Sequence*> members_;  // of sequences_
  VisionInput vision_;
  std::vector<float> rows_, next_rows_;  // [n, hidden]: in and out
  tensor::AlignedBuffer<float> logits_;  // [kDraftRows, draft_ids]
};

}  // namespace godwit::engine
