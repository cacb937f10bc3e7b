// The walk over all tensors of a model: which names it has, with which shapes, into which members.
#include "model/binder.h"

namespace godwit::model {
namespace {

using tensor::Shape;

void bind_attention(Binder& binder, const std::string& prefix, const TextConfig& c,
                    GatedAttentionWeights& w) {
  const int64_t H = c.hidden_size, q = int64_t{2} * c.num_attention_heads * c.head_dim;
  const int64_t kv = int64_t{c.num_kv_heads} * c.head_dim;
  if (binder.has(prefix + "qkv_proj.weight")) {  // GGUF written with --fuse-qkv
    binder.stacked(prefix + "qkv_proj.weight", {q + 2 * kv, H},
                   {{&w.q_proj, q}, {&w.k_proj, kv}, {&w.v_proj, kv}});
  } else {
    binder.matrix(prefix + "q_proj.weight", q, H, w.q_proj);
    binder.matrix(prefix + "k_proj.weight", kv, H, w.k_proj);
    binder.matrix(prefix + "v_proj.weight", kv, H, w.v_proj);
  }
  binder.matrix(prefix + "o_proj.weight", H, q / 2, w.o_proj);
  binder.vector(prefix + "q_norm.weight", {c.head_dim}, VectorForm::kZeroCentred, w.q_norm);
  binder.vector(prefix + "k_norm.weight", {c.head_dim}, VectorForm::kZeroCentred, w.k_norm);
}

void bind_delta_net(Binder& binder, const std::string& prefix, const TextConfig& c,
                    GatedDeltaNetWeights& w) {
  const int64_t H = c.hidden_size, nv = c.linear_value_heads;
  binder.matrix(prefix + "in_proj_qkv.weight", c.conv_channels(), H, w.in_proj_qkv);
  binder.matrix(prefix + "in_proj_z.weight", c.value_width(), H, w.in_proj_z);
  binder.matrix(prefix + "in_proj_b.weight", nv, H, w.in_proj_b);
  binder.matrix(prefix + "in_proj_a.weight", nv, H, w.in_proj_a);
  binder.matrix(prefix + "out_proj.weight", H, c.value_width(), w.out_proj);
  binder.vector(prefix + "conv1d.weight", {c.conv_channels(), 1, c.conv_kernel}, VectorForm::kPlain,
                w.conv1d);
  binder.vector(prefix + "A_log", {nv}, VectorForm::kLogDecay, w.A_log);
  binder.vector(prefix + "dt_bias", {nv}, VectorForm::kPlain, w.dt_bias);
  binder.vector(prefix + "norm.weight", {c.linear_value_dim}, VectorForm::kPlain, w.norm);
}

void bind_mlp(Binder& binder, const std::string& prefix, int64_t H, int64_t I, MlpWeights& w) {
  binder.matrix(prefix + "gate_proj.weight", I, H, w.gate_proj);
  binder.matrix(prefix + "up_proj.weight", I, H, w.up_proj);
  binder.matrix(prefix + "down_proj.weight", H, I, w.down_proj);
}

// Experts come one by one, or stacked, gate and up apart or as one.
void bind_experts(Binder& binder, const std::string& prefix, const TextConfig& c,
                  std::vector<MlpWeights>& experts) {
  const int64_t H = c.hidden_size, I = c.expert_intermediate, E = c.experts;
  experts.resize(E);
  if (binder.has(prefix + "0.down_proj.weight")) {
    for (int64_t e = 0; e < E; ++e)
      bind_mlp(binder, fmt::format("{}{}.", prefix, e), H, I, experts[e]);
    return;
  }
  std::vector<Binder::Part> gate, up, gate_up, down;
  for (MlpWeights& expert : experts) {
    gate.push_back({&expert.gate_proj, I});
    up.push_back({&expert.up_proj, I});
    gate_up.push_back(gate.back());
    gate_up.push_back(up.back());
    down.push_back({&expert.down_proj, H});
  }
  if (binder.has(prefix + "gate_proj")) {
    binder.stacked(prefix + "gate_proj", {E, I, H}, gate);
    binder.stacked(prefix + "up_proj", {E, I, H}, up);
  } else {
    binder.stacked(prefix + "gate_up_proj", {E, 2 * I, H}, gate_up);
  }
  binder.stacked(prefix + "down_proj", {E, H, I}, down);
}

void bind_layer(Binder& binder, const std::string& name, const TextConfig& c, Mixer mixer,
                int memory_index, LayerWeights& w) {
  w.name = name;
  w.memory_index = memory_index;
  binder.vector(name + ".input_layernorm.weight", {c.hidden_size}, VectorForm::kZeroCentred,
                w.input_layernorm);
  binder.vector(name + ".post_attention_layernorm.weight", {c.hidden_size},
                VectorForm::kZeroCentred, w.post_attention_layernorm);
  if (mixer == Mixer::kGatedAttention) {
    bind_attention(binder, name + ".self_attn.", c, w.mixer.emplace<GatedAttentionWeights>());
  } else {
    bind_delta_net(binder, name + ".linear_attn.", c, w.mixer.emplace<GatedDeltaNetWeights>());
  }
  if (c.experts == 0) {
    bind_mlp(binder, name + ".mlp.", c.hidden_size, c.intermediate_size,
             w.mlp.emplace<MlpWeights>());
    return;
  }
  MoeWeights& moe = w.mlp.emplace<MoeWeights>();
  binder.matrix(name + ".mlp.gate.weight", c.experts, c.hidden_size, moe.gate);
  bind_experts(binder, name + ".mlp.experts.", c, moe.experts);
  bind_mlp(binder, name + ".mlp.shared_expert.", c.hidden_size, c.shared_expert_intermediate,
           moe.shared_expert);
  binder.matrix(name + ".mlp.shared_expert_gate.weight", 1, c.hidden_size, moe.shared_expert_gate);
}

void bind_mtp(Binder& binder, const TextConfig& c, MtpWeights& w) {
  const int64_t H = c.hidden_size;
  binder.matrix("mtp.fc.weight", H, 2 * H, w.fc);
  binder.vector("mtp.pre_fc_norm_embedding.weight", {H}, VectorForm::kZeroCentred,
                w.pre_fc_norm_embedding);
  binder.vector("mtp.pre_fc_norm_hidden.weight", {H}, VectorForm::kZeroCentred,
                w.pre_fc_norm_hidden);
  bind_layer(binder, "mtp.layers.0", c, Mixer::kGatedAttention, 0, w.layer);
  binder.vector("mtp.norm.weight", {H}, VectorForm::kZeroCentred, w.norm);
}

}  // namespace

void bind_decoder(Binder& binder, const ModelConfig& config, const LoadOptions& options,
                  DecoderWeights& weights) {
  const TextConfig& c = config.text;
  binder.count_in(&WeightPlan::text_parameters);
  binder.mapped("embed_tokens.weight", {c.vocab_size, c.hidden_size}, weights.embed_tokens);
  weights.tied = c.tied_embeddings && !binder.has("lm_head.weight");
  if (!weights.tied) binder.stays_mapped(weights.embed_tokens);
  binder.matrix(weights.tied ? "embed_tokens.weight" : "lm_head.weight", c.vocab_size,
                c.hidden_size, weights.lm_head);
  int attention_layers = 0, delta_net_layers = 0;
  weights.layers.resize(c.num_layers);
  for (int i = 0; i < c.num_layers; ++i) {
    int& count = c.layers[i] == Mixer::kGatedAttention ? attention_layers : delta_net_layers;
    bind_layer(binder, fmt::format("layers.{}", i), c, c.layers[i], count++, weights.layers[i]);
  }
  binder.vector("norm.weight", {c.hidden_size}, VectorForm::kZeroCentred, weights.norm);

  if (!options.drafting || c.mtp_layers == 0) return binder.ignore("mtp.");
  if (!binder.has_any("mtp."))
    return binder.note("the drafting head (mtp.*) that the configuration names is absent");
  binder.count_in(&WeightPlan::mtp_parameters);
  bind_mtp(binder, c, weights.mtp.emplace());
}

void bind_vision(Binder& binder, const VisionConfig& c, VisionWeights& w) {
  binder.count_in(&WeightPlan::vision_parameters);
  const int64_t D = c.hidden_size, I = c.intermediate_size,
                merged = D * c.merge_size * c.merge_size;
  const auto norm = [&](const std::string& name, LayerNormWeights& target) {
    binder.vector(name + ".weight", {D}, VectorForm::kPlain, target.weight);
    binder.vector(name + ".bias", {D}, VectorForm::kPlain, target.bias);
  };
  const auto linear = [&](const std::string& name, int64_t rows, int64_t columns,
                          LinearWeights& target) {
    binder.matrix(name + ".weight", rows, columns, target.weight);
    binder.vector(name + ".bias", {rows}, VectorForm::kPlain, target.bias);
  };
  binder.patch_embedding("visual.patch_embed.proj.weight", D, c.patch_size, w.patch_embed.weight);
  binder.vector("visual.patch_embed.proj.bias", {D}, VectorForm::kPlain, w.patch_embed.bias);
  binder.vector("visual.pos_embed.weight", {c.num_position_embeddings, D}, VectorForm::kPlain,
                w.pos_embed);
  w.blocks.resize(c.depth);
  for (int i = 0; i < c.depth; ++i) {
    const std::string name = fmt::format("visual.blocks.{}.", i);
    VisionBlockWeights& block = w.blocks[i];
    norm(name + "norm1", block.norm1);
    norm(name + "norm2", block.norm2);
    linear(name + "attn.qkv", 3 * D, D, block.qkv);
    linear(name + "attn.proj", D, D, block.proj);
    linear(name + "mlp.linear_fc1", I, D, block.linear_fc1);
    linear(name + "mlp.linear_fc2", D, I, block.linear_fc2);
  }
  norm("visual.merger.norm", w.merger_norm);
  linear("visual.merger.linear_fc1", merged, merged, w.merger_fc1);
  linear("visual.merger.linear_fc2", c.out_hidden_size, merged, w.merger_fc2);
}

}  // namespace godwit::model
