#include "engine/settings.h"

#include <algorithm>
#include <set>

#include "base/container.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "engine/memory_plan.h"
#include "model/loaded_model.h"

namespace godwit::engine {
namespace {

using checkpoint::Json;

constexpr int64_t kDefaultContext = 32768;
constexpr int kUndoWindow = 64;

std::optional<int64_t> integer_at(const std::optional<Json>& file, std::string_view object,
                                  std::string_view key) {
  if (!file || !file->is_object()) return std::nullopt;
  const Json* place = object.empty() ? &*file : file->find(object);
  const Json* value = place && place->is_object() ? place->find(key) : nullptr;
  return value ? value->as_int64() : std::nullopt;
}

std::optional<double> number_at(const Json& file, std::string_view key) {
  const Json* value = file.find(key);
  return value && value->is_number() ? std::optional(value->as_double()) : std::nullopt;
}

// generation_config.json. "do_sample": false is greedy; a file that says nothing about sampling
// leaves the defaults.
void read_generation_config(const Json& file, SamplingRules& rules) {
  if (!file.is_object()) return;
  const auto set = [&](std::string_view key, auto& target) {
    if (const auto value = number_at(file, key))
      target = static_cast<std::remove_reference_t<decltype(target)>>(*value);
  };
  set("temperature", rules.temperature);
  set("top_k", rules.top_k);
  set("top_p", rules.top_p);
  set("min_p", rules.min_p);
  set("repetition_penalty", rules.repetition_penalty);
  set("presence_penalty", rules.presence_penalty);
  const Json* do_sample = file.find("do_sample");
  if (do_sample && do_sample->is_bool() && !do_sample->as_bool()) rules.temperature = 0;
}

void read_gguf_sampling(const checkpoint::GgufFile& file, SamplingRules& rules) {
  const auto set = [&](std::string_view key, auto& target) {
    target = static_cast<std::remove_reference_t<decltype(target)>>(
        file.real_or("general.sampling." + std::string(key), target).value_or(target));
  };
  set("temp", rules.temperature);
  set("top_k", rules.top_k);
  set("top_p", rules.top_p);
  set("min_p", rules.min_p);
  set("penalty_repeat", rules.repetition_penalty);
}

void add_eos(const Json* value, std::set<int32_t>& ends) {
  if (!value) return;
  if (value->is_array()) {
    for (const Json& item : value->items()) add_eos(&item, ends);
  } else if (const auto id = value->as_int64(); id && *id >= 0) {
    ends.insert(static_cast<int32_t>(*id));
  }
}

MarkupIds find_markup(const checkpoint::ModelFiles& files, const text::Tokenizer& tokenizer) {
  MarkupIds ids;
  ids.think = tokenizer.id_of("<think>").value_or(-1);
  ids.think_end = tokenizer.id_of("</think>").value_or(-1);
  ids.tool_call = tokenizer.id_of("<tool_call>").value_or(-1);
  ids.tool_call_end = tokenizer.id_of("</tool_call>").value_or(-1);
  std::set<int32_t> ends;
  for (const char* name : {"<|im_end|>", "<|endoftext|>"}) {
    if (const auto id = tokenizer.id_of(name)) ends.insert(*id);
  }
  if (files.generation_config && files.generation_config->is_object()) {
    add_eos(files.generation_config->find("eos_token_id"), ends);
  }
  if (files.gguf) {
    const int64_t eos = files.gguf->integer_or("tokenizer.ggml.eos_token_id", -1).value_or(-1);
    if (eos >= 0) ends.insert(static_cast<int32_t>(eos));
  }
  ids.ends.assign(ends.begin(), ends.end());
  if (ids.think_end >= 0) ids.close_think = tokenizer.encode("\n</think>\n\n");
  return ids;
}

void read_limits(const std::optional<Json>& file, media::PixelLimits& limits) {
  limits.min_pixels = integer_at(file, "size", "shortest_edge").value_or(limits.min_pixels);
  limits.max_pixels = integer_at(file, "size", "longest_edge").value_or(limits.max_pixels);
}

// Patches are (x − 127.5)/127.5; another mean or deviation would be another picture.
Status check_normalisation(const std::optional<Json>& file, const char* name) {
  if (!file || !file->is_object()) return {};
  for (const char* key : {"image_mean", "image_std"}) {
    const Json* values = file->find(key);
    if (!values || !values->is_array()) continue;
    for (const Json& value : values->items()) {
      if (!value.is_number() || value.as_double() != 0.5)
        return bad_input("{}: {}: expected 0.5 three times, found {}", name, key, values->dump());
    }
  }
  return {};
}

// As `godwit quantize` writes them; other converters leave them out.
void read_gguf_limits(const checkpoint::GgufFile& file, const std::string& prefix,
                      media::PixelLimits& limits) {
  const auto set = [&](const char* key, int64_t& target) {
    target = file.integer_or(prefix + key, target).value_or(target);
  };
  set("min_pixels", limits.min_pixels);
  set("max_pixels", limits.max_pixels);
}

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

text::TemplateChoice chat_template_of(const checkpoint::ModelFiles& files) {
  std::optional<std::string> text = files.chat_template;
  if (!text && files.gguf) {
    if (auto found = files.gguf->text("tokenizer.chat_template")) text = *found;
  }
  std::string version;
  if (files.gguf) version = files.gguf->text_or("godwit.chat_template_version", "").value_or("");
  if (files.tokenizer_config && files.tokenizer_config->is_object()) {
    const Json* named = files.tokenizer_config->find("chat_template_version");
    if (named && named->is_string()) version = named->as_string();
  }
  return text::choose_template(text, version);
}

Result<std::unique_ptr<text::Tokenizer>> open_tokenizer(const checkpoint::ModelFiles& files) {
  if (files.gguf) return text::Tokenizer::from_gguf(*files.gguf);
  if (files.tokenizer_json_path.empty())
    return bad_input("{}: expected a tokenizer.json, found none", files.path);
  TRY(const std::string json, read_file(files.tokenizer_json_path));
  return text::Tokenizer::from_json(
      json, files.tokenizer_config ? files.tokenizer_config->dump() : std::string());
}

Result<Conventions> read_conventions(const checkpoint::ModelFiles& files,
                                     const text::Tokenizer& tokenizer) {
  Conventions conventions;
  conventions.chat_template = chat_template_of(files);
  conventions.markup = find_markup(files, tokenizer);
  if (files.gguf) read_gguf_sampling(*files.gguf, conventions.sampling);
  if (files.generation_config)
    read_generation_config(*files.generation_config, conventions.sampling);
  const auto checked = resolve_sampling({}, conventions.sampling, tokenizer.vocabulary_size());
  if (!checked) return in_context(files.path + ": sampling defaults", checked.error());
  for (const auto& [file, name] :
       {std::pair(&files.preprocessor_config, "preprocessor_config.json"),
        std::pair(&files.video_preprocessor_config, "video_preprocessor_config.json")}) {
    if (const auto valid = check_normalisation(*file, name); !valid)
      return in_context(files.path, valid.error());
  }
  read_limits(files.preprocessor_config, conventions.picture_limits);
  read_limits(files.video_preprocessor_config, conventions.video_limits);
  if (files.mmproj) {
    read_gguf_limits(*files.mmproj, "clip.vision.image_", conventions.picture_limits);
    read_gguf_limits(*files.mmproj, "godwit.video_", conventions.video_limits);
  }
  if (files.video_preprocessor_config) {
    const Json& file = *files.video_preprocessor_config;
    auto& sampling = conventions.video_sampling;
    sampling.frames_per_second = number_at(file, "fps").value_or(sampling.frames_per_second);
    sampling.min_frames =
        static_cast<int>(number_at(file, "min_frames").value_or(sampling.min_frames));
    sampling.max_frames =
        static_cast<int>(number_at(file, "max_frames").value_or(sampling.max_frames));
  }
  for (int32_t id = 0; id < tokenizer.vocabulary_size(); ++id) {
    if (tokenizer.token_bytes(id).empty()) conventions.undecodable.push_back(id);
  }
  return conventions;
}

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
  TRY_STATUS(in_range("queue", options.queue_limit, 1, 1 << 20));
  const int64_t most = config.text.max_context > 0 ? config.text.max_context : kDefaultContext;
  TRY_STATUS(in_range("context", options.context, 0, most));
  settings.context = options.context > 0 ? options.context : std::min(most, kDefaultContext);
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
  settings.workspace.max_tokens = options.prefill_chunk + 8 * options.max_sequences;
  settings.workspace.max_logit_rows = options.max_sequences + kScoreRows;
  settings.workspace.max_context = settings.context;
  TRY(settings.pages, choose_pages(options, settings, weights.packed_bytes));

  settings.memory = plan_memory(options, settings, files, weights,
                                sizes.workspace_bytes(settings.workspace), config.text.vocab_size);
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
