// The eight sizes of Qwen3.5 as the official repositories have them: config.json and every tensor's
// name, type and shape. With them a checkpoint of the real size can be opened in a test: its data
// are a hole in a sparse file.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "checkpoint/json.h"
#include "tensor/view.h"

namespace godwit::tests {

using checkpoint::Json;
using tensor::DType;

struct RealTensor {
  std::string name;
  DType dtype;
  tensor::Shape shape;
};

struct RealSize {
  std::string name;
  std::string config;  // config.json
  std::vector<RealTensor> tensors;
  // What the shipped repositories have.
  int64_t text_parameters, mtp_parameters, vision_parameters, tensor_count, total_bytes;
};

struct RealSizeRow {
  const char* name;
  int64_t hidden, layers, heads, kv_heads, value_heads, intermediate;
  bool tied;
  int64_t experts, experts_per_token, expert_intermediate, shared_intermediate;
  int64_t vision_depth, vision_hidden, vision_heads, vision_intermediate;
  int64_t text_parameters, mtp_parameters, vision_parameters, tensor_count, total_bytes;
};

inline constexpr RealSizeRow kRealSizes[] = {
    {"0.8B", 1024, 24,  8,  2,    16,        3584,     true,      0,   0,         0,
     0,      12,   768, 12, 3072, 752393024, 20452864, 100592896, 488, 1746882752},
    {"2B", 2048, 24,   8,  2,    16,         6144,     true,      0,   0,         0,
     0,    24,   1024, 16, 4096, 1881825088, 60828160, 331416576, 632, 4548144832},
    {"4B", 2560, 32,   16, 4,    32,         9216,      true,      0,   0,         0,
     0,    24,   1024, 16, 4096, 4205751296, 120599552, 333514240, 738, 9319737856},
    {"9B", 4096, 32,   16, 4,    32,         12288,     false,     0,   0,          0,
     0,    27,   1152, 16, 4304, 8953803264, 243290624, 456010480, 775, 19306216416},
    {"27B", 5120, 64,   24, 4,    48,          17408,     false,     0,    0,          0,
     0,     27,   1152, 16, 4304, 26895998464, 424699392, 460730096, 1199, 55562872800},
    {"35B-A3B", 2048, 40,   16, 2,    32,          0,         false,     256,  8,          512,
     512,       27,   1152, 16, 4304, 34660610688, 844640768, 446571248, 1811, 71903655008},
    {"122B-A10B",  3072,       48,        32,   2,           64,   0,  false,
     256,          8,          1024,      1024, 27,          1152, 16, 4304,
     122111526912, 2523679232, 451290864, 1949, 250173007840},
    {"397B-A17B", 4096, 60,           32,         2,         64,   0,
     false,       512,  10,           1024,       1024,      27,   1152,
     16,          4304, 396346350336, 6595568128, 456010480, 2924, 806795875168},
};

inline constexpr int64_t kVocabRows = 248320, kHeadDim = 256, kLinearDim = 128,
                         kLinearKeyHeads = 16;

class RealTensors {
 public:
  explicit RealTensors(const RealSizeRow& row) : s_(row) {
    const std::string text = "model.language_model.";
    add(text + "embed_tokens.weight", {kVocabRows, s_.hidden});
    for (int64_t i = 0; i < s_.layers; ++i)
      layer(fmt::format("{}layers.{}.", text, i),
            (i + 1) % 4 == 0 ? Kind::kAttention : Kind::kLinear, Experts::kStacked);
    add(text + "norm.weight", {s_.hidden});
    if (!s_.tied) add("lm_head.weight", {kVocabRows, s_.hidden});
    add("mtp.fc.weight", {s_.hidden, 2 * s_.hidden});
    for (const char* norm : {"pre_fc_norm_embedding", "pre_fc_norm_hidden", "norm"})
      add(fmt::format("mtp.{}.weight", norm), {s_.hidden});
    layer("mtp.layers.0.", Kind::kAttention, Experts::kOneByOne);
    vision("model.visual.");
  }
  std::vector<RealTensor> take() { return std::move(tensors_); }

 private:
  enum class Kind { kLinear, kAttention };
  enum class Experts { kStacked, kOneByOne };

  void add(std::string name, tensor::Shape shape, DType dtype = DType::kBF16) {
    tensors_.push_back({std::move(name), dtype, shape});
  }

