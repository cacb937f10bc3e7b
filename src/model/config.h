// ModelConfig: every size of a checkpoint, derived and checked, from config.json or GGUF metadata.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "checkpoint/model_folder.h"

namespace godwit::model {

enum class Mixer { kGatedDeltaNet, kGatedAttention };

struct RopeConfig {
  double theta = 1e7;
  int rotary_dim = 64;             // head_dim · partial_rotary_factor
  int sections[3] = {11, 11, 10};  // frequencies on the time, height and width axis, interleaved
  double yarn_factor = 1;          // 1: no YaRN
  int64_t yarn_original_context = 0;
  double yarn_beta_fast = 32, yarn_beta_slow = 1;
  double yarn_attention_factor = 0;  // 0: 0.1 · ln(factor) + 1
};

struct TextConfig {
  int64_t vocab_size = 0;  // embedding rows
  int hidden_size = 0, intermediate_size = 0, num_layers = 0;
  int num_attention_heads = 0, num_kv_heads = 0, head_dim = 0;
  int linear_key_heads = 0, linear_value_heads = 0, linear_key_dim = 0, linear_value_dim = 0,
      conv_kernel = 4;
  double rms_norm_eps = 1e-6;
  int64_t max_context = 0;
  bool tied_embeddings = false;
  std::vector<Mixer> layers;
  RopeConfig rope;
  int mtp_layers = 0;
  // Mixture of experts; experts == 0: dense
  int experts = 0, experts_per_token = 0, expert_intermediate = 0, shared_expert_intermediate = 0;

  int key_width() const { return linear_key_heads * linear_key_dim; }
  int value_width() const { return linear_value_heads * linear_value_dim; }
  int conv_channels() const { return 2 * key_width() + value_width(); }
};

struct VisionConfig {
  int depth = 0, hidden_size = 0, num_heads = 0, intermediate_size = 0, out_hidden_size = 0;
  int patch_size = 16, temporal_patch_size = 2, merge_size = 2, in_channels = 3;
  int num_position_embeddings = 0;  // a square
  int head_dim() const { return hidden_size / num_heads; }
  int patch_values() const { return in_channels * temporal_patch_size * patch_size * patch_size; }
};

struct VisionGrid {
  int32_t t = 0, h = 0, w = 0;
};

struct ModelConfig {
  TextConfig text;
  std::optional<VisionConfig> vision;
  int32_t image_token = -1, video_token = -1, vision_start_token = -1, vision_end_token = -1;
  bool gguf = false;  // weights in GGUF's order of value heads, norms with 1 added
  std::string name;   // for people
};

// Checks every size (positive, divisible, in range) and says all that is wrong in one error.
Result<ModelConfig> read_config(const checkpoint::ModelFiles& files);

}  // namespace godwit::model
