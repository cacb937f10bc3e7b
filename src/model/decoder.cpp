// The decoder. forward() is the whole model, for prompts and for single tokens alike:
//
//   x = rows of embed_tokens, or of pictures
//   for each layer:   x += mixer(norm(x))      x += feed_forward(norm(x))
//   logits = norm(x) · lm_headᵀ
//
// draft() is the drafting head: one such layer over (next token's embedding, hidden row) pairs.
// Nothing here allocates, samples or knows who owns the caches.
#include <algorithm>

#include "base/trace.h"
#include "kernels/matmul.h"
#include "model/loaded_model.h"
#include "tensor/blocks.h"

namespace godwit::model {
namespace {

constexpr int64_t kRowsKept = 256;  // of an embedding table that is read from its file

}  // namespace

void LoadedModel::forward(const Batch& batch, Workspace& workspace, const BatchOutput& output,
                          Observer* observer) const {
  Arena arena = workspace.arena();
  const DecoderScratch s(arena, config_, batch.ids.size(), batch.logit_rows.size(),
                         workspace.limits().max_context);
  const Step step = begin(batch, workspace.limits(), arena, s, observer);

  embed(batch, s.x);
  if (observer) observer->observe("embed", s.x);
  for (const LayerWeights& layer : decoder_.layers) run_layer(step, layer, s);
  finish(step, decoder_.norm, s, output, "norm", "logits");
}

void LoadedModel::run_layer(const Step& step, const LayerWeights& layer,
                            const DecoderScratch& s) const {
  const TraceScope scope(layer.name.c_str());
  const auto eps = static_cast<float>(config_.text.rms_norm_eps);
  kernels::rms_norm(context_, s.x, layer.input_layernorm.data(), eps, s.normed);
  std::visit([&](const auto& mixer) { mix(step, mixer, layer, s.normed, s.mixed); }, layer.mixer);
  observe(step, layer, "mixer", s.mixed);
  kernels::add(context_, s.mixed, s.x);

  kernels::rms_norm(context_, s.x, layer.post_attention_layernorm.data(), eps, s.normed);
  std::visit([&](const auto& mlp) { feed_forward(step, mlp, layer, s.normed, s.mixed); },
             layer.mlp);
  kernels::add(context_, s.mixed, s.x);
  observe(step, layer, "out", s.x);
}

void LoadedModel::finish(const Step& step, const Vector& norm, const DecoderScratch& s,
                         const BatchOutput& output, std::string_view norm_name,
                         std::string_view logits_name) const {
  const MatrixView normed = output.hidden.data ? output.hidden : s.normed;
  kernels::rms_norm(context_, s.x, norm.data(), static_cast<float>(config_.text.rms_norm_eps),
                    normed);
  if (step.observer) step.observer->observe(norm_name, normed);
  if (step.batch.logit_rows.empty()) return;

  CHECK(output.logits.rows == s.selected.rows && output.logits.columns <= config_.text.vocab_size);
  for (int64_t i = 0; i < s.selected.rows; ++i) {
    std::copy_n(normed.row(step.batch.logit_rows[i]), normed.columns, s.selected.row(i));
  }
  const kernels::Product head[] = {
      {.weight = &decoder_.lm_head, .row_count = output.logits.columns, .out = output.logits}};
  kernels::matmul(context_, s.selected, head, s.matmul, "head");
  if (step.observer) step.observer->observe(logits_name, output.logits);
}

void LoadedModel::draft(const Batch& batch, ConstMatrixView hidden, Workspace& workspace,
                        const BatchOutput& output, Observer* observer) const {
  CHECK(has_drafting() && hidden.rows == static_cast<int64_t>(batch.ids.size()));
  const MtpWeights& w = *decoder_.mtp;
  const auto eps = static_cast<float>(config_.text.rms_norm_eps);
  const int64_t n = hidden.rows, H = config_.text.hidden_size;
  Arena arena = workspace.arena();
  const DecoderScratch s(arena, config_, n, batch.logit_rows.size(),
                         workspace.limits().max_context);
  const Step step = begin(batch, workspace.limits(), arena, s, observer);
  {
    const Arena::Scope scope(arena);
    const MatrixView both = arena.matrix(n, 2 * H);  // embedding | hidden
    embed(batch, s.normed);
    kernels::rms_norm(context_, s.normed, w.pre_fc_norm_embedding.data(), eps,
                      {both.data, n, H, both.stride});
    kernels::rms_norm(context_, hidden, w.pre_fc_norm_hidden.data(), eps,
                      {both.data + H, n, H, both.stride});
    const kernels::Product fc[] = {{.weight = &w.fc, .out = s.x}};
    kernels::matmul(context_, both, fc, s.matmul, "mtp.fc");
  }
  run_layer(step, w.layer, s);
  finish(step, w.norm, s, output, "mtp.hidden", "mtp.logits");
}

Step LoadedModel::begin(const Batch& batch, const WorkspaceLimits& limits, Arena& arena,
                        const DecoderScratch& s, Observer* observer) const {
  CHECK(!batch.ids.empty() && batch.positions.size() == batch.ids.size() && batch.geometry);
  CHECK_MSG(s.x.rows <= limits.max_tokens && s.selected.rows <= limits.max_logit_rows,
            "more tokens or rows of logits than the workspace was made for");
  CHECK(batch.vision_row.empty() || batch.vision_row.size() == batch.ids.size());
  fill_rope_tables(rope_, batch.positions, s.cos, s.sin);
  return {.context = context_,
          .config = config_.text,
          .gguf_head_order = config_.gguf,
          .batch = batch,
          .arena = arena,
          .cos = s.cos,
          .sin = s.sin,
          .matmul_scratch = s.matmul,
          .key_pages = s.key_pages,
          .value_pages = s.value_pages,
          .observer = observer};
}

// Token embeddings, with rows of pictures and clips in the places of their pads.
void LoadedModel::embed(const Batch& batch, MatrixView out) const {
  const tensor::TensorView& table = decoder_.embed_tokens;
  const int64_t H = config_.text.hidden_size;
  const size_t row_bytes = tensor::bytes_of(table.dtype, H).value();
  context_.pool->parallel_for(out.rows, [&](int64_t i, int) {
    const int32_t id = batch.ids[i], vision = batch.vision_row.empty() ? -1 : batch.vision_row[i];
    if (vision >= 0) {
      CHECK(vision < batch.vision.rows && batch.vision.columns == H);
      std::copy_n(batch.vision.row(vision), H, out.row(i));
      return;
    }
    CHECK(id >= 0 && id < config_.text.vocab_size);
    if (decoder_.tied) {
      decoder_.lm_head.unpack_rows(id, 1, out.row(i));
    } else {
      tensor::dequantize_row(table.dtype, table.data + id * row_bytes, out.row(i), H);
    }
  });
  // A row brings its neighbours in the file into memory: they would pile up.
  if (!decoder_.tied && (rows_read_ += out.rows) >= kRowsKept) {
    source_->forget(table);
    rows_read_ = 0;
  }
}

void LoadedModel::encode_vision(ConstMatrixView pixel_values, std::span<const VisionGrid> grids,
                                Workspace& workspace, MatrixView merged, Observer* observer) const {
  VisionEncoder encoder(context_, *config_.vision, *vision_, pixel_values, grids, workspace.arena(),
                        merged, observer);
  while (encoder.next()) continue;
}

std::unique_ptr<VisionPass> LoadedModel::start_vision(ConstMatrixView pixel_values,
                                                      std::span<const VisionGrid> grids,
                                                      Workspace& workspace,
                                                      MatrixView merged) const {
  return std::make_unique<VisionEncoder>(context_, *config_.vision, *vision_, pixel_values, grids,
                                         workspace.arena(), merged, nullptr);
}

}  // namespace godwit::model
