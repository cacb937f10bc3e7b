// godwit bench: prefill, decode and vision speed of a model, beside the machine's own limits
// measured in the same run.
//
// Prompts are random ids; a figure is the median over repeats. Products are those with weights
// (model/cost.h); bytes of a decoded token are the packed weights, the keys and values of its
// context and the recurrent states, each counted once.
//
// A context longer than kRealContext is filled fast: its first tokens are computed, then their
// pages are repeated (own memory, the same bytes), because decoding takes the same time whatever
// the pages hold.
#include "cli/bench.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <numeric>
#include <random>

#include "base/cpu.h"
#include "base/trace.h"
#include "checkpoint/json.h"
#include "checkpoint/output_file.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "kernels/machine_peak.h"
#include "model/cost.h"
#include "model/plain_memory.h"
#include "model/workspace.h"
#include "tensor/blocks.h"

namespace godwit::cli {
namespace {

using checkpoint::Json;
using Clock = std::chrono::steady_clock;

constexpr int64_t kChunk = 512;  // tokens of one forward() in prefill, as the engine has it
constexpr int64_t kRealContext = 2048;
constexpr int kPageTokens = 64;
constexpr int64_t kTracedTokens = 16;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct PrefillResult {
  int64_t n;
  double tok_s, gmac_s, share;  // share: of the limit, measured beside it
};
struct DecodeResult {
  int64_t n, context;
  int batch;
  double tok_s, gb_s, share;
};
struct VisionResult {
  int64_t size, patches;
  double seconds, gmac_s, share;
};
struct Results {
  std::string model;
  int threads = 0;
  std::string isa;
  kernels::MachinePeak machine;  // the best of all measurements
  double load_seconds = 0, stored_gb = 0;
  std::vector<PrefillResult> prefill;
  std::vector<DecodeResult> decode;
  std::vector<VisionResult> vision;
};

// ---- What the machine allows

enum class Part { kDecoder, kVision };

// The rate that the machine's peaks allow for products with the weights of one part: int8 for block
// formats, f32 for the others, weighed by their sizes.
double allowed_rate(const checkpoint::ModelFiles& files, Part part,
                    const kernels::MachinePeak& peak) {
  double seconds = 0, products = 0;
  const auto add = [&](const checkpoint::TensorSource& source, bool only_vision) {
    for (const std::string& name : source.names()) {
      const auto contains = [&](const char* what) { return name.find(what) != std::string::npos; };
      const bool is_vision = only_vision || contains("visual.");
      if (is_vision != (part == Part::kVision) || contains("embd") || contains("embed") ||
          contains("mtp.") || contains("nextn."))
        continue;
      const tensor::TensorView view = *source.find(name);
      if (view.shape.rank() < 2 || !tensor::dtype_info(view.dtype).is_weight) continue;
      const auto n = static_cast<double>(view.shape.elements());
      products += n;
      seconds += n / (tensor::is_block_format(view.dtype) ? peak.int8_gmac_s : peak.f32_gmac_s);
    }
  };
  add(files.is_gguf ? *files.gguf : *files.tensors, false);
  if (files.mmproj) add(*files.mmproj, true);
  return seconds > 0 ? products / seconds : 0;
}

// The better of two measurements: what disturbs one lowers it.
kernels::MachinePeak better(const kernels::MachinePeak& a, const kernels::MachinePeak& b) {
  return {std::max(a.read_gb_s, b.read_gb_s), std::max(a.int8_gmac_s, b.int8_gmac_s),
          std::max(a.f32_gmac_s, b.f32_gmac_s)};
}

// What the machine's limits allow for one kind of work: 10⁹ products or bytes a second.
using Limit = std::function<double(const kernels::MachinePeak&)>;
struct Limits {
  Limit prefill, decode, vision;
};

// ---- Measuring

class ModelBench {
 public:
  ModelBench(const model::Model& model, const kernels::Context& context,
             const BenchOptions& options, const Limits& machine_limits, size_t decoder_bytes,
             tensor::DType kv_type)
      : model_(model),
        options_(options),
        limits_(machine_limits),
        meter_(context),
        decoder_bytes_(decoder_bytes),
        geometry_(model.cache_geometry(kv_type, kPageTokens)),
        workspace_(model.make_workspace(limits())),
        logits_(size_t(most(options.batches)) * model.config().text.vocab_size) {}

