// godwit quantize: a checkpoint (folder or GGUF) to GGUF files of another type; the vision tower
// beside the text as OUT.mmproj.gguf.
//
// A type is a recipe: most matrices take its base type, those that lose most take a better one:
// the head (which with tied embeddings is also the table of tokens), and the values of attention
// and the way down of feed-forwards, in some layers of large models and in all of small ones. Gates
// of the delta rule stay F32: they are tiny, and errors in them add up along the context.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "base/cpu.h"
#include "base/mapped_file.h"
#include "base/visible.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "engine/conventions.h"
#include "kernels/context.h"
#include "model/gguf_export.h"
#include "model/importance.h"
#include "tensor/blocks.h"

namespace godwit::cli {
namespace {

using tensor::DType;

constexpr int64_t kSmallModel = 3'000'000'000;  // parameters; below, all layers get the better type
constexpr int64_t kChunkBytes = int64_t{8} << 20;  // of f32 values that are quantised at a time
constexpr int64_t kWindow = 512;                   // tokens of a text that is run for importance

enum class BetterLayers { kNone, kFirstEighth, kHalf };

struct Recipe {
  std::string_view name;
  int64_t file_type;  // general.file_type, as llama.cpp numbers them
  DType base, better, head;
  BetterLayers layers;
};
constexpr Recipe kRecipes[] = {
    {"F32", 0, DType::kF32, DType::kF32, DType::kF32, BetterLayers::kNone},
    {"F16", 1, DType::kF16, DType::kF16, DType::kF16, BetterLayers::kNone},
    {"BF16", 32, DType::kBF16, DType::kBF16, DType::kBF16, BetterLayers::kNone},
    {"Q8_0", 7, DType::kQ8_0, DType::kQ8_0, DType::kQ8_0, BetterLayers::kNone},
    {"Q6_K", 18, DType::kQ6_K, DType::kQ6_K, DType::kQ6_K, BetterLayers::kNone},
    {"Q5_K_M", 17, DType::kQ5_K, DType::kQ6_K, DType::kQ6_K, BetterLayers::kHalf},
    {"Q4_K_M", 15, DType::kQ4_K, DType::kQ6_K, DType::kQ6_K, BetterLayers::kHalf},
    {"Q4_K_S", 14, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K, BetterLayers::kFirstEighth},
    {"Q4_0", 2, DType::kQ4_0, DType::kQ4_0, DType::kQ6_K, BetterLayers::kNone},
    {"IQ4_XS", 30, DType::kIQ4_XS, DType::kQ5_K, DType::kQ6_K, BetterLayers::kFirstEighth},
    {"IQ4_NL", 25, DType::kIQ4_NL, DType::kQ5_K, DType::kQ6_K, BetterLayers::kFirstEighth},
    {"MXFP4", 38, DType::kMXFP4, DType::kMXFP4, DType::kQ8_0, BetterLayers::kNone},
};

// What decides the type of a tensor.
struct Plan {
  Recipe recipe;
  bool pure = false;
  bool tied = false;
  bool is_small = false;
  int layers = 0;
};

Result<Recipe> find_recipe(const std::string& type) {
  std::string names, upper = type;
  std::transform(upper.begin(), upper.end(), upper.begin(), ::toupper);
  for (const Recipe& recipe : kRecipes) {
    if (recipe.name == upper) return recipe;
    names += (names.empty() ? "" : ", ") + std::string(recipe.name);
  }
  return bad_input("--type: expected one of {}; found '{}'", names, type);
}

bool has_better_type(const Plan& plan, int layer) {
  const int n = plan.layers, eighth = n / 8;
  switch (plan.recipe.layers) {
    case BetterLayers::kNone:
      return false;
    case BetterLayers::kFirstEighth:
      return plan.is_small || layer < eighth;
    case BetterLayers::kHalf:
      return plan.is_small || layer < eighth || layer >= n - eighth || (layer - eighth) % 3 == 2;
  }
  return false;
}

// The next type whose blocks fit rows of so many values.
DType fitting_type(DType type, int64_t columns) {
  const auto fits = [&](DType t) { return columns % tensor::dtype_info(t).block_size == 0; };
  if (fits(type)) return type;
  switch (type) {
    case DType::kQ4_K:
      type = DType::kQ5_0;
      break;
    case DType::kQ5_K:
      type = DType::kQ5_1;
      break;
    case DType::kQ6_K:
      type = DType::kQ8_0;
      break;
    case DType::kIQ4_XS:
      type = DType::kIQ4_NL;
      break;
    default:
      break;
  }
  return fits(type) ? type : DType::kF16;
}

DType choose_type(const Plan& plan, const model::ExportTensor& t) {
  const Recipe& recipe = plan.recipe;
  if (t.always_f32) return DType::kF32;
  if (!tensor::is_block_format(recipe.base)) return recipe.base;
  const int64_t columns = t.shape[t.shape.rank() - 1];
  const auto ends = [&](std::string_view ending) { return t.name.ends_with(ending); };
  if (t.name.starts_with("v.") || t.name.starts_with("mm."))
    return fitting_type(DType::kQ8_0, columns);
  if (ends("ssm_alpha.weight") || ends("ssm_beta.weight")) return DType::kF32;
  const bool is_head = t.name == "output.weight" || (plan.tied && t.name == "token_embd.weight");
  if (is_head) return fitting_type(recipe.head, columns);
  if (!plan.pure && (ends("attn_v.weight") || ends("ffn_down.weight") ||
                     ends("ffn_down_exps.weight") || ends("ffn_down_shexp.weight"))) {
    int layer = 0;
    std::from_chars(t.name.data() + 4, t.name.data() + t.name.size(), layer);  // "blk.12.…"
    if (has_better_type(plan, layer)) return fitting_type(recipe.better, columns);
  }
  return fitting_type(recipe.base, columns);
}

// ---- Importance

using ImportanceByTensor = std::map<std::string, std::vector<float>, std::less<>>;

// llama.cpp's form: NAME.in_sum2 [matrices, columns] and NAME.counts [matrices, 1].
Result<ImportanceByTensor> read_importance_gguf(const std::string& path) {
  TRY(const auto file, checkpoint::GgufFile::open(path));
  ImportanceByTensor result;
  for (const std::string& name : file->names()) {
    constexpr std::string_view kEnding = ".in_sum2";
    if (!name.ends_with(kEnding)) continue;
    const std::string tensor_name = name.substr(0, name.size() - kEnding.size());
    const tensor::TensorView sums = *file->find(name);
    const auto counts = file->find(tensor_name + ".counts");
    if (sums.dtype != DType::kF32 || !counts || counts->dtype != DType::kF32 ||
        counts->shape.elements() != sums.rows())
      return bad_input("{}: {}: expected F32 sums with as many counts", path, name);
    std::vector<float>& values = result[tensor_name];
    values.resize(sums.shape.elements());
    std::memcpy(values.data(), sums.data, sums.bytes());
    for (int64_t m = 0; m < sums.rows(); ++m) {
      float count;
      std::memcpy(&count, counts->data + m * sizeof count, sizeof count);
      for (int64_t i = 0; i < sums.columns(); ++i) {
        float& value = values[m * sums.columns() + i];
        value = count > 0 ? value / count : 1.0f;
      }
    }
  }
  if (result.empty()) return bad_input("{}: expected tensors NAME.in_sum2, found none", path);
  return result;
}

// Runs the text through the model that is to be quantised.
Result<ImportanceByTensor> measure_importance(const checkpoint::ModelFiles& files,
                                              const kernels::Context& context,
                                              const std::vector<model::ExportTensor>& tensors,
                                              const std::string& path) {
  TRY(const std::string text, read_file(path));
  TRY(const auto tokenizer, engine::open_tokenizer(files));
  const std::vector<int32_t> ids = tokenizer->encode(text);
  if (ids.size() < 64)
    return bad_input("{}: expected a text of 64 tokens or more, found {}", path, ids.size());
  TRY(const auto model, model::Model::load(files, context, {.vision = false, .drafting = false}));
  const auto importance = model::Importance::measure(*model, ids, kWindow);
  ImportanceByTensor result;
  for (const auto& t : tensors) {
    std::vector<float> values = importance.of_tensor(t.name, model->config().text);
    if (values.empty()) continue;
    if (!t.columns.empty()) {  // the file has them in another order than the model
      std::vector<float> ordered(values.size());
      for (size_t i = 0; i < values.size(); ++i) ordered[i] = values[t.columns[i]];
      values = std::move(ordered);
    }
    result[t.name] = std::move(values);
  }
  return result;
}

Result<ImportanceByTensor> read_importance(const QuantizeOptions& options,
                                           const checkpoint::ModelFiles& files,
                                           const kernels::Context& context,
                                           const std::vector<model::ExportTensor>& tensors) {
  if (options.imatrix.empty()) return ImportanceByTensor{};
  TRY(const MappedFile file, MappedFile::open(options.imatrix));
  const auto bytes = file.bytes();
  const bool is_gguf = bytes.size() > 4 && std::memcmp(bytes.data(), "GGUF", 4) == 0;
  return is_gguf ? read_importance_gguf(options.imatrix)
                 : measure_importance(files, context, tensors, options.imatrix);
}

// ---- Writing

class Quantizer {
 public:
  Quantizer(const Plan& plan, const ImportanceByTensor& importance, ComputePool& pool)
      : plan_(plan), importance_(importance), pool_(pool) {}

