#include "base/cpu.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/container.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace godwit {
namespace {

constexpr std::array kIsas = {std::pair{Isa::kScalar, std::string_view("scalar")},
                              std::pair{Isa::kAvx2, std::string_view("avx2")},
                              std::pair{Isa::kAvxVnni, std::string_view("avx-vnni")},
                              std::pair{Isa::kAvx512, std::string_view("avx512")},
                              std::pair{Isa::kAvx512Vnni, std::string_view("avx512-vnni")},
                              std::pair{Isa::kNeon, std::string_view("neon")},
                              std::pair{Isa::kNeonDot, std::string_view("neon-dot")}};

#if defined(__x86_64__)
// The two bits that clang 14's __builtin_cpu_supports has no name for. That the system keeps the
// wide registers is told by "avx2".
bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) && (c >> 29 & 1);
}
bool has_avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}
#endif

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return {};
}

}  // namespace

std::string_view isa_name(Isa isa) {
  for (const auto& [value, name] : kIsas)
    if (value == isa) return name;
  return "unknown";
}

Result<Isa> parse_isa(std::string_view wanted) {
  std::string known;
  for (const auto& [value, name] : kIsas) {
    if (name == wanted) return value;
    known += known.empty() ? "" : ", ";
    known += name;
  }
  return bad_input("instruction set: expected one of {}; found '{}'", known, wanted);
}

bool cpu_has(Isa isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq");
  switch (isa) {
    case Isa::kScalar:
      return true;
    case Isa::kAvx2:
      return avx2;
    case Isa::kAvxVnni:
      return avx2 && has_avx_vnni();
    case Isa::kAvx512:
      return avx512;
    case Isa::kAvx512Vnni:
      return avx512 && __builtin_cpu_supports("avx512vnni");
    default:
      return false;
  }
#elif defined(__aarch64__)
  switch (isa) {
    case Isa::kScalar:
    case Isa::kNeon:
      return true;
    case Isa::kNeonDot:
      return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
    default:
      return false;
  }
#else
  return isa == Isa::kScalar;
#endif
}

bool streams_to_second_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_is("intel");
#else
  return false;
#endif
}

Isa best_isa() {
  for (auto isa = kIsas.rbegin(); isa != kIsas.rend(); ++isa)
    if (cpu_has(isa->first)) return isa->first;
  return Isa::kScalar;
}

Result<Isa> isa_from_environment() {
  const char* wanted = std::getenv("GODWIT_ISA");
  if (!wanted || !*wanted) return best_isa();
  auto isa = parse_isa(wanted);
  if (!isa) return in_context("GODWIT_ISA", isa.error());
  if (!cpu_has(*isa))
    return bad_input("GODWIT_ISA: this processor does not have '{}'; its best is '{}'", wanted,
                     isa_name(best_isa()));
  return *isa;
}

CpuTopology cpu_topology() {
  CpuTopology topology;
  topology.model = cpu_model();
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
    topology.logical_cpus = topology.physical_cores = topology.performance_cores =
        std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
    return topology;
  }
  std::map<std::string, long> core_speed;  // siblings list → its capacity or highest frequency
  int logical = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    ++logical;
    const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu);
    std::string siblings = first_line(folder + "/topology/thread_siblings_list");
    if (siblings.empty()) siblings = std::to_string(cpu);
    std::string speed = first_line(folder + "/cpu_capacity");
    if (speed.empty()) speed = first_line(folder + "/cpufreq/cpuinfo_max_freq");
    core_speed[siblings] = std::max(core_speed[siblings], std::atol(speed.c_str()));
  }
  long fastest = 0;
  for (const auto& [siblings, speed] : core_speed) fastest = std::max(fastest, speed);
  int fast_cores = 0;  // within 15 % of the fastest: turbo bins differ a little between equal cores
  for (const auto& [siblings, speed] : core_speed) fast_cores += speed * 100 >= fastest * 85;
  topology.logical_cpus = std::max(1, logical);
  topology.physical_cores = std::max<int>(1, core_speed.size());
  topology.performance_cores = std::max(1, fast_cores);
  if (const double quota = container_limits().cpus; quota > 0) {
    const int whole = std::max(1, static_cast<int>(std::floor(quota + 0.01)));
    topology.logical_cpus = std::min(topology.logical_cpus, whole);
    topology.physical_cores = std::min(topology.physical_cores, whole);
    topology.performance_cores = std::min(topology.performance_cores, whole);
  }
  return topology;
}

}  // namespace godwit