  PrefillResult prefill(int64_t n) {
    model::PlainMemory memory(geometry_, n);
    run_prompt(memory, std::min(n, kChunk));  // warm-up
    const model::TextConfig& c = model_.config().text;
    const double products = static_cast<double>(model::products_per_token(c)) * double(n) +
                            static_cast<double>(model::products_per_logit_row(c));
    const auto [seconds, share] =
        measure(products, limits_.prefill, [&] { run_prompt(memory, n); });
    return {n, double(n) / seconds, products / seconds / 1e9, share};
  }

  DecodeResult decode(int64_t context, int batch) {
    std::vector<model::PlainMemory> memories;
    for (int i = 0; i < batch; ++i) {
      memories.emplace_back(geometry_, context + options_.tokens);
      fill(memories.back(), context);
    }
    decode_tokens(memories, context, std::min<int64_t>(4, options_.tokens));  // warm-up
    const auto tokens = static_cast<double>(options_.tokens);
    const double mean_context = static_cast<double>(context) + (tokens + 1) / 2.0;
    const double bytes = tokens * bytes_per_step(mean_context, batch);
    const auto [seconds, share] =
        measure(bytes, limits_.decode, [&] { decode_tokens(memories, context, options_.tokens); });
    return {options_.tokens,       context, batch, tokens * batch / seconds,
            bytes / seconds / 1e9, share};
  }

  VisionResult vision(int64_t size) {
    const model::VisionConfig& c = *model_.config().vision;
    const auto side = static_cast<int32_t>(size / c.patch_size);
    const int64_t patches = int64_t{side} * side;
    const int64_t rows = patches / (c.merge_size * c.merge_size);
    const int64_t H = model_.config().text.hidden_size;
    std::vector<float> pixels(patches * c.patch_values()), merged(rows * H);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (float& pixel : pixels) pixel = uniform(random_);
    const model::VisionGrid grid{1, side, side};
    const auto encode = [&] {
      model_.encode_vision({pixels.data(), patches, c.patch_values()}, {&grid, 1}, *workspace_,
                           {merged.data(), rows, H, H});
    };
    encode();  // warm-up
    const auto products = static_cast<double>(model::products_per_picture(c, patches));
    // Attention is f32 whatever the weights are.
    const auto attention = static_cast<double>(model::attention_products_per_picture(c, patches));
    const auto limit = [&](const kernels::MachinePeak& peak) {
      return products /
             ((products - attention) / limits_.vision(peak) + attention / peak.f32_gmac_s);
    };
    const auto [seconds, share] = measure(products, limit, encode);
    return {size, patches, seconds, products / seconds / 1e9, share};
  }

  const kernels::MachinePeak& machine() const { return best_; }

  void trace(int64_t prompt, Trace& prefill, Trace& decode) {
    model::PlainMemory memory(geometry_, prompt + kTracedTokens);
    run_prompt(memory, prompt);
    {
      const Trace::Recording recording(prefill);
      run_prompt(memory, prompt);
    }
    std::vector<model::PlainMemory> memories;
    memories.push_back(std::move(memory));
    while (int64_t(memories.size()) < (options_.batches.empty() ? 1 : options_.batches[0])) {
      memories.emplace_back(geometry_, prompt + kTracedTokens);
      fill(memories.back(), prompt);
    }
    const Trace::Recording recording(decode);
    decode_tokens(memories, prompt, kTracedTokens);
  }

