// The machine's own limits, measured with the kernels in use: what speeds are held against.
#pragma once

#include "kernels/context.h"

namespace godwit::kernels {

struct MachinePeak {
  double read_gb_s = 0;    // reading 256 MiB once, all threads
  double int8_gmac_s = 0;  // 10⁹ products of bytes a second, operands in registers
  double f32_gmac_s = 0;
};

// Takes about half a second. Other work on the machine lowers the figures: measure in the same run
// as what is compared.
MachinePeak measure_machine_peak(const Context& context);

}  // namespace godwit::kernels
