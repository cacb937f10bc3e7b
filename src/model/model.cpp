// Loading a model, and the sizes of what it needs: weights, caches, scratch.
#include "model/model.h"

#include <algorithm>
#include <utility>

#include "kernels/matmul.h"
#include "model/binder.h"
#include "model/loaded_model.h"

namespace godwit::model {
namespace {

constexpr int kSmallestPage = 16;  // tokens: bounds how many pages a context has

// Asks for all that the options want. `decoder` and `vision` must stay where they are until the
// binder has loaded.
void bind_all(Binder& binder, const ModelConfig& config, const LoadOptions& options,
              DecoderWeights& decoder, std::optional<VisionWeights>& vision) {
  bind_decoder(binder, config, options, decoder);
  if (!config.vision || !options.vision) return binder.ignore("visual.");
  if (!binder.has_any("visual."))
    return binder.note("the vision tower that the configuration names is absent");
  bind_vision(binder, *config.vision, vision.emplace());
}

}  // namespace

Result<WeightPlan> Model::plan(const checkpoint::ModelFiles& files, const LoadOptions& options) {
  TRY(const ModelConfig config, read_config(files));
  TRY(Binder binder, Binder::open(files, config));
  DecoderWeights decoder;
  std::optional<VisionWeights> vision;
  bind_all(binder, config, options, decoder, vision);
  return binder.finish();
}

Result<std::unique_ptr<Model>> Model::load(const checkpoint::ModelFiles& files,
                                           const kernels::Context& context,
                                           const LoadOptions& options) {
  TRY(ModelConfig config, read_config(files));
  auto model = std::make_unique<LoadedModel>(std::move(config), context);
  TRY_STATUS(model->bind_and_load(files, options));
  return model;
}

LoadedModel::LoadedModel(ModelConfig config, const kernels::Context& context)
    : config_(std::move(config)), context_(context), rope_(rope_frequencies(config_.text.rope)) {}

Status LoadedModel::bind_and_load(const checkpoint::ModelFiles& files, const LoadOptions& options) {
  TRY(Binder binder, Binder::open(files, config_));
  bind_all(binder, config_, options, decoder_, vision_);
  TRY(plan_, binder.finish());
  source_ = files.is_gguf ? files.gguf.get() : files.tensors.get();
  plan_ = binder.load(context_, options);
  mapped_ = binder.mapped();
  for (LayerWeights& layer : decoder_.layers) {
    if (auto* moe = std::get_if<MoeWeights>(&layer.mlp)) moe->on_disk = plan_.experts_on_disk;
  }
  return {};
}

cache::CacheGeometry LoadedModel::cache_geometry(tensor::DType kv_type, int page_tokens) const {
  CHECK(page_tokens >= kSmallestPage);
  const TextConfig& c = config_.text;
  const auto attention =
      static_cast<int>(std::count(c.layers.begin(), c.layers.end(), Mixer::kGatedAttention));
  return {.attention_layers = attention,
          .kv_heads = c.num_kv_heads,
          .head_dim = c.head_dim,
          .kv_type = kv_type,
          .page_tokens = page_tokens,
          .recurrent_layers = c.num_layers - attention,
          .value_heads = c.linear_value_heads,
          .key_dim = c.linear_key_dim,
          .value_dim = c.linear_value_dim,
          .conv_channels = c.conv_channels(),
          .conv_columns = c.conv_kernel - 1};
}

cache::CacheGeometry LoadedModel::draft_cache_geometry(tensor::DType kv_type,
                                                       int page_tokens) const {
  CHECK(page_tokens >= kSmallestPage);
  return {.attention_layers = has_drafting() ? 1 : 0,
          .kv_heads = config_.text.num_kv_heads,
          .head_dim = config_.text.head_dim,
          .kv_type = kv_type,
          .page_tokens = page_tokens};
}

DecoderScratch::DecoderScratch(Arena& arena, const ModelConfig& config, int64_t n, int64_t m,
                               int64_t context)
    : x(arena.matrix(n, config.text.hidden_size)),
      normed(arena.matrix(n, config.text.hidden_size)),
      mixed(arena.matrix(n, config.text.hidden_size)),
      cos(arena.matrix(n, config.text.rope.rotary_dim / 2)),
      sin(arena.matrix(n, config.text.rope.rotary_dim / 2)),
      selected(arena.matrix(m, config.text.hidden_size)),
      key_pages(arena.array<std::byte*>(context / kSmallestPage + 1)),
      value_pages(arena.array<std::byte*>(context / kSmallestPage + 1)) {
  const TextConfig& c = config.text;
  const int widest =
      std::max({2 * c.hidden_size, c.value_width(), c.num_attention_heads * c.head_dim,
                c.intermediate_size, c.expert_intermediate, c.shared_expert_intermediate});
  matmul = arena.array<std::byte>(kernels::matmul_scratch_bytes(std::max(n, m), widest));
}

size_t LoadedModel::workspace_bytes(const WorkspaceLimits& limits) const {
  const TextConfig& c = config_.text;
  const int64_t n = limits.max_tokens;
  Arena decoder;
  const DecoderScratch scratch(decoder, config_, n, limits.max_logit_rows, limits.max_context);
  // The parts of a layer take turns in the same place.
  const auto count = [&](auto carve) {
    const Arena::Scope scope(decoder);
    carve();
  };
  count([&] { GatedDeltaNetScratch(decoder, context_, c, n); });
  count([&] { GatedAttentionScratch(decoder, context_, c, n); });
  if (c.experts) {
    count([&] { MoeScratch(decoder, c, n); });
  } else {
    count([&] { MlpScratch(decoder, c.intermediate_size, n); });
  }
  if (has_drafting()) count([&] { decoder.matrix(n, 2 * c.hidden_size); });

  Arena vision;
  if (has_vision() && limits.max_patches > 0) {
    VisionScratch(vision, context_, *config_.vision, limits.max_patches, limits.max_segment);
  }
  return std::max(decoder.peak(), vision.peak());
}

std::unique_ptr<Workspace> LoadedModel::make_workspace(const WorkspaceLimits& limits) const {
  return std::make_unique<Workspace>(limits, workspace_bytes(limits));
}

}  // namespace godwit::model