 private:
  struct Measured {
    double seconds, share;  // medians
  };
  // Times `run`, which does so much work (bytes or products); each run lies between two
  // measurements of the limit that its rate is held against.
  template <class Run>
  Measured measure(double work, const Limit& limit, const Run& run) {
    std::vector<double> times, shares;
    double before = limit(peak_now());
    for (int repeat = 0; repeat < options_.repeats; ++repeat) {
      const auto start = Clock::now();
      run();
      times.push_back(seconds_since(start));
      const double after = limit(peak_now());
      shares.push_back(work / times.back() / 1e9 / ((before + after) / 2));
      before = after;
    }
    return {median(times), median(shares)};
  }

  kernels::MachinePeak peak_now() {
    const kernels::MachinePeak now = meter_.measure();
    best_ = better(best_, now);
    return now;
  }

  static int64_t most(const std::vector<int64_t>& values) {
    return values.empty() ? 1 : *std::max_element(values.begin(), values.end());
  }

  model::WorkspaceLimits limits() const {
    const int64_t batch = most(options_.batches);
    model::WorkspaceLimits limits{
        .max_tokens = std::max(kChunk, batch),
        .max_logit_rows = batch,
        .max_context = std::max(most(options_.prompts) + kTracedTokens,
                                most(options_.contexts) + options_.tokens) +
                       kPageTokens};
    if (options_.image_size > 0) {
      const int64_t side = options_.image_size / model_.config().vision->patch_size;
      limits.max_patches = limits.max_segment = side * side;
    }
    return limits;
  }

  int32_t random_id() {
    return static_cast<int32_t>(random_() % static_cast<uint64_t>(model_.config().text.vocab_size));
  }

  // n random tokens at positions 0 … n − 1, in chunks; logits of the last one.
  void run_prompt(const model::PlainMemory& memory, int64_t n) {
    std::vector<int32_t> ids(n);
    for (int32_t& id : ids) id = random_id();
    for (int64_t first = 0; first < n; first += kChunk) {
      const int64_t count = std::min(kChunk, n - first);
      auto view = memory.view();
      view.cached = first;
      run_ids(model_, geometry_, view, std::span(ids).subspan(first, count), first + count == n,
              *workspace_, logits_.data());
    }
  }

  // The pages of `context` tokens (the file's head says how long ones are filled).
  void fill(const model::PlainMemory& memory, int64_t context) {
    if (context == 0) return;
    const int64_t real = std::min(context, kRealContext);
    run_prompt(memory, real);
    const auto pages = memory.view().pages;
    const size_t computed = real / kPageTokens;
    for (size_t p = computed; real < context && p < pages.size(); ++p)
      std::memcpy(pages[p], pages[p % computed], geometry_.page_bytes());
  }

  // `count` tokens of every sequence, one a step, from `context` on.
  void decode_tokens(const std::vector<model::PlainMemory>& memories, int64_t context,
                     int64_t count) {
    const size_t batch = memories.size();
    const int64_t vocabulary = model_.config().text.vocab_size;
    std::vector<int32_t> ids(batch), rows(batch);
    std::vector<model::Position> positions(batch);
    std::vector<model::BatchSequence> sequences(batch);
    for (int64_t step = 0; step < count; ++step) {
      const auto p = static_cast<int32_t>(context + step);
      for (size_t i = 0; i < batch; ++i) {
        ids[i] = random_id();
        rows[i] = static_cast<int32_t>(i);
        positions[i] = {p, p, p};
        sequences[i] = {static_cast<int64_t>(i), 1, memories[i].view()};
        sequences[i].memory.cached = p;
      }
      model_.forward({.ids = ids,
                      .positions = positions,
                      .sequences = sequences,
                      .geometry = &geometry_,
                      .logit_rows = rows},
                     *workspace_,
                     {.logits = {logits_.data(), int64_t(batch), vocabulary, vocabulary}});
    }
  }