  void layer(const std::string& p, Kind kind, Experts experts) {
    add(p + "input_layernorm.weight", {s_.hidden});
    add(p + "post_attention_layernorm.weight", {s_.hidden});
    kind == Kind::kAttention ? attention(p + "self_attn.") : linear_attention(p + "linear_attn.");
    s_.experts ? mixture(p + "mlp.", experts) : feed_forward(p + "mlp.", s_.intermediate);
  }

  void attention(const std::string& p) {
    add(p + "q_proj.weight", {s_.heads * 2 * kHeadDim, s_.hidden});
    add(p + "k_proj.weight", {s_.kv_heads * kHeadDim, s_.hidden});
    add(p + "v_proj.weight", {s_.kv_heads * kHeadDim, s_.hidden});
    add(p + "o_proj.weight", {s_.hidden, s_.heads * kHeadDim});
    add(p + "q_norm.weight", {kHeadDim});
    add(p + "k_norm.weight", {kHeadDim});
  }

  void linear_attention(const std::string& p) {
    const int64_t values = s_.value_heads * kLinearDim,
                  channels = 2 * kLinearKeyHeads * kLinearDim + values;
    add(p + "in_proj_qkv.weight", {channels, s_.hidden});
    add(p + "in_proj_z.weight", {values, s_.hidden});
    add(p + "in_proj_b.weight", {s_.value_heads, s_.hidden});
    add(p + "in_proj_a.weight", {s_.value_heads, s_.hidden});
    add(p + "conv1d.weight", {channels, 1, 4});
    add(p + "dt_bias", {s_.value_heads});
    add(p + "A_log", {s_.value_heads}, DType::kF32);
    add(p + "norm.weight", {kLinearDim}, DType::kF32);
    add(p + "out_proj.weight", {s_.hidden, values});
  }

  void feed_forward(const std::string& p, int64_t width) {
    add(p + "gate_proj.weight", {width, s_.hidden});
    add(p + "up_proj.weight", {width, s_.hidden});
    add(p + "down_proj.weight", {s_.hidden, width});
  }

  // Shipped 3.5 files stack the experts of the main layers, and store the drafting head's one by
  // one.
  void mixture(const std::string& p, Experts experts) {
    const int64_t width = s_.expert_intermediate;
    add(p + "gate.weight", {s_.experts, s_.hidden});
    if (experts == Experts::kStacked) {
      add(p + "experts.gate_up_proj", {s_.experts, 2 * width, s_.hidden});
      add(p + "experts.down_proj", {s_.experts, s_.hidden, width});
    } else {
      for (int64_t e = 0; e < s_.experts; ++e)
        feed_forward(fmt::format("{}experts.{}.", p, e), width);
    }
    feed_forward(p + "shared_expert.", s_.shared_intermediate);
    add(p + "shared_expert_gate.weight", {1, s_.hidden});
  }

  void with_bias(const std::string& p, tensor::Shape weight) {
    add(p + ".weight", weight);
    add(p + ".bias", {weight[0]});
  }

  void vision(const std::string& p) {
    const int64_t width = s_.vision_hidden, inner = s_.vision_intermediate;
    with_bias(p + "patch_embed.proj", {width, 3, 2, 16, 16});
    add(p + "pos_embed.weight", {2304, width});
    for (int64_t i = 0; i < s_.vision_depth; ++i) {
      const std::string block = fmt::format("{}blocks.{}.", p, i);
      with_bias(block + "norm1", {width});
      with_bias(block + "norm2", {width});
      with_bias(block + "attn.qkv", {3 * width, width});
      with_bias(block + "attn.proj", {width, width});
      with_bias(block + "mlp.linear_fc1", {inner, width});
      with_bias(block + "mlp.linear_fc2", {width, inner});
    }
    with_bias(p + "merger.norm", {width});
    with_bias(p + "merger.linear_fc1", {4 * width, 4 * width});
    with_bias(p + "merger.linear_fc2", {s_.hidden, 4 * width});
  }

