// Reading a ModelConfig: from config.json (with text_config, or flat as text-only fine-tunes have
// it), or from the metadata of a GGUF file and its mmproj. Both readers only copy; check() then
// judges every size once, whoever wrote it.
#include "model/config.h"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>

#include "base/visible.h"

namespace godwit::model {
namespace {

using checkpoint::GgufFile;
using checkpoint::Json;

constexpr int64_t kMaxSize =
    1 << 24;  // no width, count or vocabulary is larger: products of two fit in 64 bits
constexpr int kMaxLayers = 1024;
constexpr int kMaxContext = 1 << 30;
constexpr int kMaxHidden = 1 << 20;

// Collects what is wrong, for one error.
struct Faults {
  std::string text;
  void add(const std::string& fault) { text += (text.empty() ? "" : "; ") + fault; }
  void expect(bool condition, const std::string& fault) {
    if (!condition) add(fault);
  }
};

// ---- config.json

// The fields of one JSON object. A field that is null counts as absent.
class JsonFields {
 public:
  JsonFields(const Json* object, std::string where, Faults& faults)
      : object_(object), where_(std::move(where)), faults_(faults) {}

  const Json* find(std::string_view key) const {
    const Json* value = object_ ? object_->find(key) : nullptr;
    return value && !value->is_null() ? value : nullptr;
  }
  template <class T>
  void require(std::string_view key, T& target) const {
    if (find(key)) {
      optional(key, target);
    } else {
      faults_.add(fmt::format("{}{} is missing", where_, key));
    }
  }
  template <class T>
  void optional(std::string_view key, T& target) const {
    const Json* value = find(key);
    if (!value) return;
    if constexpr (std::is_same_v<T, bool>) {
      if (value->is_bool()) {
        target = value->as_bool();
      } else {
        wrong(key, "true or false", *value);
      }
    } else if constexpr (std::is_floating_point_v<T>) {
      if (value->is_number()) {
        target = value->as_double();
      } else {
        wrong(key, "a number", *value);
      }
    } else if constexpr (std::is_same_v<T, std::string>) {
      if (value->is_string()) {
        target = value->as_string();
      } else {
        wrong(key, "a string", *value);
      }
    } else {
      const std::optional<int64_t> number = value->is_number() ? value->as_int64() : std::nullopt;
      if (number && std::in_range<T>(*number)) {
        target = static_cast<T>(*number);
      } else {
        wrong(key, "a whole number", *value);
      }
    }
  }
  void wrong(std::string_view key, std::string_view expected, const Json& found) const {
    faults_.add(fmt::format("{}{}: expected {}, found {}", where_, key, expected,
                            found.dump().substr(0, 60)));
  }