  double bytes_per_step(double context, int batch) const {
    const model::TextConfig& c = model_.config().text;
    auto weights = static_cast<double>(decoder_bytes_);
    if (c.experts > 0) {  // a token's experts; a batch may share some, which is not counted
      const auto experts = static_cast<double>(model_.weights().expert_bytes);
      const double chosen = std::min(c.experts, c.experts_per_token * batch);
      weights += experts * (chosen / c.experts - 1);
    }
    const double kv = context * double(geometry_.page_bytes()) / kPageTokens;
    const double state = double(geometry_.recurrent_layers) *
                         double(geometry_.state_floats() + geometry_.conv_floats()) * sizeof(float);
    return weights + batch * (kv + state);
  }

  const model::Model& model_;
  const BenchOptions& options_;
  const Limits& limits_;
  const kernels::MachinePeakMeter meter_;
  kernels::MachinePeak best_;
  const size_t decoder_bytes_;
  const cache::CacheGeometry geometry_;
  std::unique_ptr<model::Workspace> workspace_;
  std::vector<float> logits_;
  std::mt19937_64 random_{35};
};

// ---- Printing

void print_json(const Results& r) {
  Json prefill = Json::array(), decode = Json::array(), vision = Json::array();
  for (const auto& p : r.prefill)
    prefill.items().push_back(Json::object({{"n", Json::integer(p.n)},
                                            {"tok_s", json_number(p.tok_s)},
                                            {"gmac_s", json_number(p.gmac_s)},
                                            {"share", json_number(p.share)}}));
  for (const auto& d : r.decode)
    decode.items().push_back(Json::object({{"n", Json::integer(d.n)},
                                           {"context", Json::integer(d.context)},
                                           {"batch", Json::integer(d.batch)},
                                           {"tok_s", json_number(d.tok_s)},
                                           {"gb_s", json_number(d.gb_s)},
                                           {"share", json_number(d.share)}}));
  for (const auto& v : r.vision)
    vision.items().push_back(Json::object({{"size", Json::integer(v.size)},
                                           {"patches", Json::integer(v.patches)},
                                           {"seconds", json_number(v.seconds)},
                                           {"gmac_s", json_number(v.gmac_s)},
                                           {"share", json_number(v.share)}}));
  Json json =
      Json::object({{"model", Json::string(r.model)},
                    {"threads", Json::integer(r.threads)},
                    {"isa", Json::string(r.isa)},
                    {"machine", Json::object({{"read_gb_s", json_number(r.machine.read_gb_s)},
                                              {"int8_gmac_s", json_number(r.machine.int8_gmac_s)},
                                              {"f32_gmac_s", json_number(r.machine.f32_gmac_s)}})},
                    {"prefill", std::move(prefill)},
                    {"decode", std::move(decode)},
                    {"load", Json::object({{"seconds", json_number(r.load_seconds)},
                                           {"stored_gb", json_number(r.stored_gb)}})}});
  if (!r.vision.empty()) json.set("vision", std::move(vision));
  print_out("{}\n", json.dump());
}

void print_text(const Results& r) {
  print_out("model    {}\n", r.model);
  print_out("machine  {}, {} threads: reads {:.1f} GB/s, {:.0f} int8 GMAC/s, {:.0f} f32 GMAC/s\n",
            r.isa, r.threads, r.machine.read_gb_s, r.machine.int8_gmac_s, r.machine.f32_gmac_s);
  print_out("load     {:.2f} s, {:.2f} GB\n", r.load_seconds, r.stored_gb);
  if (!r.prefill.empty()) print_out("\nprefill   tokens              tok/s   GMAC/s   of limit\n");
  for (const auto& p : r.prefill)
    print_out("          {:>6} {:>18.1f} {:>8.1f} {:>6.1f} %\n", p.n, p.tok_s, p.gmac_s,
              100 * p.share);
  if (!r.decode.empty()) print_out("\ndecode    tokens context batch tok/s     GB/s   of limit\n");
  for (const auto& d : r.decode)
    print_out("          {:>6} {:>7} {:>5} {:>5.1f} {:>8.2f} {:>6.1f} %\n", d.n, d.context, d.batch,
              d.tok_s, d.gb_s, 100 * d.share);
  if (!r.vision.empty()) print_out("\nvision    picture   patches seconds  GMAC/s   of limit\n");
  for (const auto& v : r.vision)
    print_out("          {:>4}×{:<4} {:>7} {:>8.3f} {:>7.1f} {:>6.1f} %\n", v.size, v.size,
              v.patches, v.seconds, v.gmac_s, 100 * v.share);
}

// On standard error, so that --json stays JSON.
void print_operations(const char* what, const Trace& trace) {
  const auto rows = trace.table();
  double all = 0;
  for (const auto& row : rows) all += row.seconds;
  print_err("\n{:<24} calls        ms  share  waiting  GMAC/s    GB/s\n", what);
  for (const auto& row : rows) {
    const double s = row.seconds > 0 ? row.seconds : 1e-9;
    print_err("{:<24} {:>5} {:>9.2f} {:>5.1f} % {:>6.1f} %", row.name, row.calls, 1e3 * s,
              100 * s / all, 100 * row.waited / s);
    if (row.products) print_err(" {:>7.1f} {:>7.2f}", row.products / s / 1e9, row.bytes / s / 1e9);
    print_err("\n");
  }
}

Status write_trace(const std::string& path, const Trace& prefill, const Trace& decode) {
  print_operations("prefill", prefill);
  print_operations("decode", decode);
  TRY(auto file, checkpoint::OutputFile::create(path));
  Trace both = prefill;
  both.append(decode);
  TRY_STATUS(file.write(both.chrome_json()));
  return file.commit();
}

// ---- The command

Status check_options(const BenchOptions& options, const model::ModelConfig& config) {
  const int64_t limit = config.text.max_context;
  const auto in_range = [](const char* flag, const std::vector<int64_t>& values, int64_t low,
                           int64_t high) -> Status {
    for (const int64_t value : values)
      if (value < low || value > high)
        return bad_input("{}: expected {} … {}, found {}", flag, low, high, value);
    return {};
  };
  TRY_STATUS(in_range("-p", options.prompts, 1, limit));
  TRY_STATUS(in_range("-d", options.contexts, 0, limit - options.tokens));
  TRY_STATUS(in_range("-b", options.batches, 1, 64));
  if (options.image_size == 0) return {};
  if (!config.vision) return bad_input("--image-size: the model has no vision tower");
  const int64_t unit = int64_t{config.vision->patch_size} * config.vision->merge_size;
  if (options.image_size % unit || options.image_size > 4096)
    return bad_input("--image-size: expected a multiple of {} up to 4096, found {}", unit,
                     options.image_size);
  return {};
}

Results measure(const BenchOptions& options, ModelBench& bench, Results results) {
  ProgressBar progress("measuring");
  const auto decodes = static_cast<int64_t>(options.contexts.size() * options.batches.size());
  const auto total = static_cast<int64_t>(options.prompts.size()) + decodes;
  int64_t done = 0;
  for (const int64_t n : options.prompts) {
    progress.show(done++, total);
    results.prefill.push_back(bench.prefill(n));
  }
  for (const int64_t context : options.contexts) {
    for (const int64_t batch : options.batches) {
      progress.show(done++, total);
      if (options.tokens > 0)
        results.decode.push_back(bench.decode(context, static_cast<int>(batch)));
    }
  }
  if (options.image_size > 0) results.vision.push_back(bench.vision(options.image_size));
  return results;
}

Result<int> bench(const BenchOptions& options) {
  std::string path = options.model.model;
  if (path.empty()) {
    TRY(path, demonstration_model());
  }
  if (options.turns > 0) return bench_turns(options, path);
  if (options.drafts > 0) return bench_draft(options, path);
  if (options.undo) return bench_undo(options, path);
  TRY(const auto files, checkpoint::open_model_files(path, options.model.mmproj));
  TRY(const auto config, model::read_config(files));
  TRY_STATUS(check_options(options, config));
  TRY(const Isa isa, isa_from_environment());
  ComputePool pool(options.model.threads > 0 ? options.model.threads
                                             : cpu_topology().performance_cores);
  const kernels::Context context{&pool, &kernels::kernel_table(isa)};

  TRY(const auto decoder, model::Model::plan(files, {.vision = false, .drafting = false}));
  const auto start = Clock::now();
  TRY(const auto model,
      model::Model::load(
          files, context,
          {.vision = options.image_size > 0,
           .drafting = false,
           .packed_folder = packed_folder(options.model),
           .packed_limit = static_cast<size_t>(options.model.packed_cache_gb) << 30}));
  Results results;
  results.load_seconds = seconds_since(start);
  while (model->settle_next()) continue;  // as in an engine that had a moment without work
  results.stored_gb = static_cast<double>(model->weights().stored_bytes) / 1e9;
  results.model = model->config().name;
  results.threads = pool.threads();
  results.isa = isa_name(isa);
  const Limits limits{
      .prefill = [&](const auto& peak) { return allowed_rate(files, Part::kDecoder, peak); },
      .decode = [](const auto& peak) { return peak.read_gb_s; },
      .vision = [&](const auto& peak) { return allowed_rate(files, Part::kVision, peak); }};
  ModelBench bench(*model, context, options, limits, decoder.packed_bytes,
                   kv_type_of(options.model.kv_type));
  results = measure(options, bench, std::move(results));
  results.machine = bench.machine();
  options.json ? print_json(results) : print_text(results);
  if (options.trace.empty()) return kDone;
  Trace prefill, decode;
  bench.trace(options.prompts.empty() ? kChunk : options.prompts[0], prefill, decode);
  TRY_STATUS(write_trace(options.trace, prefill, decode));
  return kDone;
}

}  // namespace

void run_ids(const model::Model& model, const cache::CacheGeometry& geometry,
             const cache::SequenceView& memory, std::span<const int32_t> ids, int64_t logit_rows,
             model::Workspace& workspace, float* logits) {
  const auto n = static_cast<int64_t>(ids.size());
  std::vector<model::Position> positions(n);
  for (int64_t i = 0; i < n; ++i) {
    const auto p = static_cast<int32_t>(memory.cached + i);
    positions[i] = {p, p, p};
  }
  std::vector<int32_t> rows(logit_rows);
  std::iota(rows.begin(), rows.end(), static_cast<int32_t>(n - logit_rows));
  const model::BatchSequence sequence{0, n, memory};
  const int64_t vocabulary = model.config().text.vocab_size;
  model.forward({.ids = ids,
                 .positions = positions,
                 .sequences = {&sequence, 1},
                 .geometry = &geometry,
                 .logit_rows = rows},
                workspace, {.logits = {logits, logit_rows, vocabulary, vocabulary}});
}

std::vector<int32_t> made_up_ids(int64_t first_position, int64_t count, int64_t vocabulary) {
  std::vector<int32_t> ids(count);
  for (int64_t i = 0; i < count; ++i)
    ids[i] = static_cast<int32_t>((first_position + i) * 7919 % vocabulary);
  return ids;
}

tensor::DType kv_type_of(const std::string& name) {
  return name == "q8"     ? tensor::DType::kQ8_0
         : name == "bf16" ? tensor::DType::kBF16
         : name == "f32"  ? tensor::DType::kF32
                          : tensor::DType::kF16;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

checkpoint::Json json_number(double value) {
  return Json::number_literal(fmt::format("{:.3f}", value));
}

int bench_command(const BenchOptions& options) {
  const auto code = bench(options);
  return code ? *code : report(code.error());
}

}  // namespace godwit::cli
