// Gated delta net (spec §2.3): a state per value head instead of a growing cache.
//
//   q|k|v, z, b, a = x · Wᵀ            q|k|v = silu(conv(q|k|v))
//   β = σ(b), g = −exp(A_log) · softplus(a + dt_bias)
//   o = delta_rule(q, k, v, β, g)      out = (norm(o) · silu(z)) · Woutᵀ
//
// Convolution and rule run per sequence, from its memory. A sequence's rows are all real tokens:
// the state never sees padding.
#include <cstring>

#include "kernels/matmul.h"
#include "model/loaded_model.h"
#include "model/mixers.h"

namespace godwit::model {
namespace {

kernels::DeltaRuleShape rule_shape(const TextConfig& c, bool gguf_head_order) {
  return {c.linear_key_heads, c.linear_value_heads, c.linear_key_dim, c.linear_value_dim,
          gguf_head_order};
}

}  // namespace

void LoadedModel::replay(const float* factors, int64_t positions, const float* from,
                         float* state) const {
  kernels::delta_replay(context_, factors, positions, rule_shape(config_.text, config_.gguf),
                        {state, from});
}

GatedDeltaNetScratch::GatedDeltaNetScratch(Arena& arena, const kernels::Context& context,
                                           const TextConfig& c, int64_t n)
    : qkv(arena.matrix(n, c.conv_channels())),
      convolved(arena.matrix(n, c.conv_channels())),
      z(arena.matrix(n, c.value_width())),
      b(arena.matrix(n, c.linear_value_heads)),
      a(arena.matrix(n, c.linear_value_heads)),
      beta(arena.matrix(n, c.linear_value_heads)),
      log_decay(arena.matrix(n, c.linear_value_heads)),
      mixed(arena.matrix(n, c.value_width())),
      rule(arena.array<std::byte>(
          kernels::delta_rule_scratch_bytes(context.pool->threads(), n, rule_shape(c, false)))) {}

void mix(const Step& step, const GatedDeltaNetWeights& w, const LayerWeights& layer,
         ConstMatrixView x, MatrixView out) {
  const TextConfig& c = step.config;
  const kernels::Context& context = step.context;
  const Arena::Scope scope(step.arena);
  GatedDeltaNetScratch s(step.arena, context, c, step.tokens());

  const kernels::Product projections[] = {{.weight = &w.in_proj_qkv, .out = s.qkv},
                                          {.weight = &w.in_proj_z, .out = s.z},
                                          {.weight = &w.in_proj_b, .out = s.b},
                                          {.weight = &w.in_proj_a, .out = s.a}};
  observe_input(step, layer, "mixer", "input", x);
  kernels::matmul(context, x, projections, step.matmul_scratch, "delta_net.input");
  kernels::delta_gates(context, s.b, s.a, w.A_log.data(), w.dt_bias.data(), s.beta, s.log_decay);

  for (const BatchSequence& sequence : step.batch.sequences) {
    const int64_t first = sequence.first, count = sequence.count;
    const cache::RecurrentView& memory = sequence.memory.recurrent[layer.memory_index];
    if (memory.conv_log)
      std::memcpy(memory.conv_log, s.qkv.row(first), count * s.qkv.columns * sizeof(float));
    auto pause = sequence.memory.pauses.begin();
    for_pieces(sequence, [&](int64_t begin, int64_t end) {
      const int64_t at = first + begin, n = end - begin;
      kernels::causal_conv_silu(context, rows(s.qkv, at, n), w.conv1d.data(), memory.conv,
                                rows(s.convolved, at, n));
      float* factors =
          memory.factors ? memory.factors + begin * step.batch.geometry->factor_floats() : nullptr;
      kernels::delta_rule(context, rows(s.convolved, at, n), rows(s.beta, at, n),
                          rows(s.log_decay, at, n), rule_shape(c, step.gguf_head_order),
                          {memory.state, begin == 0 ? memory.from : nullptr}, {factors},
                          rows(s.mixed, at, n), s.rule);
      if (end < count)
        cache::keep_layer(*step.batch.geometry, *pause++, layer.memory_index, memory);
    });
  }
  kernels::gated_rms_norm(context, s.mixed, s.z, w.norm.data(), c.linear_value_heads,
                          c.linear_value_dim, static_cast<float>(c.rms_norm_eps), s.mixed);
  const kernels::Product output[] = {{.weight = &w.out_proj, .out = out}};
  observe_input(step, layer, "mixer", "inner", s.mixed);
  kernels::matmul(context, s.mixed, output, step.matmul_scratch, "delta_net.output");
}

}  // namespace godwit::model
