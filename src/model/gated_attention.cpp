// Gated attention (spec §2.4): each head's query brings a gate; the sum over values is multiplied
// by sigmoid(gate).
//
//   q|gate, k, v = x · Wᵀ      q, k = rope(rms(q)), rope(rms(k))
//   out = (attention(q, K, V) · σ(gate)) · Woᵀ
#include <cmath>

#include "kernels/matmul.h"
#include "model/mixers.h"

namespace godwit::model {
namespace {

// The pages of this layer of one sequence: page = [attention layer][key | value][kv_heads,
// page_tokens, head_dim].
kernels::KvPages pages_of(const Step& step, const BatchSequence& sequence, int layer) {
  const cache::CacheGeometry& geometry = *step.batch.geometry;
  const cache::SequenceView& memory = sequence.memory;
  const int64_t positions = memory.cached + sequence.count;
  const auto count =
      static_cast<size_t>((positions + geometry.page_tokens - 1) / geometry.page_tokens);
  CHECK(count <= memory.pages.size() && count <= step.key_pages.size());
  const size_t half = geometry.half_bytes();
  for (size_t p = 0; p < count; ++p) {
    step.key_pages[p] = memory.pages[p] + 2 * layer * half;
    step.value_pages[p] = memory.pages[p] + (2 * layer + 1) * half;
  }
  return {step.key_pages.data(), step.value_pages.data(), geometry.kv_type,
          geometry.page_tokens,  geometry.kv_heads,       geometry.head_dim};
}

}  // namespace

GatedAttentionScratch::GatedAttentionScratch(Arena& arena, const kernels::Context& context,
                                             const TextConfig& c, int64_t n)
    : q(arena.matrix(n, int64_t{2} * c.num_attention_heads * c.head_dim)),
      k(arena.matrix(n, int64_t{c.num_kv_heads} * c.head_dim)),
      v(arena.matrix(n, int64_t{c.num_kv_heads} * c.head_dim)),
      mixed(arena.matrix(n, int64_t{c.num_attention_heads} * c.head_dim)),
      attention(arena.array<std::byte>(kernels::attention_scratch_bytes(
          context.pool->threads(), n, c.num_attention_heads, c.head_dim))) {}

void mix(const Step& step, const GatedAttentionWeights& w, const LayerWeights& layer,
         ConstMatrixView x, MatrixView out) {
  const TextConfig& c = step.config;
  const kernels::Context& context = step.context;
  const Arena::Scope scope(step.arena);
  GatedAttentionScratch s(step.arena, context, c, step.tokens());
  const int heads = c.num_attention_heads, hd = c.head_dim, half = c.rope.rotary_dim / 2;
  const auto eps = static_cast<float>(c.rms_norm_eps);

  const kernels::Product projections[] = {{.weight = &w.q_proj, .out = s.q},
                                          {.weight = &w.k_proj, .out = s.k},
                                          {.weight = &w.v_proj, .out = s.v}};
  observe_input(step, layer, "mixer", "input", x);
  kernels::matmul(context, x, projections, step.matmul_scratch, "attention.qkv");
  kernels::head_norm_rope(context, s.q, heads, hd, 2 * hd, w.q_norm.data(), eps, half,
                          step.cos.data, step.sin.data);
  kernels::head_norm_rope(context, s.k, c.num_kv_heads, hd, hd, w.k_norm.data(), eps, half,
                          step.cos.data, step.sin.data);

  const float scale = 1 / std::sqrt(static_cast<float>(hd));
  for (const BatchSequence& sequence : step.batch.sequences) {
    const kernels::KvPages pages = pages_of(step, sequence, layer.memory_index);
    const int64_t first = sequence.first, count = sequence.count, cached = sequence.memory.cached;
    kernels::store_kv(context, pages, cached, rows(s.k, first, count), rows(s.v, first, count));
    for_pieces(sequence, [&](int64_t begin, int64_t end) {
      const MatrixView q = rows(s.q, first + begin, end - begin);
      kernels::attention(context, pages, cached + begin, q, heads, 2 * hd, q.data + hd, scale,
                         rows(s.mixed, first + begin, end - begin), s.attention);
    });
  }
  const kernels::Product output[] = {{.weight = &w.o_proj, .out = out}};
  observe_input(step, layer, "mixer", "inner", s.mixed);
  kernels::matmul(context, s.mixed, output, step.matmul_scratch, "attention.output");
}

}  // namespace godwit::model
