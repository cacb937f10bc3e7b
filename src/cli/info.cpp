// godwit info: the processor, the kernels in use, the model, and what memory a context length
// takes. Loads no weights, but refuses what an engine would.
#include "base/cpu.h"
#include "checkpoint/json.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "engine/conventions.h"
#include "model/model.h"
#include "server/api.h"

namespace godwit::cli {
namespace {

using checkpoint::Json;

std::string isa_list() {
  std::string list;
  for (Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvxVnni, Isa::kAvx512, Isa::kAvx512Vnni,
                  Isa::kNeon, Isa::kNeonDot})
    if (cpu_has(isa)) list += fmt::format("{}{}", list.empty() ? "" : ", ", isa_name(isa));
  return list;
}

// The plan of `run`, which keeps nothing for a next question; and what was noted of the files.
struct Details {
  size_t one_answer = 0;
  std::string note;
};

void print_json(const engine::ModelInfo& info, const CpuTopology& cpu, const Details& details) {
  const Json json = Json::object(
      {{"cpu", Json::object({{"model", Json::string(cpu.model)},
                             {"logical", Json::integer(cpu.logical_cpus)},
                             {"physical", Json::integer(cpu.physical_cores)},
                             {"performance", Json::integer(cpu.performance_cores)}})},
       {"isa", Json::string(info.isa)},
       {"threads", Json::integer(info.threads)},
       {"threads_decode", Json::integer(info.threads_decode)},
       {"threads_vision", Json::integer(info.threads_vision)},
       {"model", Json::object({{"name", Json::string(info.name)},
                               {"path", Json::string(info.path)},
                               {"parameters", Json::integer(info.parameters)},
                               {"text_parameters", Json::integer(info.text_parameters)},
                               {"vision_parameters", Json::integer(info.vision_parameters)},
                               {"mtp_parameters", Json::integer(info.mtp_parameters)},
                               {"layers", Json::integer(info.layers)},
                               {"attention_layers", Json::integer(info.attention_layers)},
                               {"hidden", Json::integer(info.hidden)},
                               {"experts", Json::integer(info.experts)},
                               {"context", Json::integer(info.context)},
                               {"vocabulary", Json::integer(info.vocabulary)},
                               {"vision", Json::boolean(info.vision)},
                               {"drafting", Json::boolean(info.drafting)},
                               {"weights", Json::string(info.weight_types)},
                               {"template", Json::string(info.template_name)},
                               {"note", Json::string(details.note)}})},
       {"memory", server::memory_json(info.memory)},
       {"one_answer_bytes", Json::integer(static_cast<int64_t>(details.one_answer))}});
  print_out("{}\n", json.dump());
}

std::string million(int64_t n) {
  return n >= 1'000'000'000 ? fmt::format("{:.2f} G", n / 1e9) : fmt::format("{:.1f} M", n / 1e6);
}

void print_text(const engine::ModelInfo& info, const CpuTopology& cpu, const Details& details) {
  print_out("processor   {}\n", cpu.model.empty() ? "unknown" : cpu.model);
  print_out("            {} cores ({} of the fastest kind), {} logical\n", cpu.physical_cores,
            cpu.performance_cores, cpu.logical_cpus);
  print_out("kernels     {} (this processor has {})\n", info.isa, isa_list());
  print_out("threads     {} for prompts, {} for decoding, {} for pictures\n", info.threads,
            info.threads_decode, info.threads_vision);
  print_out("model       {} ({})\n", info.name, info.path);
  print_out("            {} parameters: text {}, vision {}, drafting head {}\n",
            million(info.parameters), million(info.text_parameters),
            million(info.vision_parameters), million(info.mtp_parameters));
  print_out("            {} layers ({} of attention), hidden {}{}, weights {}\n", info.layers,
            info.attention_layers, info.hidden,
            info.experts ? fmt::format(", {} experts", info.experts) : "", info.weight_types);
  print_out("            template {}{}\n", info.template_name,
            info.template_note.empty() ? "" : fmt::format(" ({})", info.template_note));
  if (!details.note.empty()) print_out("            {}\n", details.note);
  const auto& m = info.memory;
  const auto row = [](const char* what, size_t bytes) {
    print_out("            {:<22}{:>10.1f} MB\n", what, bytes / 1e6);
  };
  print_out("memory      for a conversation of {} tokens\n", info.context);
  row("weights", m.weights);
  row("attention cache", m.kv_pages);
  row("recurrent state", m.recurrent);
  if (m.snapshots > 0) row("snapshots of it", m.snapshots);
  row("working space", m.workspace);
  row("tokenizer", m.tokenizer);
  row("program", m.other);
  row("together", m.total());
  row("of run, one answer", details.one_answer);
  if (m.on_disk > 0) row("experts left on disk", m.on_disk);
  if (m.limit > m.total()) row("caches may make it", m.limit);
}

// What an engine would refuse only once it reads them: the tokenizer, and the files beside it.
Status check_text(const checkpoint::ModelFiles& files) {
  TRY(const auto config, model::read_config(files));
  TRY(const auto tokenizer, engine::open_tokenizer(files));
  TRY_STATUS(engine::read_conventions(files, config, *tokenizer));
  return {};
}

Result<Details> find_details(engine::EngineOptions options) {
  TRY(const auto files, checkpoint::open_model_files(options.model, options.mmproj));
  TRY_STATUS(check_text(files));
  TRY(const auto weights, model::Model::plan(files));
  options.prefix_cache = false;
  TRY(const auto plan, engine::Engine::plan(options));
  return Details{plan.memory.total(), weights.note};
}

Result<int> info(const InfoOptions& options) {
  std::string model = options.model.model;
  if (model.empty()) {
    TRY(model, demonstration_model());
  }
  const auto settings = engine_options(options.model, model);
  TRY(const auto plan, engine::Engine::plan(settings));
  TRY(const auto details, find_details(settings));
  const CpuTopology cpu = cpu_topology();
  options.json ? print_json(plan, cpu, details) : print_text(plan, cpu, details);
  return kDone;
}

}  // namespace

int info_command(const InfoOptions& options) {
  const auto code = info(options);
  return code ? *code : report(code.error());
}

}  // namespace godwit::cli