  Result<size_t> write(model::GgufExport contents, const std::string& path) {
    checkpoint::GgufWriter writer;
    writer.metadata = std::move(contents.metadata);
    writer.metadata.emplace_back("general.file_type", plan_.recipe.file_type);
    writer.metadata.emplace_back("general.quantization_version", int64_t{2});
    size_t total = 0;
    for (const auto& t : contents.tensors) {
      const DType type = choose_type(plan_, t);
      writer.tensors.push_back({t.name, {nullptr, type, t.shape}});
      total += tensor::bytes_of(type, t.shape.elements()).value();
    }
    ProgressBar progress("quantising");
    size_t done = 0;
    writer.make = [&](size_t i, checkpoint::GgufWriter::Sink sink) -> Status {
      const tensor::TensorView& view = writer.tensors[i].view;
      TRY_STATUS(make_tensor(contents.tensors[i], view.dtype, sink));
      progress.show(static_cast<int64_t>(done += view.bytes()), static_cast<int64_t>(total));
      return {};
    };
    TRY_STATUS(writer.write(path));
    return total;
  }

 private:
  Status make_tensor(const model::ExportTensor& t, DType type, checkpoint::GgufWriter::Sink sink) {
    const int64_t n = t.row_length(), rows = t.row_count();
    const size_t row_bytes = tensor::bytes_of(type, n).value();
    const int64_t chunk = std::max<int64_t>(1, kChunkBytes / (n * int64_t{sizeof(float)}));
    std::vector<std::byte> bytes(std::min(chunk, rows) * row_bytes);
    std::vector<std::vector<float>> values(pool_.threads(), std::vector<float>(n));
    for (int64_t first = 0; first < rows; first += chunk) {
      const int64_t count = std::min(chunk, rows - first);
      pool_.parallel_for(count, [&](int64_t i, int worker) {
        float* row = values[worker].data();
        t.read_row(first + i, row);
        tensor::quantize_row(type, row, bytes.data() + i * row_bytes, n,
                             importance_of_row(t, first + i));
      });
      TRY_STATUS(sink(std::span(bytes).first(count * row_bytes)));
    }
    return {};
  }

