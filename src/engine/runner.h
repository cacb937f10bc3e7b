// Runner: shares of sequences → one Batch → logits. Keeps the workspaces, so that a step allocates
// nothing of size.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/compute_pool.h"
#include "engine/sequence.h"
#include "engine/settings.h"
#include "engine/vision_input.h"
#include "model/model.h"

namespace godwit::engine {

class Runner {
 public:
  Runner(const model::Model& model, ComputePool& pool, const Settings& settings,
         VisionStore& vision);
  ~Runner();

  struct Work {
    Sequence* sequence;
    int64_t count;   // of its next tokens; pages are reserved
    int64_t logits;  // of the last so many rows are wanted, drafts among them
    struct Pause {
      int64_t position;
      cache::Snapshot snapshot;         // to be filled; no pages: none is wanted
      std::vector<std::byte*> pages{};  // their addresses
    };
    std::vector<Pause> pauses{};  // rising, within
    // Behind the last known token: they are computed too, and may be taken back.
    std::span<const int32_t> drafts{};
  };
  // Memories are advanced. logits(i) belongs to the i-th row that wanted them, until the next call;
  // the caller may change them.
  void run(std::span<const Work> work);
  std::span<float> logits(size_t i) { return {logits_.data() + i * vocabulary_, vocabulary_}; }

  // The last layer's normed output for the tokens and drafts of work[i], if it is an embedding or
  // may be drafted for; until the next call.
  tensor::ConstMatrixView hidden(size_t i) const;

  model::Workspace& workspace() { return *workspace_; }

  // Of a step; one block of the tower at least.
  struct VisionTime {
    Clock::time_point deadline;
    bool used = false;
    bool is_over() const { return used && Clock::now() >= deadline; }
  };
  // Sees to the rows of the vision tower for all media among the next `count` tokens, after what
  // another sequence has begun. True: they are there. False: the time is over, or somebody was
  // cancelled; what was done of a picture is kept for the next call.
  bool encode_media(Sequence& sequence, int64_t count, VisionTime& time);
  void forget(const Sequence& sequence);  // before it goes

 private:
  // A picture or clip in the vision tower.
  struct Encoding {
    Sequence* owner;
    PreparedMedia* media;  // of its prompt
    std::shared_ptr<VisionRows> rows;
    std::unique_ptr<model::VisionPass> pass;
  };
  void add_tokens(const Work& work);
  void start_encoding(Sequence& owner, PreparedMedia& media);
  bool go_on(VisionTime& time);

  const model::Model& model_;
  ComputePool& pool_;
  const Settings& settings_;
  VisionStore& vision_;
  const size_t vocabulary_, hidden_;
  std::unique_ptr<model::Workspace> workspace_, vision_workspace_;
  int64_t vision_patches_ = 0;  // what the second is made for
  std::optional<Encoding> encoding_;
  tensor::AlignedBuffer<float> logits_;       // [max_logit_rows, vocabulary]
  tensor::AlignedBuffer<float> hidden_rows_;  // [max_tokens, hidden]; empty until it is asked for
  std::vector<int32_t> ids_, logit_rows_;
  std::vector<model::Position> positions_;
  std::vector<model::BatchSequence> sequences_;
  std::vector<cache::RecurrentPause> pauses_;  // of all sequences, one after the other
  VisionInput vision_rows_;
};

}  // namespace godwit::engine
