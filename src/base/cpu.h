// What this processor can do, and which instruction set the kernels use.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace godwit {

// In rising order of preference on each architecture. One kernel table exists for each
// (kernels/kernels.def).
enum class Isa { kScalar, kAvx2, kAvxVnni, kAvx512, kAvx512Vnni, kNeon, kNeonDot };

std::string_view isa_name(
    Isa isa);  // "scalar", "avx2", "avx-vnni", "avx512", "avx512-vnni", "neon", "neon-dot"
Result<Isa> parse_isa(std::string_view name);  // the names above; the error lists them
bool cpu_has(Isa isa);                         // this machine can run it
Isa best_isa();                                // the widest that this machine can run
// A stream from memory is prefetched into the second-level cache rather than the first. On Intel's
// processors: the first level has 16 lines on their way at most, too few for memory that is far.
bool streams_to_second_level();
// GODWIT_ISA if set (an error if unknown or not supported here), else best_isa().
Result<Isa> isa_from_environment();

struct CpuTopology {
  std::string model;       // "AMD EPYC …"; empty if unknown
  int logical_cpus = 1;    // that this process may run on (affinity and container quota respected)
  int physical_cores = 1;  // of those
  int performance_cores = 1;  // physical cores of the fastest kind
};
CpuTopology cpu_topology();

}  // namespace godwit
