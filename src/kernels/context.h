// Context: what every operation needs: the compute pool and the kernels of the chosen instruction
// set.
#pragma once

#include "base/compute_pool.h"
#include "base/cpu.h"

namespace godwit::kernels {

struct KernelTable;  // one function pointer per row of kernels.def (kernel_table.h)

const KernelTable& kernel_table(Isa isa);  // CHECKs that this machine can run it

struct Context {
  ComputePool* pool = nullptr;
  const KernelTable* table = nullptr;
};

}  // namespace godwit::kernels