  const RealSizeRow& s_;
  std::vector<RealTensor> tensors_;
};

inline std::string real_config(const RealSizeRow& s) {
  const auto parse = [](const std::string& text) { return *checkpoint::parse_json(text); };
  const std::string family = s.experts ? "qwen3_5_moe" : "qwen3_5";
  Json text = parse(
      R"({"attention_bias": false, "attention_dropout": 0.0, "attn_output_gate": true, "dtype": "bfloat16",
    "eos_token_id": 248044, "full_attention_interval": 4, "head_dim": 256, "hidden_act": "silu",
    "initializer_range": 0.02, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128, "linear_num_key_heads": 16,
    "linear_value_head_dim": 128, "max_position_embeddings": 262144, "mlp_only_layers": [], "mtp_num_hidden_layers": 1,
    "mtp_use_dedicated_embeddings": false, "rms_norm_eps": 1e-06, "use_cache": true, "vocab_size": 248320,
    "mamba_ssm_dtype": "float32", "rope_parameters": {"mrope_interleaved": true, "mrope_section": [11, 11, 10],
    "rope_type": "default", "rope_theta": 10000000, "partial_rotary_factor": 0.25}})");
  Json layers = Json::array();
  for (int64_t i = 0; i < s.layers; ++i)
    layers.items().push_back(Json::string((i + 1) % 4 ? "linear_attention" : "full_attention"));
  text.set("layer_types", std::move(layers));
  text.set("model_type", Json::string(family + "_text"));
  text.set("hidden_size", Json::integer(s.hidden));
  text.set("num_hidden_layers", Json::integer(s.layers));
  text.set("num_attention_heads", Json::integer(s.heads));
  text.set("num_key_value_heads", Json::integer(s.kv_heads));
  text.set("linear_num_value_heads", Json::integer(s.value_heads));
  text.set("tie_word_embeddings", Json::boolean(s.tied));
  if (s.experts) {
    text.set("num_experts", Json::integer(s.experts));
    text.set("num_experts_per_tok", Json::integer(s.experts_per_token));
    text.set("moe_intermediate_size", Json::integer(s.expert_intermediate));
    text.set("shared_expert_intermediate_size", Json::integer(s.shared_intermediate));
  } else {
    text.set("intermediate_size", Json::integer(s.intermediate));
  }
  Json vision =
      parse(R"({"deepstack_visual_indexes": [], "hidden_act": "gelu_pytorch_tanh", "in_channels": 3,
    "initializer_range": 0.02, "num_position_embeddings": 2304, "patch_size": 16, "spatial_merge_size": 2,
    "temporal_patch_size": 2})");
  vision.set("model_type", Json::string(family));
  vision.set("depth", Json::integer(s.vision_depth));
  vision.set("hidden_size", Json::integer(s.vision_hidden));
  vision.set("num_heads", Json::integer(s.vision_heads));
  vision.set("intermediate_size", Json::integer(s.vision_intermediate));
  vision.set("out_hidden_size", Json::integer(s.hidden));
  Json config =
      parse(R"({"image_token_id": 248056, "video_token_id": 248057, "vision_start_token_id": 248053,
    "vision_end_token_id": 248054, "transformers_version": "4.57.0.dev0"})");
  const char* architecture =
      s.experts ? "Qwen3_5MoeForConditionalGeneration" : "Qwen3_5ForConditionalGeneration";
  config.set("architectures", Json::array({Json::string(architecture)}));
  config.set("model_type", Json::string(family));
  config.set("tie_word_embeddings", Json::boolean(s.tied));
  config.set("text_config", std::move(text));
  config.set("vision_config", std::move(vision));
  return config.dump();
}

inline std::vector<RealSize> real_sizes() {
  std::vector<RealSize> sizes;
  for (const auto& row : kRealSizes)
    sizes.push_back({row.name, real_config(row), RealTensors(row).take(), row.text_parameters,
                     row.mtp_parameters, row.vision_parameters, row.tensor_count, row.total_bytes});
  return sizes;
}

// Writes config.json and a model.safetensors whose data are one hole: 807 GB take a few hundred KB
// on disk, and read as zeros. False if the file system has no such files.
inline bool write_hollow_model(const RealSize& size, const std::string& folder) {
  std::ofstream(folder + "/config.json") << size.config;
  Json header = Json::object();
  int64_t place = 0;
  for (const auto& t : size.tensors) {
    Json shape = Json::array();
    for (int i = 0; i < t.shape.rank(); ++i) shape.items().push_back(Json::integer(t.shape[i]));
    const int64_t end =
        place + static_cast<int64_t>(*tensor::bytes_of(t.dtype, t.shape.elements()));
    header.members().emplace_back(
        t.name,
        Json::object({{"dtype", Json::string(std::string(tensor::dtype_info(t.dtype).name))},
                      {"shape", std::move(shape)},
                      {"data_offsets", Json::array({Json::integer(place), Json::integer(end)})}}));
    place = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t length = text.size();
  const std::string path = folder + "/model.safetensors";
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(&length), sizeof length)
      << text;
  return ::truncate(path.c_str(), static_cast<off_t>(sizeof length + length + place)) == 0;
}

}  // namespace godwit::tests
