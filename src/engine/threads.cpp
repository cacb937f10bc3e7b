#include "engine/threads.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <vector>

#include "base/compute_pool.h"
#include "base/cpu.h"
#include "base/log.h"
#include "checkpoint/output_file.h"
#include "kernels/kernel_table.h"
#include "kernels/matmul.h"

namespace godwit::engine {
namespace {

// A matrix that no cache of one socket holds, as Q8_0.
constexpr int64_t kRows = 16384, kColumns = 4096;
constexpr int kRepeats = 6;
constexpr double kClearly = 1.05;

// What the finding holds for.
std::string machine() {
  const CpuTopology cpu = cpu_topology();
  return fmt::format("2 {} {} {} {} {}", cpu.model, cpu.logical_cpus, cpu.physical_cores,
                     cpu.performance_cores, isa_name(isa_from_environment().value_or(best_isa())));
}

std::string path_of(const std::string& folder) { return folder + "/threads"; }

// Two lines: the machine, and "prefill decode".
bool read_finding(const std::string& folder, ThreadCounts& counts) {
  std::ifstream file(path_of(folder));
  std::string line;
  int prefill = 0, decode = 0;
  if (!std::getline(file, line) || line != machine() || !(file >> prefill >> decode)) return false;
  const int most = cpu_topology().logical_cpus;
  if (prefill < 1 || decode < 1 || prefill > most || decode > most) return false;
  counts = {prefill, decode, prefill};
  return true;
}

class Probe {
 public:
  explicit Probe(Isa isa, int threads)
      : pool_(threads),
        context_{&pool_, &kernels::kernel_table(isa)},
        scratch_(kernels::matmul_scratch_bytes(kPrompt, kColumns)),
        x_(kPrompt * kColumns, 0.5f),
        y_(kPrompt * kRows) {
    const std::vector<std::byte> zeros(
        tensor::bytes_of(tensor::DType::kQ8_0, kRows * kColumns).value());
    weight_ = kernels::PackedMatrix::pack(
        context_, {zeros.data(), tensor::DType::kQ8_0, tensor::Shape{kRows, kColumns}});
  }

  // All performance cores, unless another count is clearly faster. In turns, and the best of each
  // counts: what else runs on the machine slows all alike.
  int fastest(int64_t rows, const std::set<int>& counts) {
    const kernels::Product product{.weight = &weight_, .out = {y_.data(), rows, kRows, kRows}};
    std::map<int, double> best;
    for (int repeat = 0; repeat < kRepeats; ++repeat) {
      for (const int threads : counts) {
        pool_.use(threads);
        const auto start = std::chrono::steady_clock::now();
        kernels::matmul(context_, {x_.data(), rows, kColumns}, {&product, 1}, scratch_);
        const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
        if (repeat == 0) best[threads] = 1e9;  // it warms up
        if (repeat > 0) best[threads] = std::min(best[threads], time.count());
      }
    }
    int chosen = cpu_topology().performance_cores;
    const double usual = best.at(chosen) / kClearly;
    for (const auto& [threads, time] : best) {
      if (time < usual && time < best.at(chosen)) chosen = threads;
    }
    return chosen;
  }
  static constexpr int64_t kPrompt = 64;

 private:
  ComputePool pool_;
  kernels::Context context_;
  std::vector<std::byte> scratch_;
  std::vector<float> x_, y_;
  kernels::PackedMatrix weight_;
};

bool is_given(const EngineOptions& options) {
  return options.threads > 0 || (options.threads_decode > 0 && options.threads_vision > 0);
}

}  // namespace

ThreadCounts thread_counts(const EngineOptions& options) {
  const int cores = cpu_topology().performance_cores;
  ThreadCounts counts{cores, cores, cores};
  if (!options.machine_folder.empty()) read_finding(options.machine_folder, counts);
  if (options.threads > 0) counts = {options.threads, options.threads, options.threads};
  if (options.threads_decode > 0) counts.decode = options.threads_decode;
  if (options.threads_vision > 0) counts.vision = options.threads_vision;
  return counts;
}

void probe_threads(const EngineOptions& options) {
  const std::string& folder = options.machine_folder;
  ThreadCounts counts;
  const auto isa = isa_from_environment();
  if (is_given(options) || folder.empty() || !isa || read_finding(folder, counts)) return;
  const CpuTopology cpu = cpu_topology();
  Probe probe(*isa, cpu.logical_cpus);
  // Memory: fewer cores may get in each other's way less. Products: slower cores and second threads
  // of a core may help or disturb.
  std::set<int> few = {cpu.performance_cores, cpu.physical_cores};
  for (int n = 1; n < cpu.physical_cores; n = std::max(n + 1, n * 5 / 4)) few.insert(n);
  counts.decode = probe.fastest(1, few);
  counts.prefill =
      probe.fastest(Probe::kPrompt, {cpu.performance_cores, cpu.physical_cores, cpu.logical_cpus});
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  auto file = checkpoint::OutputFile::create(path_of(folder));
  if (!file) return log_info("threads: {}", file.error().message);
  auto written = file->write(fmt::format("{}\n{} {}\n", machine(), counts.prefill, counts.decode));
  if (written) written = file->commit();
  if (!written) return log_info("threads: {}", written.error().message);
  log_info("threads: {} for prompts and {} for decoding, as a probe found (kept in {})",
           counts.prefill, counts.decode, path_of(folder));
}

bool machine_is_busy() {
  double load = 0;  // runnable threads, over the last minute
  return getloadavg(&load, 1) == 1 && load > 0.3 * cpu_topology().logical_cpus;
}

}  // namespace godwit::engine
