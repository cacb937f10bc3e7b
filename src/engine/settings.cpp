#include "engine/settings.h"

#include <algorithm>

#include "base/container.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "engine/draft_state.h"
#include "engine/memory_plan.h"
#include "model/loaded_model.h"

namespace godwit::engine {
namespace {

using checkpoint::Json;

constexpr int64_t kDefaultContext = 32768;
constexpr int kUndoWindow = 64;
// A tokenizer's first tokens are its most frequent (docs/performance.md).
constexpr int64_t kMaxDraftIds = 65536;

Result<tensor::DType> parse_kv_type(const std::string& name, int head_dim) {
  if (name == "f32") return tensor::DType::kF32;
  if (name == "f16") return tensor::DType::kF16;
  if (name == "bf16") return tensor::DType::kBF16;
  if (name != "q8") return bad_input("kv type: expected f32, f16, bf16 or q8, found {}", name);
  if (head_dim % 32 != 0)
    return bad_input("kv type q8: expected heads of a multiple of 32, found {}", head_dim);
  return tensor::DType::kQ8_0;
}

std::string weight_types(const checkpoint::ModelFiles& files) {
  const checkpoint::TensorSource& source =
      files.gguf ? static_cast<const checkpoint::TensorSource&>(*files.gguf) : *files.tensors;
  std::map<std::string_view, size_t> bytes;
  for (const std::string& name : source.names()) {
    if (const auto view = source.find(name))
      bytes[tensor::dtype_info(view->dtype).name] += view->bytes();
  }
  std::vector<std::pair<size_t, std::string_view>> order;
  for (const auto& [name, size] : bytes) order.emplace_back(size, name);
  std::sort(order.rbegin(), order.rend());
  std::string text;
  for (const auto& [size, name] : order) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

}  // namespace

Result<Settings> settle(const EngineOptions& options, const model::ModelConfig& config,
                        const checkpoint::ModelFiles& files, const model::WeightPlan& weights) {
  Settings settings;
  const auto in_range = [](const char* name, int64_t value, int64_t least, int64_t most) -> Status {
    if (value < least || value > most)
      return bad_input("{}: expected {} to {}, found {}", name, least, most, value);
    return {};
  };
  TRY_STATUS(in_range("threads", options.threads, 0, 1024));
  TRY_STATUS(in_range("threads for decoding", options.threads_decode, 0, 1024));
  TRY_STATUS(in_range("threads for pictures", options.threads_vision, 0, 1024));
  TRY_STATUS(in_range("prefill chunk", options.prefill_chunk, 1, 65536));
  TRY_STATUS(in_range("sequences", options.max_sequences, 1, 256));
  TRY_STATUS(in_range("undo window", options.undo_window, -1, 4096));
  TRY_STATUS(in_range("draft tokens", options.draft_tokens, 0, kMaxDrafts));
  if (options.draft_tokens > 0 && weights.mtp_parameters == 0)
    return bad_input("{}: draft tokens: expected a model with a drafting head, found none",
                     options.model);
  TRY_STATUS(in_range("milliseconds for pictures", options.vision_ms, 0, 60000));
  TRY_STATUS(in_range("queue", options.queue_limit, 1, 1 << 20));
  const int64_t most = config.text.max_context > 0 ? config.text.max_context : kDefaultContext;
  if (options.context != 0) TRY_STATUS(in_range("context", options.context, 1, most));
  settings.context = options.context > 0 ? options.context : std::min(most, kDefaultContext);
  settings.grain = std::min(kPageTokens, options.prefill_chunk);
  const bool goes_on = options.max_sequences == 1 && options.prefix_cache;
  settings.undo_window = options.undo_window >= 0 ? options.undo_window : goes_on ? kUndoWindow : 0;
  settings.threads = thread_counts(options);
  TRY(settings.kv_type, parse_kv_type(options.kv_type, config.text.head_dim));

  // A model without weights knows its sizes.
  ComputePool pool(settings.threads.most());
  TRY(const Isa isa, isa_from_environment());
  const model::LoadedModel sizes(config, {&pool, &kernels::kernel_table(isa)});
  settings.geometry = sizes.cache_geometry(settings.kv_type, kPageTokens);
  if (settings.geometry.page_bytes() == 0)
    return bad_input("model: expected attention layers, found none");
  settings.drafts = options.draft_tokens;
  settings.draft_geometry = sizes.draft_cache_geometry(settings.kv_type, kPageTokens);
  settings.draft_geometry.attention_layers = 1;
  settings.draft_window = std::min(settings.context, kDraftWindow);
  settings.draft_ids = std::min<int64_t>(config.text.vocab_size / 16 * 16, kMaxDraftIds);
  settings.workspace.max_tokens = options.prefill_chunk + 8 * options.max_sequences;
  settings.workspace.max_logit_rows = options.max_sequences + kScoreRows;
  settings.workspace.max_context = settings.context;
  TRY(const model::WeightPlan loaded, model::Model::plan(files, {.drafting = settings.drafts > 0}));
  TRY(settings.pages, choose_pages(options, settings, loaded.packed_bytes));

  settings.memory = plan_memory(options, settings, files, loaded,
                                sizes.workspace_bytes(settings.workspace), config.text);
  const size_t available = available_memory(), wanted = settings.memory.total();
  if (available > 0 && wanted > available)
    log_warn("memory: the plan is {} MB, but {} MB are free", wanted >> 20, available >> 20);
  return settings;
}

ModelInfo describe(const checkpoint::ModelFiles& files, const model::ModelConfig& config,
                   const model::WeightPlan& weights, const text::TemplateChoice& chat_template,
                   const Settings& settings) {
  ModelInfo info;
  info.name = config.name;
  info.path = files.path;
  info.template_name = text::template_name(chat_template.version);
  info.template_note = chat_template.exact ? "" : chat_template.reason;
  info.parameters = weights.parameters;
  info.text_parameters = weights.text_parameters;
  info.vision_parameters = weights.vision_parameters;
  info.mtp_parameters = weights.mtp_parameters;
  info.context = settings.context;
  info.vocabulary = config.text.vocab_size;
  info.layers = config.text.num_layers;
  info.attention_layers = settings.geometry.attention_layers;
  info.hidden = config.text.hidden_size;
  info.experts = config.text.experts;
  info.vision = weights.vision_parameters > 0;
  info.drafting = weights.mtp_parameters > 0;
  info.weight_types = weight_types(files);
  info.isa = isa_name(isa_from_environment().value_or(best_isa()));
  info.cpu = cpu_topology().model;
  info.threads = settings.threads.prefill;
  info.threads_decode = settings.threads.decode;
  info.threads_vision = settings.threads.vision;
  info.memory = settings.memory;
  return info;
}

}  // namespace godwit::engine
