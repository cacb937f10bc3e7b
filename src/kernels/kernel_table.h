// KernelTable: the kernels of one instruction set, chosen once at start (context.h has
// `kernel_table(isa)`).
#pragma once

#include <span>
#include <string_view>

#include "base/cpu.h"
#include "kernels/kernel_types.h"

namespace godwit::kernels {

struct KernelTable {
  Isa isa = Isa::kScalar;
#define KERNEL(result, name, parameters) name##_fn* name = nullptr;
#include "kernels/kernels.def"
};

// The rows of kernels.def that this architecture was built with, for tests and `godwit info`.
struct KernelVersion {
  std::string_view kernel;
  Isa isa;
};
std::span<const KernelVersion> kernel_versions();

}  // namespace godwit::kernels
