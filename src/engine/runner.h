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
    int64_t logits;  // of the last so many of them are wanted
    struct Pause {
      int64_t position;
      cache::Snapshot snapshot;         // to be filled; no pages: none is wanted
      std::vector<std::byte*> pages{};  // their addresses
    };
    std::vector<Pause> pauses{};  // rising, within
  };
  // Memories are advanced. logits(i) belongs to the i-th row that wanted them, until the next call;
  // the caller may change them.
  void run(std::span<const Work> work);
  std::span<float> logits(size_t i) { return {logits_.data() + i * vocabulary_, vocabulary_}; }

  // The last layer's normed output for the tokens of work[i], if it is an embedding; until the next
  // call.
  tensor::ConstMatrixView hidden(size_t i) const;

  // Rows of the vision tower for all media that a share touches. Returns the seconds it took, or
  // nothing if the request was cancelled meanwhile.
  std::optional<double> encode_media(const Work& work);

 private:
  void add_tokens(const Work& work);
  void add_vision_rows(const Sequence& sequence, int64_t begin, int64_t end, size_t first_row);

  const model::Model& model_;
  ComputePool& pool_;
  const Settings& settings_;
  VisionStore& vision_;
  const size_t vocabulary_, hidden_;
  std::unique_ptr<model::Workspace> workspace_, vision_workspace_;
  int64_t vision_patches_ = 0;           // what the second is made for
  tensor::AlignedBuffer<float> logits_;  // [max_logit_rows, vocabulary]
  tensor::AlignedBuffer<float>
      hidden_rows_;  // [max_tokens, hidden]; empty until an embedding is asked for
  std::vector<int32_t> ids_, vision_row_, logit_rows_;
  std::vector<model::Position> positions_;
  std::vector<model::BatchSequence> sequences_;
  std::vector<cache::RecurrentPause> pauses_;  // of all sequences, one after the other
  std::vector<float> vision_rows_;             // [v, hidden]
};

}  // namespace godwit::engine
