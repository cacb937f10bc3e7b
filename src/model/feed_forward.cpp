// Feed-forwards: SwiGLU, and a mixture of experts made of it (spec §2.6, §2.7).
//
//   mlp(x) = (silu(x · Wgateᵀ) · (x · Wupᵀ)) · Wdownᵀ
//   moe(x) = Σ over the chosen experts e, by rising e, of w_e · mlp_e(x)
//            + σ(x · wsᵀ) · mlp_shared(x)
//
// Tokens are grouped by expert, so an expert's weights are read once for all its tokens, and those
// of experts that nobody chose are not touched at all.
#include <algorithm>
#include <cstring>

#include "base/resident.h"
#include "kernels/matmul.h"
#include "model/mixers.h"

namespace godwit::model {
namespace {

// What a SwiGLU belongs to: "mlp", "shared" or one of the "experts".
struct MlpOwner {
  const LayerWeights& layer;
  const char* part;
  int expert = -1;
};

void run_mlp(const Step& step, const MlpOwner& owner, const MlpWeights& w, ConstMatrixView x,
             const MlpScratch& s, MatrixView out) {
  observe_input(step, owner.layer, owner.part, "input", x, owner.expert);
  const kernels::Product inner[] = {{.weight = &w.gate_proj, .out = s.gate},
                                    {.weight = &w.up_proj, .out = s.up}};
  kernels::matmul(step.context, x, inner, step.matmul_scratch, "mlp.gate_up");
  kernels::silu_mul(step.context, s.gate, s.up, s.gate);
  observe_input(step, owner.layer, owner.part, "inner", s.gate, owner.expert);
  const kernels::Product outer[] = {{.weight = &w.down_proj, .out = out}};
  kernels::matmul(step.context, s.gate, outer, step.matmul_scratch, "mlp.down");
}

MlpScratch first_rows(const MlpScratch& s, int64_t count) {
  MlpScratch result = s;
  result.gate.rows = result.up.rows = count;
  return result;
}

// From each token's experts to each expert's tokens: a counting sort, stable, so tokens stay in
// their order.
void group_by_expert(const MoeScratch& s, int64_t n, int per_token) {
  std::fill(s.first.begin(), s.first.end(), 0);
  for (const int32_t expert : s.chosen) ++s.first[expert + 1];
  for (size_t e = 1; e < s.first.size(); ++e) s.first[e] += s.first[e - 1];
  for (int64_t t = 0; t < n; ++t) {
    for (int64_t i = t * per_token; i < (t + 1) * per_token; ++i) {
      const int32_t place = s.first[s.chosen[i]]++;
      s.token[place] = static_cast<int32_t>(t);
      s.scale[place] = s.weight[i];
    }
  }
  // Each beginning has moved to its end, which is the next one's beginning.
  std::copy_backward(s.first.begin(), s.first.end() - 1, s.first.end());
  s.first[0] = 0;
}

// Asks for the weights of the next few chosen experts, where they are on disk: they come while
// others are computed.
class Fetcher {
 public:
  Fetcher(const MoeWeights& w, const MoeScratch& s) : w_(w), s_(s) {}
  void next_expert() {
    if (!w_.on_disk) return;
    for (; asked_ - done_ < kAhead && next_ < w_.experts.size(); ++next_) {
      if (s_.first[next_] == s_.first[next_ + 1]) continue;
      const MlpWeights& e = w_.experts[next_];
      for (const auto* m : {&e.gate_proj, &e.up_proj, &e.down_proj})
        will_need({m->data(), m->bytes()});
      ++asked_;
    }
    ++done_;
  }

 private:
  static constexpr int kAhead = 8;
  const MoeWeights& w_;
  const MoeScratch& s_;
  size_t next_ = 0;
  int asked_ = 0, done_ = 0;
};

// out += its shared expert, scaled by a sigmoid of its own.
void add_shared_expert(const Step& step, const MoeWeights& w, const LayerWeights& layer,
                       ConstMatrixView x, const MoeScratch& s, MatrixView out) {
  run_mlp(step, {layer, "shared"}, w.shared_expert, x, s.shared, s.out);
  kernels::sigmoid(step.context, s.shared_gate);
  for (int64_t t = 0; t < x.rows; ++t) s.token[t] = static_cast<int32_t>(t);
  kernels::add_scaled_rows(step.context, s.out, s.shared_gate.data, s.token.data(), out);
}

}  // namespace

MoeScratch::MoeScratch(Arena& arena, const TextConfig& c, int64_t n)
    : router(arena.matrix(n, c.experts)),
      shared_gate(arena.matrix(n, 1)),
      shared(arena, c.shared_expert_intermediate, n),
      chosen(arena.array<int32_t>(n * c.experts_per_token)),
      weight(arena.array<float>(n * c.experts_per_token)),
      first(arena.array<int32_t>(c.experts + 1)),
      token(arena.array<int32_t>(n * c.experts_per_token)),
      scale(arena.array<float>(n * c.experts_per_token)),
      x(arena.matrix(n, c.hidden_size)),
      out(arena.matrix(n, c.hidden_size)),
      expert(arena, c.expert_intermediate, n) {}

void feed_forward(const Step& step, const MlpWeights& w, const LayerWeights& layer,
                  ConstMatrixView x, MatrixView out) {
  const Arena::Scope scope(step.arena);
  run_mlp(step, {layer, "mlp"}, w, x, MlpScratch(step.arena, step.config.intermediate_size, x.rows),
          out);
}

void feed_forward(const Step& step, const MoeWeights& w, const LayerWeights& layer,
                  ConstMatrixView x, MatrixView out) {
  const TextConfig& c = step.config;
  const Arena::Scope scope(step.arena);
  const MoeScratch s(step.arena, c, x.rows);

  const kernels::Product routers[] = {{.weight = &w.gate, .out = s.router},
                                      {.weight = &w.shared_expert_gate, .out = s.shared_gate}};
  kernels::matmul(step.context, x, routers, step.matmul_scratch, "router");
  observe(step, layer, "router", s.router);
  kernels::choose_experts(step.context, s.router, c.experts_per_token, s.chosen.data(),
                          s.weight.data());
  group_by_expert(s, x.rows, c.experts_per_token);

  for (int64_t t = 0; t < out.rows; ++t) std::fill_n(out.row(t), out.columns, 0.0f);
  Fetcher fetcher(w, s);
  for (int e = 0; e < c.experts; ++e) {
    const int32_t first = s.first[e];
    const int64_t count = s.first[e + 1] - first;
    if (count == 0) continue;
    fetcher.next_expert();
    for (int64_t i = 0; i < count; ++i) {
      std::memcpy(s.x.row(i), x.row(s.token[first + i]), x.columns * sizeof(float));
    }
    const MatrixView y = rows(s.out, 0, count);
    run_mlp(step, {layer, "experts", e}, w.experts[e], rows(s.x, 0, count),
            first_rows(s.expert, count), y);
    kernels::add_scaled_rows(step.context, y, s.scale.data() + first, s.token.data() + first, out);
  }
  add_shared_expert(step, w, layer, x, s, out);
}

}  // namespace godwit::model