 private:
  const Json* object_;
  std::string where_;
  Faults& faults_;
};

// rope_parameters, and over them rope_scaling, as the field was called before: whoever adds it to a
// configuration that has the other (for YaRN) means it, and so does the reference.
Json rope_fields(const JsonFields& text) {
  const Json *parameters = text.find("rope_parameters"), *scaling = text.find("rope_scaling");
  Json fields = parameters ? *parameters : Json::object();
  if (!scaling || !fields.is_object()) return fields;
  if (!scaling->is_object()) return *scaling;
  for (const auto& [key, value] : scaling->members())
    fields.set(key == "type" ? "rope_type" : key, value);
  return fields;
}

void read_rope(const JsonFields& text, const Json* parameters, int head_dim, RopeConfig& rope,
               Faults& faults) {
  const JsonFields fields(parameters, "rope_parameters.", faults);
  double partial = 0.25;  // the family's default
  text.optional("partial_rotary_factor", partial);
  fields.optional("partial_rotary_factor", partial);
  text.optional("rope_theta", rope.theta);
  fields.optional("rope_theta", rope.theta);
  if (!(partial > 0 && partial <= 1))
    faults.add(fmt::format("partial_rotary_factor: expected 0 … 1, found {}", partial));
  rope.rotary_dim = static_cast<int>(std::clamp(partial, 0.0, 1.0) * head_dim);
  if (const Json* sections = fields.find("mrope_section")) {
    const bool three = sections->kind() == Json::Kind::kArray && sections->items().size() == 3;
    int64_t sum = 0;
    for (int i = 0; three && i < 3; ++i) {
      const Json& item = sections->items()[i];
      const int64_t n = (item.is_number() ? item.as_int64() : std::nullopt).value_or(-1);
      rope.sections[i] = n >= 0 && n <= kMaxSize ? static_cast<int>(n) : -1;
      sum += rope.sections[i] < 0 ? kMaxSize : n;
    }
    if (!three || sum != rope.rotary_dim / 2) {
      fields.wrong("mrope_section",
                   fmt::format("three numbers with the sum {}", rope.rotary_dim / 2), *sections);
    }
  }
  bool interleaved = true;
  fields.optional("mrope_interleaved", interleaved);
  faults.expect(interleaved, "rope_parameters.mrope_interleaved: expected true, found false");

  std::string type = "default";
  fields.optional("type", type);
  fields.optional("rope_type", type);
  if (type == "yarn") {
    fields.require("factor", rope.yarn_factor);
    fields.require("original_max_position_embeddings", rope.yarn_original_context);
    fields.optional("beta_fast", rope.yarn_beta_fast);
    fields.optional("beta_slow", rope.yarn_beta_slow);
    fields.optional("attention_factor", rope.yarn_attention_factor);
  } else if (type != "default" && type != "mrope") {
    faults.add(fmt::format("rope_type: expected default or yarn, found {}", type));
  }
}

void read_layer_types(const JsonFields& fields, TextConfig& text, Faults& faults) {
  if (text.num_layers < 1 || text.num_layers > kMaxLayers) return;  // check() says so
  int interval = 4;
  fields.optional("full_attention_interval", interval);
  if (interval < 1)
    return faults.add(
        fmt::format("full_attention_interval: expected 1 or more, found {}", interval));
  for (int i = 0; i < text.num_layers; ++i) {
    text.layers.push_back((i + 1) % interval == 0 ? Mixer::kGatedAttention : Mixer::kGatedDeltaNet);
  }
  const Json* types = fields.find("layer_types");
  if (!types) return;
  if (types->kind() != Json::Kind::kArray || types->items().size() != text.layers.size()) {
    return fields.wrong("layer_types", fmt::format("a list of {} names", text.num_layers), *types);
  }
  for (int i = 0; i < text.num_layers; ++i) {
    const Json& type = types->items()[i];
    const std::string name = type.is_string() ? type.as_string() : type.dump();
    text.layers[i] = name == "full_attention" ? Mixer::kGatedAttention : Mixer::kGatedDeltaNet;
    if (name != "full_attention" && name != "linear_attention") {
      faults.add(fmt::format(
          "layer_types[{}]: expected full_attention or linear_attention, found {}", i, name));
    }
  }
}

void read_text_json(const JsonFields& fields, TextConfig& text, Faults& faults) {
  fields.require("vocab_size", text.vocab_size);
  fields.require("hidden_size", text.hidden_size);
  fields.require("num_hidden_layers", text.num_layers);
  fields.require("num_attention_heads", text.num_attention_heads);
  fields.require("num_key_value_heads", text.num_kv_heads);
  fields.require("head_dim", text.head_dim);
  fields.require("linear_num_key_heads", text.linear_key_heads);
  fields.require("linear_num_value_heads", text.linear_value_heads);
  fields.require("linear_key_head_dim", text.linear_key_dim);
  fields.require("linear_value_head_dim", text.linear_value_dim);
  fields.optional("linear_conv_kernel_dim", text.conv_kernel);
  fields.optional("rms_norm_eps", text.rms_norm_eps);
  fields.require("max_position_embeddings", text.max_context);
  fields.optional("mtp_num_hidden_layers", text.mtp_layers);
  fields.optional("num_experts", text.experts);
  if (text.experts > 0) {
    fields.require("num_experts_per_tok", text.experts_per_token);
    fields.require("moe_intermediate_size", text.expert_intermediate);
    fields.require("shared_expert_intermediate_size", text.shared_expert_intermediate);
  } else {
    fields.require("intermediate_size", text.intermediate_size);
  }
  const Json rope = rope_fields(fields);
  if (!rope.is_object()) fields.wrong("rope_parameters", "an object", rope);
  read_rope(fields, &rope, text.head_dim, text.rope, faults);
  read_layer_types(fields, text, faults);

  std::string activation = "silu";
  bool gate = true, bias = false;
  fields.optional("hidden_act", activation);
  fields.optional("attn_output_gate", gate);
  fields.optional("attention_bias", bias);
  faults.expect(activation == "silu",
                fmt::format("hidden_act: expected silu, found {}", activation));
  faults.expect(gate, "attn_output_gate: expected true, found false");
  faults.expect(!bias, "attention_bias: expected false, found true");
}

void read_vision_json(const JsonFields& fields, VisionConfig& vision) {
  fields.require("depth", vision.depth);
  fields.require("hidden_size", vision.hidden_size);
  fields.require("num_heads", vision.num_heads);
  fields.require("intermediate_size", vision.intermediate_size);
  fields.require("out_hidden_size", vision.out_hidden_size);
  fields.require("num_position_embeddings", vision.num_position_embeddings);
  fields.optional("patch_size", vision.patch_size);
  fields.optional("temporal_patch_size", vision.temporal_patch_size);
  fields.optional("spatial_merge_size", vision.merge_size);
  fields.optional("in_channels", vision.in_channels);
  const Json* deepstack = fields.find("deepstack_visual_indexes");
  if (deepstack && !(deepstack->kind() == Json::Kind::kArray && deepstack->items().empty())) {
    fields.wrong("deepstack_visual_indexes", "[] (no DeepStack)", *deepstack);
  }
}

void read_json(const Json& json, ModelConfig& config, Faults& faults) {
  const JsonFields top(&json, "", faults);
  std::string type = "(none)";
  top.optional("model_type", type);
  if (type != "qwen3_5" && type != "qwen3_5_moe" && type != "qwen3_5_text" &&
      type != "qwen3_5_moe_text") {
    return faults.add(fmt::format("model_type: expected qwen3_5 or qwen3_5_moe, found {}", type));
  }
  if (const Json* quantization = top.find("quantization_config")) {
    std::string method = "unknown";
    JsonFields(quantization, "quantization_config.", faults).optional("quant_method", method);
    return faults.add(
        fmt::format("quantization_config: {} weights are not supported; expected BF16, F16 or F32 "
                    "safetensors, or a GGUF file",
                    method));
  }
  const Json* nested = top.find("text_config");
  const JsonFields text(nested ? nested : &json, nested ? "text_config." : "", faults);
  read_text_json(text, config.text, faults);
  top.optional("tie_word_embeddings", config.text.tied_embeddings);
  text.optional("tie_word_embeddings", config.text.tied_embeddings);
  if (const Json* vision = top.find("vision_config")) {
    read_vision_json(JsonFields(vision, "vision_config.", faults), config.vision.emplace());
    top.require("image_token_id", config.image_token);
    top.require("video_token_id", config.video_token);
    top.require("vision_start_token_id", config.vision_start_token);
    top.require("vision_end_token_id", config.vision_end_token);
  }
}

// ---- GGUF

// The keys below one prefix. Errors of GgufFile name the key.
class GgufFields {
 public:
  GgufFields(const GgufFile& file, std::string prefix, Faults& faults)
      : file_(file), prefix_(std::move(prefix)), faults_(faults) {}

