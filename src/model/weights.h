// The weights of a model as plain structs. Members are named as in the checkpoint, shapes are in
// PyTorch's order [out, in]. H hidden size, hd head_dim, K = key_width, V = value_width, nv linear
// value heads, I width of a feed-forward.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "kernels/matmul.h"
#include "model/config.h"

namespace godwit::model {

using kernels::PackedMatrix;
using Vector = std::vector<float>;  // weights of RMS norms are stored as they multiply: 1 + w where
                                    // zero-centred

struct GatedAttentionWeights {
  PackedMatrix q_proj;          // [heads · 2 · hd, H]: per head, the query and then its gate
  PackedMatrix k_proj, v_proj;  // [kv_heads · hd, H]
  PackedMatrix o_proj;          // [H, heads · hd]
  Vector q_norm, k_norm;        // [hd]
};

// Value heads are in the checkpoint's order, or in GGUF's (ModelConfig::gguf).
struct GatedDeltaNetWeights {
  PackedMatrix in_proj_qkv;           // [2K + V, H]: q | k | v
  PackedMatrix in_proj_z;             // [V, H]
  PackedMatrix in_proj_b, in_proj_a;  // [nv, H]
  PackedMatrix out_proj;              // [H, V]
  Vector conv1d;                      // [2K + V, 4]
  Vector A_log;                       // [nv], held as −exp(A_log)
  Vector dt_bias;                     // [nv]
  Vector norm;                        // [value_dim], shared by the heads
};

struct MlpWeights {
  PackedMatrix gate_proj, up_proj;  // [I, H]
  PackedMatrix down_proj;           // [H, I]
};

struct MoeWeights {
  PackedMatrix gate;                // [experts, H]: the router
  std::vector<MlpWeights> experts;  // however they are stored: stacked, fused or one by one
  MlpWeights shared_expert;
  PackedMatrix shared_expert_gate;  // [1, H]
  bool on_disk = false;             // experts are in a mapped file, not all of it in memory
};

struct LayerWeights {
  std::string name;  // "layers.3", "mtp.layers.0"
  int memory_index =
      0;  // among the layers with the same mixer: its place in pages or recurrent views
  Vector input_layernorm;  // [H]
  std::variant<GatedDeltaNetWeights, GatedAttentionWeights> mixer;
  Vector post_attention_layernorm;  // [H]
  std::variant<MlpWeights, MoeWeights> mlp;
};

struct MtpWeights {
  PackedMatrix fc;                                   // [H, 2H]: of embedding | hidden
  Vector pre_fc_norm_embedding, pre_fc_norm_hidden;  // [H]
  LayerWeights layer;
  Vector norm;  // [H]
};

struct DecoderWeights {
  tensor::TensorView embed_tokens;  // [vocab, H], mapped
  PackedMatrix lm_head;             // [vocab, H]; of embed_tokens where tied
  bool tied = false;  // then rows of embed_tokens come from lm_head, which is in memory anyway
  std::vector<LayerWeights> layers;
  Vector norm;  // [H]
  std::optional<MtpWeights> mtp;
};

// ---- Vision: D hidden size of the tower

struct LayerNormWeights {
  Vector weight, bias;
};
struct LinearWeights {
  PackedMatrix weight;
  Vector bias;
};

struct VisionBlockWeights {
  LayerNormWeights norm1, norm2;         // [D]
  LinearWeights qkv;                     // [3D, D]
  LinearWeights proj;                    // [D, D]
  LinearWeights linear_fc1, linear_fc2;  // [I, D], [D, I]
};

struct VisionWeights {
  LinearWeights patch_embed;  // [D, channels · 2 · patch²]
  Vector pos_embed;           // [side², D]
  std::vector<VisionBlockWeights> blocks;
  LayerNormWeights merger_norm;          // [D]
  LinearWeights merger_fc1, merger_fc2;  // [merge²·D, merge²·D], [H, merge²·D]
};

}  // namespace godwit::model