  std::span<const float> importance_of_row(const model::ExportTensor& t, int64_t row) const {
    const auto found = importance_.find(t.name);
    if (found == importance_.end()) return {};
    const int64_t n = t.row_length(), matrices = int64_t(found->second.size()) / n;
    if (matrices < 1 || matrices * n != int64_t(found->second.size()) ||
        t.row_count() % matrices != 0)
      return {};
    return std::span(found->second).subspan(row / (t.row_count() / matrices) * n, n);
  }

  const Plan& plan_;
  const ImportanceByTensor& importance_;
  ComputePool& pool_;
};

Result<Plan> make_plan(const QuantizeOptions& options, const model::ModelConfig& config,
                       const model::WeightPlan& weights,
                       const std::vector<model::ExportTensor>& tensors) {
  Plan plan;
  TRY(plan.recipe, find_recipe(options.type));
  plan.pure = options.pure;
  if (plan.pure) plan.recipe.head = plan.recipe.base;
  if (!options.head.empty()) {
    const tensor::DTypeInfo* head = tensor::find_dtype(options.head);
    if (!head || !head->is_weight)
      return bad_input("--head: expected a type of weights (Q8_0, Q6_K, BF16, …); found '{}'",
                       options.head);
    plan.recipe.head = head->dtype;
  }
  plan.tied = std::none_of(tensors.begin(), tensors.end(),
                           [](const auto& t) { return t.name == "output.weight"; });
  plan.is_small = weights.text_parameters < kSmallModel;
  plan.layers = config.text.num_layers;
  return plan;
}

Status check_names(const QuantizeOptions& options) {
  if (!options.output.ends_with(".gguf"))
    return bad_input("OUT: expected a name that ends in .gguf, found '{}'", options.output);
  if (options.output == options.input)
    return bad_input("OUT: expected another file than IN, found '{}'", options.output);
  return {};
}

Result<int> quantize(const QuantizeOptions& options) {
  TRY_STATUS(check_names(options));
  TRY_STATUS(find_recipe(options.type).map([](const Recipe&) {}));
  TRY(const auto files, checkpoint::open_model_files(options.input));
  TRY(const auto config, model::read_config(files));
  TRY(const auto weights, model::Model::plan(files));
  TRY(auto text, model::export_text(files));
  TRY(auto vision, model::export_vision(files));
  for (const std::string& name : text.left_out)
    print_err("godwit: {}: not part of the model, left out\n", in_quotes(name));
  TRY(const Plan plan, make_plan(options, config, weights, text.tensors));

  TRY(const Isa isa, isa_from_environment());
  ComputePool pool(options.threads > 0 ? options.threads : cpu_topology().performance_cores);
  const kernels::Context context{&pool, &kernels::kernel_table(isa)};
  TRY(const auto importance, read_importance(options, files, context, text.tensors));

  Quantizer quantizer(plan, importance, pool);
  TRY(const size_t bytes, quantizer.write(std::move(text), options.output));
  print_out("{}: {} {:.2f} GB, {:.2f} bits a weight\n", options.output, plan.recipe.name,
            bytes / 1e9,
            8.0 * double(bytes) / double(weights.parameters - weights.vision_parameters));
  if (vision.tensors.empty()) return kDone;
  const std::string path =
      options.output.substr(0, options.output.size() - 5) + ".mmproj.gguf";  // without ".gguf"
  TRY(const size_t vision_bytes, quantizer.write(std::move(vision), path));
  print_out("{}: {:.2f} GB\n", path, vision_bytes / 1e9);
  return kDone;
}

}  // namespace

int quantize_command(const QuantizeOptions& options) {
  const auto code = quantize(options);
  return code ? *code : report(code.error());
}

}  // namespace godwit::cli
