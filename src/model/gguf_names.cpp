// Names of GGUF tensors in the checkpoint's words (spec §8.3, §8.5).
#include <charconv>
#include <tuple>
#include <utility>

#include "model/binder.h"

namespace godwit::model {
namespace {

using Names = std::pair<std::string_view, std::string_view>;

constexpr Names kGlobal[] = {
    {"token_embd.weight", "embed_tokens.weight"},
    {"output_norm.weight", "norm.weight"},
    {"output.weight", "lm_head.weight"},
    {"v.patch_embd.weight", "visual.patch_embed.proj.weight"},
    {"v.patch_embd.weight.1", "visual.patch_embed.proj.weight.1"},
    {"v.patch_embd.bias", "visual.patch_embed.proj.bias"},
    {"v.position_embd.weight", "visual.pos_embed.weight"},
    {"v.post_ln.weight", "visual.merger.norm.weight"},
    {"v.post_ln.bias", "visual.merger.norm.bias"},
    {"mm.0.weight", "visual.merger.linear_fc1.weight"},
    {"mm.0.bias", "visual.merger.linear_fc1.bias"},
    {"mm.2.weight", "visual.merger.linear_fc2.weight"},
    {"mm.2.bias", "visual.merger.linear_fc2.bias"},
};

// Below "blk.N."
constexpr Names kLayer[] = {
    {"attn_norm.weight", "input_layernorm.weight"},
    {"post_attention_norm.weight", "post_attention_layernorm.weight"},
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"attn_q_norm.weight", "self_attn.q_norm.weight"},
    {"attn_k_norm.weight", "self_attn.k_norm.weight"},
    {"attn_gate.weight", "linear_attn.in_proj_z.weight"},
    {"ssm_conv1d.weight", "linear_attn.conv1d.weight"},
    {"ssm_dt.bias", "linear_attn.dt_bias"},
    {"ssm_a", "linear_attn.A_log"},
    {"ssm_alpha.weight", "linear_attn.in_proj_a.weight"},
    {"ssm_beta.weight", "linear_attn.in_proj_b.weight"},
    {"ssm_norm.weight", "linear_attn.norm.weight"},
    {"ssm_out.weight", "linear_attn.out_proj.weight"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
    {"ffn_gate_inp.weight", "mlp.gate.weight"},
    {"ffn_gate_exps.weight", "mlp.experts.gate_proj"},
    {"ffn_up_exps.weight", "mlp.experts.up_proj"},
    {"ffn_gate_up_exps.weight", "mlp.experts.gate_up_proj"},
    {"ffn_down_exps.weight", "mlp.experts.down_proj"},
    {"ffn_gate_inp_shexp.weight", "mlp.shared_expert_gate.weight"},
    {"ffn_gate_shexp.weight", "mlp.shared_expert.gate_proj.weight"},
    {"ffn_up_shexp.weight", "mlp.shared_expert.up_proj.weight"},
    {"ffn_down_shexp.weight", "mlp.shared_expert.down_proj.weight"},
};

// Below "blk.L.", L the number of decoder layers
constexpr Names kDrafting[] = {
    {"nextn.eh_proj.weight", "mtp.fc.weight"},
    {"nextn.enorm.weight", "mtp.pre_fc_norm_embedding.weight"},
    {"nextn.hnorm.weight", "mtp.pre_fc_norm_hidden.weight"},
    {"nextn.shared_head_norm.weight", "mtp.norm.weight"},
};

// Below "v.blk.N.", before ".weight" or ".bias"
constexpr Names kVisionBlock[] = {
    {"ln1", "norm1"},
    {"ln2", "norm2"},
    {"attn_qkv", "attn.qkv"},
    {"attn_out", "attn.proj"},
    {"ffn_up", "mlp.linear_fc1"},
    {"ffn_down", "mlp.linear_fc2"},
};

std::string_view look_up(std::span<const Names> names, std::string_view name) {
  for (const auto& [gguf, ours] : names) {
    if (gguf == name) return ours;
  }
  return {};
}

std::string_view look_up_ours(std::span<const Names> names, std::string_view name) {
  for (const auto& [gguf, ours] : names) {
    if (ours == name) return gguf;
  }
  return {};
}

// "blk.12.rest" → 12, "rest"; −1 if it has another form.
std::pair<int, std::string_view> split_block(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return {-1, {}};
  name.remove_prefix(prefix.size());
  int block = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), block);
  const auto digits = static_cast<size_t>(end - name.data());
  if (error != std::errc() || digits >= name.size() || name[digits] != '.') return {-1, {}};
  return {block, name.substr(digits + 1)};
}

}  // namespace

std::string translate_gguf_name(std::string_view name, const TextConfig& config) {
  if (const std::string_view ours = look_up(kGlobal, name); !ours.empty()) return std::string(ours);

  if (const auto [block, rest] = split_block(name, "v.blk."); block >= 0) {
    const size_t dot = rest.find_last_of('.');
    const std::string_view ours = look_up(kVisionBlock, rest.substr(0, dot));
    if (ours.empty() || dot == std::string_view::npos) return {};
    return fmt::format("visual.blocks.{}.{}{}", block, ours, rest.substr(dot));
  }

  const auto [block, rest] = split_block(name, "blk.");
  if (block < 0 || block >= config.num_layers + config.mtp_layers) return {};
  const bool drafting = block >= config.num_layers;
  if (const std::string_view ours = look_up(kDrafting, rest); drafting && !ours.empty())
    return std::string(ours);
  const std::string layer = drafting ? fmt::format("mtp.layers.{}.", block - config.num_layers)
                                     : fmt::format("layers.{}.", block);
  if (rest == "attn_qkv.weight") {  // the name alone does not say which mixer it belongs to
    const bool delta_net = !drafting && config.layers[block] == Mixer::kGatedDeltaNet;
    return layer + (delta_net ? "linear_attn.in_proj_qkv.weight" : "self_attn.qkv_proj.weight");
  }
  const std::string_view ours = look_up(kLayer, rest);
  return ours.empty() ? std::string() : layer + std::string(ours);
}

std::string gguf_name(std::string_view name, const TextConfig& config) {
  if (const std::string_view gguf = look_up_ours(kGlobal, name); !gguf.empty())
    return std::string(gguf);
  if (const auto [block, rest] = split_block(name, "visual.blocks."); block >= 0) {
    const size_t dot = rest.find_last_of('.');
    const std::string_view gguf = look_up_ours(kVisionBlock, rest.substr(0, dot));
    return gguf.empty() ? "" : fmt::format("v.blk.{}.{}{}", block, gguf, rest.substr(dot));
  }
  if (const std::string_view gguf = look_up_ours(kDrafting, name); !gguf.empty())
    return fmt::format("blk.{}.{}", config.num_layers, gguf);
  auto [block, rest] = split_block(name, "layers.");
  if (block < 0) {
    std::tie(block, rest) = split_block(name, "mtp.layers.");
    if (block >= 0) block += config.num_layers;
  }
  if (block < 0) return {};
  const std::string_view gguf =
      rest == "linear_attn.in_proj_qkv.weight" ? "attn_qkv.weight" : look_up_ours(kLayer, rest);
  return gguf.empty() ? std::string() : fmt::format("blk.{}.{}", block, gguf);
}

std::string strip_prefixes(std::string_view name) {
  for (std::string_view prefix : {"model.", "language_model.", "model."}) {
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  }
  return std::string(name);
}

}  // namespace godwit::model
