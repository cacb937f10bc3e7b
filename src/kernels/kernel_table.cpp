// Builds one table per instruction set from the rows of kernels.def.
#include "kernels/kernel_table.h"

#include <array>

#include "base/check.h"
#include "kernels/context.h"

namespace godwit::kernels {
namespace {

// The instruction set that each namespace of kernels.def stands for.
namespace isa_of {
constexpr Isa scalar = Isa::kScalar, avx2 = Isa::kAvx2, avx_vnni = Isa::kAvxVnni,
              avx512 = Isa::kAvx512, avx512_vnni = Isa::kAvx512Vnni, neon = Isa::kNeon,
              neon_dot = Isa::kNeonDot;
}  // namespace isa_of

constexpr KernelVersion kVersions[] = {
#define VERSION(name, isa) {#name, isa_of::isa},
#include "kernels/kernels.def"
    {"", Isa::kScalar}};  // an array has at least one element

// The next lower instruction set, whose kernels stand in for missing ones.
Isa below(Isa isa) {
  switch (isa) {
    case Isa::kAvx512Vnni:
      return Isa::kAvx512;
    case Isa::kAvx512:
    case Isa::kAvxVnni:
      return Isa::kAvx2;
    case Isa::kNeonDot:
      return Isa::kNeon;
    default:
      return Isa::kScalar;
  }
}

KernelTable build(Isa wanted) {
  KernelTable table;
  if (wanted != Isa::kScalar) table = build(below(wanted));
  table.isa = wanted;
#define VERSION(name, isa) \
  if (isa_of::isa == wanted) table.name = isa::name;
#include "kernels/kernels.def"
  return table;
}

}  // namespace

std::span<const KernelVersion> kernel_versions() {
  return std::span(kVersions).first(std::size(kVersions) - 1);
}

const KernelTable& kernel_table(Isa isa) {
  CHECK_MSG(cpu_has(isa), "kernel table of an instruction set that this machine lacks");
  static const std::array tables = {
      build(Isa::kScalar),     build(Isa::kAvx2), build(Isa::kAvxVnni), build(Isa::kAvx512),
      build(Isa::kAvx512Vnni), build(Isa::kNeon), build(Isa::kNeonDot)};
  return tables[static_cast<size_t>(isa)];
}

}  // namespace godwit::kernels
