// What this process may use of the machine: memory that is free, and the limits of its container
// (cgroup v2 or v1, its own and all above it).
#pragma once

#include <cstddef>
#include <string>

namespace godwit {

struct ContainerLimits {
  double cpus = 0;                     // 0: no limit
  size_t memory = 0, memory_used = 0;  // of the level that leaves least; memory 0: no limit.
                                       // Cached files that would make room do not count as used
};
// The paths are for tests.
ContainerLimits container_limits(const std::string& root = "/sys/fs/cgroup",
                                 const std::string& membership = "/proc/self/cgroup");

// Bytes that may be had without swapping; 0 if unknown.
size_t available_memory();

}  // namespace godwit
