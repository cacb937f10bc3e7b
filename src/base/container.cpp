#include "base/container.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <vector>

namespace godwit {
namespace {

template <class T>
std::optional<T> number_in(const std::string& path) {
  std::ifstream file(path);
  T value{};
  if (file >> value) return value;  // "max" fails to parse: no limit
  return std::nullopt;
}

// memory.stat: "inactive_file 123" on a line.
size_t statistic(const std::string& path, const std::string& wanted) {
  std::ifstream file(path);
  size_t value = 0;
  for (std::string key; file >> key >> value;)
    if (key == wanted) return value;
  return 0;
}

struct Names {
  const char *limit, *used, *reclaimable;
};
constexpr Names kV2 = {"/memory.max", "/memory.current", "inactive_file"};
constexpr Names kV1 = {"/memory.limit_in_bytes", "/memory.usage_in_bytes", "total_inactive_file"};
constexpr size_t kNoLimit = size_t{1} << 60;  // v1 writes a huge number

void add_memory(const std::string& folder, const Names& names, ContainerLimits& limits) {
  const auto limit = number_in<size_t>(folder + names.limit);
  if (!limit || *limit >= kNoLimit) return;
  size_t used = number_in<size_t>(folder + names.used).value_or(0);
  used -= std::min(used, statistic(folder + "/memory.stat", names.reclaimable));
  const auto left = [](size_t most, size_t now) { return most > now ? most - now : 0; };
  if (limits.memory == 0 || left(*limit, used) < left(limits.memory, limits.memory_used)) {
    limits.memory = *limit;
    limits.memory_used = used;
  }
}

void add_cpus(double quota, double period, ContainerLimits& limits) {
  if (quota <= 0 || period <= 0) return;
  limits.cpus = limits.cpus > 0 ? std::min(limits.cpus, quota / period) : quota / period;
}

void add_cpus_v2(const std::string& folder, ContainerLimits& limits) {
  std::ifstream file(folder + "/cpu.max");
  double quota = 0, period = 0;
  if (file >> quota >> period) add_cpus(quota, period, limits);
}

void add_cpus_v1(const std::string& folder, ContainerLimits& limits) {
  add_cpus(number_in<double>(folder + "/cpu.cfs_quota_us").value_or(0),
           number_in<double>(folder + "/cpu.cfs_period_us").value_or(0), limits);
}

bool lists(const std::string& controllers, const std::string& wanted) {
  return ("," + controllers + ",").find("," + wanted + ",") != std::string::npos;
}

}  // namespace

ContainerLimits container_limits(const std::string& root, const std::string& membership) {
  ContainerLimits limits;
  std::ifstream file(membership);
  for (std::string line; std::getline(file, line);) {  // "4:memory:/a/b", "0::/a/b"
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    // Every group up to the root; those that a container cannot see are not there.
    for (std::string path = line.substr(second + 1);;) {
      if (path == "/") path.clear();
      if (controllers.empty()) {
        for (const char* mount : {"", "/unified"}) {
          add_memory(root + mount + path, kV2, limits);
          add_cpus_v2(root + mount + path, limits);
        }
      }
      if (lists(controllers, "memory")) add_memory(root + "/memory" + path, kV1, limits);
      if (lists(controllers, "cpu")) add_cpus_v1(root + "/cpu" + path, limits);
      if (path.empty()) break;
      path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
  }
  return limits;
}

size_t available_memory() {
  size_t available = 0;
  std::ifstream info("/proc/meminfo");
  for (std::string key; info >> key;) {
    if (key != "MemAvailable:") continue;
    info >> available;
    available <<= 10;
    break;
  }
  const ContainerLimits limits = container_limits();
  if (limits.memory > 0) {
    available = std::min(
        available, limits.memory > limits.memory_used ? limits.memory - limits.memory_used : 0);
  }
  return available;
}

}  // namespace godwit
