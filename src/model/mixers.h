// The parts of a decoder layer. A mixer lets tokens of one sequence see each other; a feed-forward
// works on each token alone.
//
// A new mixer is: a struct of weights (weights.h) in LayerWeights::mixer, its walk (bind.cpp), and
// one overload of mix() with its scratch. forward() does not change.
#pragma once

#include <fmt/format.h>

#include <span>
#include <string_view>

#include "kernels/context.h"
#include "kernels/ops.h"
#include "model/batch.h"
#include "model/config.h"
#include "model/observer.h"
#include "model/weights.h"
#include "model/workspace.h"

namespace godwit::model {

using tensor::ConstMatrixView;
using tensor::MatrixView;

// What every part of a layer needs in one call. n: tokens of the batch.
struct Step {
  const kernels::Context& context;
  const TextConfig& config;
  bool gguf_head_order = false;
  const Batch& batch;
  Arena& arena;
  ConstMatrixView cos, sin;  // [n, rotary_dim / 2]
  std::span<std::byte> matmul_scratch;
  std::span<std::byte*> key_pages,
      value_pages;  // of one layer of one sequence, filled when it is due
  Observer* observer = nullptr;

  int64_t tokens() const { return static_cast<int64_t>(batch.ids.size()); }
};

// Calls visit(begin, end) for the pieces of a sequence's tokens between its pauses: mixers work
// through them as if each were a call, so that a pause gives the bits of a cut.
template <class Visit>
void for_pieces(const BatchSequence& sequence, const Visit& visit) {
  int64_t begin = 0;
  for (const cache::RecurrentPause& pause : sequence.memory.pauses) {
    visit(begin, pause.tokens);
    begin = pause.tokens;
  }
  visit(begin, sequence.count);
}

// x [n, H] (normalised) → out [n, H]
void mix(const Step& step, const GatedDeltaNetWeights& weights, const LayerWeights& layer,
         ConstMatrixView x, MatrixView out);
void mix(const Step& step, const GatedAttentionWeights& weights, const LayerWeights& layer,
         ConstMatrixView x, MatrixView out);
void feed_forward(const Step& step, const MlpWeights& weights, const LayerWeights& layer,
                  ConstMatrixView x, MatrixView out);
void feed_forward(const Step& step, const MoeWeights& weights, const LayerWeights& layer,
                  ConstMatrixView x, MatrixView out);

// Scratch of each, carved in mix() and feed_forward(), and counted when the workspace is sized.
struct GatedDeltaNetScratch {
  GatedDeltaNetScratch(Arena& arena, const kernels::Context& context, const TextConfig& config,
                       int64_t n);
  MatrixView qkv, convolved;   // [n, conv_channels]
  MatrixView z;                // [n, value_width]
  MatrixView b, a;             // [n, value_heads]
  MatrixView beta, log_decay;  // [n, value_heads]
  MatrixView mixed;            // [n, value_width]
  std::span<std::byte> rule;
};
struct GatedAttentionScratch {
  GatedAttentionScratch(Arena& arena, const kernels::Context& context, const TextConfig& config,
                        int64_t n);
  MatrixView q;      // [n, heads · 2 · head_dim]: per head, query and gate
  MatrixView k, v;   // [n, kv_heads · head_dim]
  MatrixView mixed;  // [n, heads · head_dim]
  std::span<std::byte> attention;
};
struct MlpScratch {
  MlpScratch(Arena& arena, int64_t width, int64_t n)
      : gate(arena.matrix(n, width)), up(arena.matrix(n, width)) {}
  MatrixView gate, up;  // [n, I]
};
struct MoeScratch {
  MoeScratch(Arena& arena, const TextConfig& config, int64_t n);
  MatrixView router;       // [n, experts]
  MatrixView shared_gate;  // [n, 1]
  MlpScratch shared;
  std::span<int32_t> chosen;  // [n · experts_per_token], per token, rising ids
  std::span<float> weight;    // [n · experts_per_token]
  std::span<int32_t> first;   // [experts + 1]: where each expert's tokens begin in the two below
  std::span<int32_t> token;   // [n · experts_per_token], or the n tokens themselves
  std::span<float> scale;     // [n · experts_per_token]
  MatrixView x, out;          // [n, H]: one expert's tokens
  MlpScratch expert;
};

inline void observe(const Step& step, const LayerWeights& layer, std::string_view what,
                    ConstMatrixView view) {
  if (step.observer) step.observer->observe(fmt::format("{}.{}", layer.name, what), view);
}
// The input of a product, for observers that want it. `part` is followed by an expert's number if
// there is one.
inline void observe_input(const Step& step, const LayerWeights& layer, std::string_view part,
                          std::string_view what, ConstMatrixView view, int expert = -1) {
  if (!step.observer || !step.observer->wants_inputs()) return;
  const std::string number = expert < 0 ? "" : fmt::format(".{}", expert);
  step.observer->observe(fmt::format("{}.{}{}.{}", layer.name, part, number, what), view);
}
// Rows [first, first + count) of a view.
inline MatrixView rows(MatrixView m, int64_t first, int64_t count) {
  return {m.row(first), count, m.columns, m.stride};
}
inline ConstMatrixView rows(ConstMatrixView m, int64_t first, int64_t count) {
  return {m.row(first), count, m.columns, m.stride};
}

}  // namespace godwit::model
