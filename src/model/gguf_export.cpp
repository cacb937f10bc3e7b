#include "model/gguf_export.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "model/binder.h"
#include "tensor/blocks.h"

namespace godwit::model {
namespace {

using checkpoint::GgufArray;
using checkpoint::GgufValue;
using tensor::Shape;
using tensor::TensorView;
using Change = ExportTensor::Change;

template <class T>
GgufValue array_of(std::vector<T> items) {
  return GgufArray{std::move(items)};
}

// Places of `heads` blocks of `width` values that start at `offset`: GGUF's head j · groups + g is
// the checkpoint's g · r + j. Values before the offset stay.
std::vector<int32_t> value_head_order(const TextConfig& c, int64_t offset, int64_t width) {
  const int64_t groups = c.linear_key_heads, heads = c.linear_value_heads, r = heads / groups;
  if (r == 1) return {};
  std::vector<int32_t> order(offset + heads * width);
  std::iota(order.begin(), order.begin() + offset, 0);
  for (int64_t head = 0; head < heads; ++head) {
    const int64_t source = head % groups * r + head / groups;
    for (int64_t i = 0; i < width; ++i)
      order[offset + head * width + i] = static_cast<int32_t>(offset + source * width + i);
  }
  return order;
}

// Every k-th part of the rows of a stack: of each of `count` pieces of 2 · rows rows, the first or
// the second half.
std::vector<int32_t> half_of_pieces(int64_t count, int64_t rows, int64_t half) {
  std::vector<int32_t> order;
  for (int64_t e = 0; e < count; ++e) {
    for (int64_t i = 0; i < rows; ++i)
      order.push_back(static_cast<int32_t>((2 * e + half) * rows + i));
  }
  return order;
}

bool ends_with_any(std::string_view name, std::initializer_list<std::string_view> endings) {
  return std::any_of(endings.begin(), endings.end(),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

// What GGUF wants changed in a tensor of the decoder, by its name in the checkpoint.
void apply_changes(std::string_view name, const TextConfig& c, ExportTensor& t) {
  const int64_t K = c.key_width(), dv = c.linear_value_dim;
  const bool is_norm = name.find("norm") != std::string_view::npos;
  t.always_f32 =
      t.shape.rank() < 2 || is_norm ||
      ends_with_any(name, {"conv1d.weight", "mlp.gate.weight", "shared_expert_gate.weight"});
  if (is_norm && !name.ends_with("linear_attn.norm.weight")) t.change = Change::kAddOne;
  if (name.ends_with("A_log")) t.change = Change::kMinusExp;
  if (name.ends_with("conv1d.weight")) t.shape = Shape{c.conv_channels(), c.conv_kernel};

  if (ends_with_any(name, {"in_proj_qkv.weight", "conv1d.weight"}))
    t.rows = value_head_order(c, 2 * K, dv);
  if (name.ends_with("in_proj_z.weight")) t.rows = value_head_order(c, 0, dv);
  if (ends_with_any(name, {"in_proj_a.weight", "in_proj_b.weight"}))
    t.rows = value_head_order(c, 0, 1);
  if (ends_with_any(name, {"A_log", "dt_bias"})) t.columns = value_head_order(c, 0, 1);
  if (name.ends_with("linear_attn.out_proj.weight")) t.columns = value_head_order(c, 0, dv);
}

// Collects the tensors of the decoder and its drafting head from a Hugging Face folder.
class TextExporter {
 public:
  TextExporter(const ModelConfig& config, GgufExport& result) : c_(config.text), result_(result) {}

  void add(const std::string& stored_name, const TensorView& view) {
    const std::string name = strip_prefixes(stored_name);
    if (name.starts_with("visual.")) return;
    if (const size_t place = name.find(".mlp.experts."); place != std::string::npos)
      return add_experts(name.substr(0, place + 1), name.substr(place + 13), view);
    ExportTensor t{.name = gguf_name(name, c_), .shape = view.shape, .parts = {view}};
    if (t.name.empty()) return result_.left_out.push_back(stored_name);
    apply_changes(name, c_, t);
    result_.tensors.push_back(std::move(t));
  }

  // Single experts, when all are known.
  void finish() {
    for (auto& [key, parts] : singles_) {
      const auto& [layer, part] = key;
      std::vector<TensorView> views;
      for (const auto& [expert, view] : parts) views.push_back(view);
      const Shape shape{static_cast<int64_t>(views.size()), views[0].shape[0], views[0].shape[1]};
      push(layer, part, {.name = "", .shape = shape, .parts = std::move(views)});
    }
  }

 private:
  // `rest`: "gate_up_proj" or "down_proj" (stacked), or "5.up_proj.weight".
  void add_experts(const std::string& layer, const std::string& rest, const TensorView& view) {
    if (rest == "gate_up_proj" && view.shape.rank() == 3) {
      const int64_t E = view.shape[0], I = view.shape[1] / 2, H = view.shape[2];
      for (int64_t half : {0, 1}) {
        push(layer, half == 0 ? "gate" : "up",
             {.name = "", .shape = {E, I, H}, .parts = {view}, .rows = half_of_pieces(E, I, half)});
      }
      return;
    }
    for (const char* part : {"gate", "up", "down"}) {
      if (rest == std::string(part) + "_proj")
        return push(layer, part, {.name = "", .shape = view.shape, .parts = {view}});
      const std::string ending = fmt::format(".{}_proj.weight", part);
      if (rest.ends_with(ending) && view.shape.rank() == 2) {
        const int expert = std::atoi(rest.c_str());
        singles_[{layer, part}][expert] = view;
        return;
      }
    }
    result_.left_out.push_back(layer + "mlp.experts." + rest);
  }

  void push(const std::string& layer, const std::string& part, ExportTensor t) {
    t.name = gguf_name(layer + "mlp.experts." + part + "_proj", c_);
    result_.tensors.push_back(std::move(t));
  }

  const TextConfig& c_;
  GgufExport& result_;
  std::map<std::pair<std::string, std::string>, std::map<int, TensorView>> singles_;
};

// ---- Metadata

std::string size_label(const GgufExport& result) {
  int64_t n = 0;
  for (const auto& t : result.tensors) n += t.shape.elements();
  if (n >= 1'000'000'000) return fmt::format("{:.1f}B", n / 1e9);
  return n >= 1'000'000 ? fmt::format("{:.0f}M", n / 1e6) : fmt::format("{:.0f}K", n / 1e3);
}

void describe_rope(const RopeConfig& rope, const std::string& prefix, GgufMetadata& metadata) {
  metadata.emplace_back(
      prefix + "rope.dimension_sections",
      array_of<int64_t>({rope.sections[0], rope.sections[1], rope.sections[2], 0}));
  metadata.emplace_back(prefix + "rope.freq_base", rope.theta);
  metadata.emplace_back(prefix + "rope.dimension_count", int64_t{rope.rotary_dim});
  if (rope.yarn_factor == 1) return;
  metadata.emplace_back(prefix + "rope.scaling.type", std::string("yarn"));
  metadata.emplace_back(prefix + "rope.scaling.factor", rope.yarn_factor);
  metadata.emplace_back(prefix + "rope.scaling.original_context_length",
                        rope.yarn_original_context);
  const RopeConfig usual;
  if (rope.yarn_beta_fast != usual.yarn_beta_fast)
    metadata.emplace_back(prefix + "rope.scaling.yarn_beta_fast", rope.yarn_beta_fast);
  if (rope.yarn_beta_slow != usual.yarn_beta_slow)
    metadata.emplace_back(prefix + "rope.scaling.yarn_beta_slow", rope.yarn_beta_slow);
}

void describe_layers(const TextConfig& c, int64_t blocks, const std::string& prefix,
                     GgufMetadata& metadata) {
  std::vector<bool> recurrent(blocks);
  for (int i = 0; i < c.num_layers; ++i) recurrent[i] = c.layers[i] == Mixer::kGatedDeltaNet;
  const auto first = std::find(c.layers.begin(), c.layers.end(), Mixer::kGatedAttention);
  const auto interval = first - c.layers.begin() + 1;
  bool regular = first != c.layers.end();
  for (int i = 0; i < c.num_layers; ++i)
    regular &= (c.layers[i] == Mixer::kGatedAttention) == ((i + 1) % interval == 0);
  metadata.emplace_back(prefix + "attention.recurrent_layers", array_of(std::move(recurrent)));
  if (regular) metadata.emplace_back(prefix + "full_attention_interval", int64_t{interval});
}

void describe_text(const ModelConfig& config, bool drafting, GgufExport& result) {
  const TextConfig& c = config.text;
  const std::string arch = c.experts ? "qwen35moe" : "qwen35", prefix = arch + ".";
  GgufMetadata& m = result.metadata;
  const auto integer = [&](const char* key, int64_t value) { m.emplace_back(prefix + key, value); };
  m.emplace_back("general.architecture", arch);
  m.emplace_back("general.type", std::string("model"));
  m.emplace_back("general.name", config.name);
  m.emplace_back("general.size_label", size_label(result));
  const int64_t blocks = c.num_layers + (drafting ? 1 : 0);
  integer("block_count", blocks);
  if (drafting) integer("nextn_predict_layers", 1);
  integer("context_length", c.max_context);
  integer("embedding_length", c.hidden_size);
  integer("attention.head_count", c.num_attention_heads);
  integer("attention.head_count_kv", c.num_kv_heads);
  integer("attention.key_length", c.head_dim);
  integer("attention.value_length", c.head_dim);
  m.emplace_back(prefix + "attention.layer_norm_rms_epsilon", c.rms_norm_eps);
  if (c.experts) {
    integer("expert_count", c.experts);
    integer("expert_used_count", c.experts_per_token);
    integer("expert_feed_forward_length", c.expert_intermediate);
    integer("expert_shared_feed_forward_length", c.shared_expert_intermediate);
  } else {
    integer("feed_forward_length", c.intermediate_size);
  }
  describe_rope(c.rope, prefix, m);
  integer("ssm.conv_kernel", c.conv_kernel);
  integer("ssm.state_size", c.linear_key_dim);
  integer("ssm.group_count", c.linear_key_heads);
  integer("ssm.time_step_rank", c.linear_value_heads);
  integer("ssm.inner_size", c.value_width());
  describe_layers(c, blocks, prefix, m);
}

std::vector<double> numbers_at(const std::optional<checkpoint::Json>& file, std::string_view key) {
  std::vector<double> values;
  const checkpoint::Json* list = file && file->is_object() ? file->find(key) : nullptr;
  if (list && list->is_array()) {
    for (const auto& item : list->items())
      if (item.is_number()) values.push_back(item.as_double());
  }
  return values.size() == 3 ? values : std::vector<double>(3, 0.5);
}

void describe_pixel_limits(const std::optional<checkpoint::Json>& file, const std::string& prefix,
                           GgufMetadata& metadata) {
  const checkpoint::Json* size = file && file->is_object() ? file->find("size") : nullptr;
  if (!size || !size->is_object()) return;
  for (const auto& [key, name] :
       {std::pair{"shortest_edge", "min_pixels"}, std::pair{"longest_edge", "max_pixels"}}) {
    const checkpoint::Json* value = size->find(key);
    const auto pixels = value && value->is_number() ? value->as_int64() : std::nullopt;
    if (pixels) metadata.emplace_back(prefix + name, *pixels);
  }
}

void describe_vision(const checkpoint::ModelFiles& files, const ModelConfig& config,
                     GgufExport& result) {
  const VisionConfig& c = *config.vision;
  GgufMetadata& m = result.metadata;
  const auto integer = [&](const char* key, int64_t value) {
    m.emplace_back(std::string("clip.vision.") + key, value);
  };
  m.emplace_back("general.architecture", std::string("clip"));
  m.emplace_back("general.type", std::string("mmproj"));
  m.emplace_back("general.name", config.name);
  m.emplace_back("general.size_label", size_label(result));
  m.emplace_back("clip.has_vision_encoder", true);
  m.emplace_back("clip.projector_type", std::string("qwen3vl_merger"));
  m.emplace_back("clip.use_gelu", true);
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(double(c.num_position_embeddings))));
  integer("image_size", side * c.patch_size);
  integer("patch_size", c.patch_size);
  integer("embedding_length", c.hidden_size);
  integer("feed_forward_length", c.intermediate_size);
  integer("block_count", c.depth);
  integer("projection_dim", c.out_hidden_size);
  integer("attention.head_count", c.num_heads);
  integer("spatial_merge_size", c.merge_size);
  m.emplace_back("clip.vision.attention.layer_norm_epsilon", config.text.rms_norm_eps);
  m.emplace_back("clip.vision.image_mean",
                 array_of(numbers_at(files.preprocessor_config, "image_mean")));
  m.emplace_back("clip.vision.image_std",
                 array_of(numbers_at(files.preprocessor_config, "image_std")));
  m.emplace_back("clip.vision.is_deepstack_layers", array_of(std::vector<bool>(c.depth)));
  describe_pixel_limits(files.preprocessor_config, "clip.vision.image_", m);
  describe_pixel_limits(files.video_preprocessor_config, "godwit.video_", m);
}

// The two frames of the patch convolution [D, 3, 2, p, p].
void add_patch_embedding(const TensorView& view, const VisionConfig& c, GgufExport& result) {
  const int64_t D = c.hidden_size, p = c.patch_size, planes = D * 3;
  const TensorView planes_view{view.data, view.dtype, Shape{2 * planes, p * p}};
  for (int64_t frame : {0, 1}) {
    std::vector<int32_t> rows(planes);
    for (int64_t i = 0; i < planes; ++i) rows[i] = static_cast<int32_t>(2 * i + frame);
    result.tensors.push_back({.name = frame ? "v.patch_embd.weight.1" : "v.patch_embd.weight",
                              .shape = {D, 3, p, p},
                              .always_f32 = true,
                              .parts = {planes_view},
                              .rows = std::move(rows)});
  }
}

// A GGUF file as it is; its small tensors stay as they are stored.
GgufExport export_gguf(const checkpoint::GgufFile& file) {
  GgufExport result;
  for (const auto& [key, value] : file.metadata())
    if (key != "general.file_type" && key != "general.quantization_version")
      result.metadata.emplace_back(key, value);
  for (const std::string& name : file.names()) {
    const TensorView view = *file.find(name);
    const bool small = view.shape.rank() < 2 || name.find("norm") != std::string::npos ||
                       name.find("conv1d") != std::string::npos ||
                       name.find("ffn_gate_inp") != std::string::npos ||
                       name.find("patch_embd") != std::string::npos ||
                       name.find("position_embd") != std::string::npos;
    result.tensors.push_back(
        {.name = name, .shape = view.shape, .always_f32 = small, .parts = {view}});
  }
  return result;
}

}  // namespace

void ExportTensor::read_row(int64_t row, float* values) const {
  const int64_t source = rows.empty() ? row : rows[row], n = row_length();
  const int64_t part_rows = parts[0].rows();
  const TensorView& part = parts[source / part_rows];
  const size_t row_bytes = tensor::bytes_of(part.dtype, n).value();
  const std::byte* bytes = part.data + source % part_rows * row_bytes;
  if (columns.empty()) {
    tensor::dequantize_row(part.dtype, bytes, values, n);
  } else {
    std::vector<float> unordered(n);
    tensor::dequantize_row(part.dtype, bytes, unordered.data(), n);
    for (int64_t i = 0; i < n; ++i) values[i] = unordered[columns[i]];
  }
  for (int64_t i = 0; i < n; ++i) {
    if (change == Change::kAddOne) values[i] += 1;
    if (change == Change::kMinusExp) values[i] = -std::exp(values[i]);
  }
}

Result<GgufExport> export_text(const checkpoint::ModelFiles& files) {
  TRY(const WeightPlan plan, Model::plan(files, {.vision = false}));  // shapes are right from here
  if (files.is_gguf) return export_gguf(*files.gguf);
  TRY(const ModelConfig config, read_config(files));
  GgufExport result;
  TextExporter exporter(config, result);
  for (const std::string& name : files.tensors->names())
    exporter.add(name, *files.tensors->find(name));
  exporter.finish();
  describe_text(config, plan.mtp_parameters > 0, result);
  TRY_STATUS(export_tokenizer(files, config, result.metadata));
  return result;
}

Result<GgufExport> export_vision(const checkpoint::ModelFiles& files) {
  TRY(const WeightPlan plan, Model::plan(files));
  if (plan.vision_parameters == 0) return GgufExport{};
  if (files.is_gguf) return export_gguf(*files.mmproj);
  TRY(const ModelConfig config, read_config(files));
  GgufExport result;
  for (const std::string& stored_name : files.tensors->names()) {
    const std::string name = strip_prefixes(stored_name);
    if (!name.starts_with("visual.")) continue;
    const TensorView view = *files.tensors->find(stored_name);
    if (name == "visual.patch_embed.proj.weight") {
      add_patch_embedding(view, *config.vision, result);
      continue;
    }
    ExportTensor t{.name = gguf_name(name, config.text), .shape = view.shape, .parts = {view}};
    if (t.name.empty()) {
      result.left_out.push_back(stored_name);
      continue;
    }
    t.always_f32 = t.shape.rank() < 2 || name == "visual.pos_embed.weight";
    result.tensors.push_back(std::move(t));
  }
  describe_vision(files, config, result);
  return result;
}

}  // namespace godwit::model