  std::string key(std::string_view name) const { return fmt::format("{}.{}", prefix_, name); }
  template <class T>
  void require(std::string_view name, T& target) const {
    if constexpr (std::is_floating_point_v<T>) {
      take(file_.real(key(name)), name, target);
    } else {
      take(file_.integer(key(name)), name, target);
    }
  }
  template <class T>
  void optional(std::string_view name, T& target) const {
    if (file_.metadata().contains(key(name))) require(name, target);
  }

 private:
  template <class T, class Value>
  void take(Result<Value> value, std::string_view name, T& target) const {
    if (!value) {
      // All faults of a file are told together, its name once before them.
      const std::string& message = value.error().message;
      const std::string file = file_.description() + ": ";
      return faults_.add(message.starts_with(file) ? message.substr(file.size()) : message);
    }
    if constexpr (std::is_integral_v<T>) {
      if (!std::in_range<T>(*value))
        return faults_.add(fmt::format("{}: {} is out of range", key(name), *value));
    }
    target = static_cast<T>(*value);
  }
  const GgufFile& file_;
  std::string prefix_;
  Faults& faults_;
};

void read_gguf_layers(const GgufFile& file, const GgufFields& fields, TextConfig& text,
                      Faults& faults) {
  int blocks = 0, interval = 4;
  fields.require("block_count", blocks);
  fields.optional("nextn_predict_layers", text.mtp_layers);
  fields.optional("full_attention_interval", interval);
  faults.expect(interval >= 1, fmt::format("{}: expected 1 or more, found {}",
                                           fields.key("full_attention_interval"), interval));
  if (blocks < 1 || blocks > kMaxLayers || text.mtp_layers < 0 || text.mtp_layers >= blocks ||
      interval < 1) {
    return faults.add(
        fmt::format("{}: expected 1 … {} and more than nextn_predict_layers ({}), found {}",
                    fields.key("block_count"), kMaxLayers, text.mtp_layers, blocks));
  }
  text.num_layers = blocks - text.mtp_layers;
  const std::vector<bool>* recurrent = file.flags(fields.key("attention.recurrent_layers"));
  if (recurrent && static_cast<int>(recurrent->size()) < text.num_layers) {
    return faults.add(fmt::format("{}: expected {} flags, found {}",
                                  fields.key("attention.recurrent_layers"), blocks,
                                  recurrent->size()));
  }
  for (int i = 0; i < text.num_layers; ++i) {
    const bool delta_net = recurrent ? (*recurrent)[i] : (i + 1) % interval != 0;
    text.layers.push_back(delta_net ? Mixer::kGatedDeltaNet : Mixer::kGatedAttention);
  }
}

void read_gguf_rope(const GgufFile& file, const GgufFields& fields, RopeConfig& rope,
                    Faults& faults) {
  fields.require("rope.freq_base", rope.theta);
  fields.require("rope.dimension_count", rope.rotary_dim);
  if (const std::vector<int64_t>* sections = file.integers(fields.key("rope.dimension_sections"))) {
    int64_t sum = 0;
    for (size_t i = 0; i < sections->size() && i < 3; ++i) {
      const int64_t n = (*sections)[i];
      rope.sections[i] = n >= 0 && n <= kMaxSize ? static_cast<int>(n) : -1;
      sum += rope.sections[i] < 0 ? kMaxSize : n;
    }
    faults.expect(sections->size() >= 3 && sum == rope.rotary_dim / 2,
                  fmt::format("{}: expected three numbers with the sum {}, found {} with {}",
                              fields.key("rope.dimension_sections"), rope.rotary_dim / 2,
                              sections->size(), sum));
  }
  const std::string type = file.text_or(fields.key("rope.scaling.type"), "none").value_or("?");
  if (type == "yarn") {
    fields.require("rope.scaling.factor", rope.yarn_factor);
    fields.require("rope.scaling.original_context_length", rope.yarn_original_context);
    fields.optional("rope.scaling.yarn_beta_fast", rope.yarn_beta_fast);
    fields.optional("rope.scaling.yarn_beta_slow", rope.yarn_beta_slow);
  } else if (type != "none") {
    faults.add(fmt::format("{}: expected yarn, found {}", fields.key("rope.scaling.type"), type));
  }
}

void read_gguf_text(const GgufFile& file, const std::string& arch, TextConfig& text,
                    Faults& faults) {
  const GgufFields fields(file, arch, faults);
  int value_dim = 0, inner = 0;
  fields.require("context_length", text.max_context);
  fields.require("embedding_length", text.hidden_size);
  fields.require("attention.head_count", text.num_attention_heads);
  fields.require("attention.head_count_kv", text.num_kv_heads);
  fields.require("attention.key_length", text.head_dim);
  fields.require("attention.value_length", value_dim);
  fields.require("attention.layer_norm_rms_epsilon", text.rms_norm_eps);
  fields.require("ssm.conv_kernel", text.conv_kernel);
  fields.require("ssm.state_size", text.linear_key_dim);
  fields.require("ssm.group_count", text.linear_key_heads);
  fields.require("ssm.time_step_rank", text.linear_value_heads);
  fields.require("ssm.inner_size", inner);
  fields.optional("expert_count", text.experts);
  if (text.experts > 0) {
    fields.require("expert_used_count", text.experts_per_token);
    fields.require("expert_feed_forward_length", text.expert_intermediate);
    fields.require("expert_shared_feed_forward_length", text.shared_expert_intermediate);
  } else {
    fields.require("feed_forward_length", text.intermediate_size);
  }
  faults.expect(value_dim == text.head_dim,
                fmt::format("{}: expected key_length ({}), found {}",
                            fields.key("attention.value_length"), text.head_dim, value_dim));
  const int heads = text.linear_value_heads;
  faults.expect(heads > 0 && inner % heads == 0,
                fmt::format("{}: expected a multiple of time_step_rank ({}), found {}",
                            fields.key("ssm.inner_size"), heads, inner));
  text.linear_value_dim = heads > 0 ? inner / heads : 0;
  read_gguf_layers(file, fields, text, faults);
  read_gguf_rope(file, fields, text.rope, faults);
  const auto embedding = file.find("token_embd.weight");
  if (embedding && embedding->shape.rank() == 2) text.vocab_size = embedding->shape[0];
  faults.expect(text.vocab_size > 0, "token_embd.weight: expected a matrix, found none");
  text.tied_embeddings = !file.find("output.weight");
}

void read_gguf_vision(const GgufFile& file, VisionConfig& vision, Faults& faults) {
  const std::string projector = file.text_or("clip.projector_type", "(none)").value_or("?");
  if (projector != "qwen3vl_merger") {
    return faults.add(
        fmt::format("clip.projector_type: expected qwen3vl_merger, found {}", projector));
  }
  const GgufFields fields(file, "clip.vision", faults);
  int64_t image_size = 0;
  fields.require("block_count", vision.depth);
  fields.require("embedding_length", vision.hidden_size);
  fields.require("attention.head_count", vision.num_heads);
  fields.require("feed_forward_length", vision.intermediate_size);
  fields.require("projection_dim", vision.out_hidden_size);
  fields.require("patch_size", vision.patch_size);
  fields.optional("spatial_merge_size", vision.merge_size);
  fields.require("image_size", image_size);
  const int64_t side = vision.patch_size > 0 ? image_size / vision.patch_size : 0;
  faults.expect(
      side > 0 && side <= 4096 && side * vision.patch_size == image_size,
      fmt::format("clip.vision.image_size: expected a multiple of patch_size ({}), found {}",
                  vision.patch_size, image_size));
  vision.num_position_embeddings = side > 0 && side <= 4096 ? static_cast<int>(side * side) : 0;
  if (const std::vector<bool>* deepstack = file.flags("clip.vision.is_deepstack_layers")) {
    for (bool layer : *deepstack) {
      if (layer) return faults.add("clip.vision.is_deepstack_layers: expected none, found some");
    }
  }
}

void read_gguf(const checkpoint::ModelFiles& files, ModelConfig& config, Faults& faults) {
  const GgufFile& file = *files.gguf;
  const std::string arch = file.text_or("general.architecture", "(none)").value_or("?");
  if (arch != "qwen35" && arch != "qwen35moe") {
    return faults.add(
        fmt::format("general.architecture: expected qwen35 or qwen35moe, found {}", arch));
  }
  config.gguf = true;
  config.name = visible(file.text_or("general.name", "").value_or(""));
  read_gguf_text(file, arch, config.text, faults);
  if (!files.mmproj) return;
  read_gguf_vision(*files.mmproj, config.vision.emplace(), faults);
  const std::vector<std::string>* tokens = file.strings("tokenizer.ggml.tokens");
  const std::pair<std::string_view, int32_t*> wanted[] = {
      {"<|image_pad|>", &config.image_token},
      {"<|video_pad|>", &config.video_token},
      {"<|vision_start|>", &config.vision_start_token},
      {"<|vision_end|>", &config.vision_end_token}};
  for (const auto& [name, id] : wanted) {
    for (size_t i = 0; tokens && i < tokens->size() && *id < 0; ++i) {
      if ((*tokens)[i] == name) *id = static_cast<int32_t>(i);
    }
    faults.expect(
        *id >= 0,
        fmt::format("tokenizer.ggml.tokens: {} is missing, which the vision file {} needs", name,
                    files.mmproj->description()));
  }
}

// ---- Both

void check_text(const TextConfig& text, Faults& faults) {
  const auto in_range = [&](std::string_view name, int64_t value, int64_t low, int64_t high) {
    faults.expect(value >= low && value <= high,
                  fmt::format("{}: expected {} … {}, found {}", name, low, high, value));
  };
  in_range("vocab_size", text.vocab_size, 1, kMaxSize);
  in_range("hidden_size", text.hidden_size, 1, kMaxHidden);
  in_range("num_hidden_layers", text.num_layers, 1, kMaxLayers);
  in_range("num_attention_heads", text.num_attention_heads, 1, 4096);
  in_range("num_key_value_heads", text.num_kv_heads, 1, 4096);
  in_range("head_dim", text.head_dim, 2, 4096);
  in_range("linear_num_key_heads", text.linear_key_heads, 1, 4096);
  in_range("linear_num_value_heads", text.linear_value_heads, 1, 4096);
  in_range("linear_key_head_dim", text.linear_key_dim, 1, 512);
  in_range("linear_value_head_dim", text.linear_value_dim, 1, 512);
  in_range("linear_conv_kernel_dim", text.conv_kernel, 4, 4);
  in_range("max_position_embeddings", text.max_context, 1, kMaxContext);
  in_range("mtp_num_hidden_layers", text.mtp_layers, 0, 1);
  in_range("rotary_dim", text.rope.rotary_dim, 2, text.head_dim);
  if (text.experts) {
    in_range("num_experts", text.experts, 1, 65536);
    in_range("num_experts_per_tok", text.experts_per_token, 1, text.experts);
    in_range("moe_intermediate_size", text.expert_intermediate, 1, kMaxHidden);
    in_range("shared_expert_intermediate_size", text.shared_expert_intermediate, 1, kMaxHidden);
  } else {
    in_range("intermediate_size", text.intermediate_size, 1, kMaxHidden);
  }
  const auto divides = [&](std::string_view whole, int64_t n, std::string_view part, int64_t d) {
    faults.expect(d < 1 || n % d == 0,
                  fmt::format("{}: expected a multiple of {} ({}), found {}", whole, part, d, n));
  };
  divides("num_attention_heads", text.num_attention_heads, "num_key_value_heads",
          text.num_kv_heads);
  divides("linear_num_value_heads", text.linear_value_heads, "linear_num_key_heads",
          text.linear_key_heads);
  divides("rotary_dim", text.rope.rotary_dim, "pairs", 2);
  // What the kernels are written for (kernels/attention.cpp, kernels/delta_rule.cpp).
  divides("head_dim", text.head_dim, "a vector", 16);
  divides("linear_key_head_dim", text.linear_key_dim, "a vector", 16);
  divides("linear_value_head_dim", text.linear_value_dim, "a vector", 16);
  in_range("num_attention_heads of one key head",
           text.num_kv_heads > 0 ? text.num_attention_heads / text.num_kv_heads : 1, 1, 32);
  faults.expect(text.rms_norm_eps > 0 && text.rms_norm_eps < 1,
                fmt::format("rms_norm_eps: expected 0 … 1, found {}", text.rms_norm_eps));
  const RopeConfig& rope = text.rope;
  faults.expect(rope.theta > 1 && rope.theta < 1e12,
                fmt::format("rope_theta: expected more than 1, found {}", rope.theta));
  faults.expect(rope.yarn_factor >= 1 && rope.yarn_factor <= 1024,
                fmt::format("YaRN factor: expected 1 … 1024, found {}", rope.yarn_factor));
  faults.expect(rope.yarn_factor == 1 || (rope.yarn_original_context > 0 &&
                                          rope.yarn_beta_fast > 0 && rope.yarn_beta_slow > 0),
                "YaRN: expected original_max_position_embeddings, beta_fast and beta_slow above 0");
}

// Files that ask for YaRN may still have the length of before it (the model cards say to change
// the rotary fields alone).
void extend_context(TextConfig& text) {
  const double reach = text.rope.yarn_factor * static_cast<double>(text.rope.yarn_original_context);
  if (reach > static_cast<double>(text.max_context) && reach <= kMaxContext)
    text.max_context = static_cast<int64_t>(reach);
}

// `where`: the file of its own that it comes from, if it has one.
void check_vision(const VisionConfig& vision, const TextConfig& text, std::string_view where,
                  Faults& faults) {
  const auto in_range = [&](std::string_view name, int64_t value, int64_t low, int64_t high) {
    faults.expect(
        value >= low && value <= high,
        fmt::format("{}vision {}: expected {}, found {}", where, name,
                    low < high ? fmt::format("{} … {}", low, high) : std::to_string(low), value));
  };
  in_range("depth", vision.depth, 1, kMaxLayers);
  in_range("hidden_size", vision.hidden_size, 4, kMaxHidden);
  in_range("num_heads", vision.num_heads, 1, 4096);
  in_range("intermediate_size", vision.intermediate_size, 1, kMaxHidden);
  in_range("out_hidden_size", vision.out_hidden_size, text.hidden_size, text.hidden_size);
  in_range("patch_size", vision.patch_size, 1, 256);
  in_range("temporal_patch_size", vision.temporal_patch_size, 2, 2);
  in_range("spatial_merge_size", vision.merge_size, 1, 16);
  in_range("in_channels", vision.in_channels, 3, 3);
  in_range("num_position_embeddings", vision.num_position_embeddings, 1, kMaxSize);
  const int heads = std::max(vision.num_heads, 1);
  faults.expect(vision.hidden_size % heads == 0 && vision.hidden_size / heads % 4 == 0,
                fmt::format("vision hidden_size: expected heads ({}) of a multiple of 4, found {}",
                            heads, vision.hidden_size));
  const auto side = static_cast<int64_t>(
      std::lround(std::sqrt(double(std::max(vision.num_position_embeddings, 0)))));
  faults.expect(side * side == vision.num_position_embeddings,
                fmt::format("vision num_position_embeddings: expected a square, found {}",
                            vision.num_position_embeddings));
}

}  // namespace

Result<ModelConfig> read_config(const checkpoint::ModelFiles& files) {
  ModelConfig config;
  Faults faults;
  if (files.is_gguf) {
    read_gguf(files, config, faults);
  } else {
    read_json(files.config, config, faults);
  }
  if (faults.text.empty()) {
    extend_context(config.text);
    check_text(config.text, faults);
    const std::string where = files.mmproj ? files.mmproj->description() + ": " : std::string();
    if (config.vision) check_vision(*config.vision, config.text, where, faults);
  }
  if (!faults.text.empty()) {
    return bad_input("{}{}: {}", files.path, files.is_gguf ? "" : "/config.json", faults.text);
  }
  if (config.name.empty()) {
    const size_t end = files.path.find_last_not_of('/');
    const std::string path = files.path.substr(0, end == std::string::npos ? 0 : end + 1);
    config.name = path.substr(path.find_last_of('/') + 1);
  }
  return config;
}

}  // namespace godwit::model
