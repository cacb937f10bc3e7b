// The machine's own limits, measured with the kernels in use: what speeds are held against.
#pragma once

#include "kernels/context.h"
#include "tensor/view.h"

namespace godwit::kernels {

struct MachinePeak {
  double read_gb_s = 0;    // reading 256 MiB once, all threads
  double int8_gmac_s = 0;  // 10⁹ products of bytes a second, operands in registers
  double f32_gmac_s = 0;
};

// Neighbours on a shared machine move these limits by a factor of two within minutes: measure
// before and after each thing that is compared.
class MachinePeakMeter {
 public:
  explicit MachinePeakMeter(const Context& context);
  MachinePeak measure() const;  // the best of several; about 0.1 s

 private:
  const Context& context_;
  tensor::AlignedBuffer<unsigned char> bytes_;  // to be read
};

}  // namespace godwit::kernels
