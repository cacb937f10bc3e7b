// The declarations of all kernels, made from kernels.def, in plain C++: the only header of ours
// that files compiled for an instruction set include (any inline function of a library would be
// compiled for that instruction set and might then be the copy that baseline code calls).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/tile_types.h"

namespace godwit::kernels {

// How keys and values are stored in pages.
enum KvType { kKvF32, kKvF16, kKvBF16, kKvQ8_0 };

// The type of each kernel, `name_fn`.
#define KERNEL(result, name, parameters) using name##_fn = result parameters;
#include "kernels/kernels.def"

// Every version, `isa::name`.
#define VERSION(name, isa) \
  namespace isa {          \
  name##_fn name;          \
  }
#include "kernels/kernels.def"

}  // namespace godwit::kernels
