#include "base/cpu.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace godwit {
namespace {

TEST(Cpu, NamesReadBack) {
  for (Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvxVnni, Isa::kAvx512, Isa::kAvx512Vnni,
                  Isa::kNeon, Isa::kNeonDot}) {
    const auto parsed = parse_isa(isa_name(isa));
    ASSERT_TRUE(parsed.has_value());
    EXPECT_EQ(*parsed, isa);
  }
  const auto unknown = parse_isa("sse9");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_NE(unknown.error().message.find("sse9"), std::string::npos);
}

TEST(Cpu, BestIsaRunsHere) {
  EXPECT_TRUE(cpu_has(Isa::kScalar));
  EXPECT_TRUE(cpu_has(best_isa()));
}

TEST(Cpu, EnvironmentForcesOrRefuses) {
  setenv("GODWIT_ISA", "scalar", 1);
  EXPECT_EQ(isa_from_environment().value(), Isa::kScalar);
  setenv("GODWIT_ISA", "abacus", 1);
  EXPECT_FALSE(isa_from_environment().has_value());
  const Isa foreign = cpu_has(Isa::kNeon) ? Isa::kAvx2 : Isa::kNeon;
  setenv("GODWIT_ISA", std::string(isa_name(foreign)).c_str(), 1);
  EXPECT_FALSE(isa_from_environment().has_value());
  unsetenv("GODWIT_ISA");
  EXPECT_EQ(isa_from_environment().value(), best_isa());
}

TEST(Cpu, TopologyIsPlausible) {
  const CpuTopology t = cpu_topology();
  EXPECT_GE(t.performance_cores, 1);
  EXPECT_LE(t.performance_cores, t.physical_cores);
  EXPECT_LE(t.physical_cores, t.logical_cpus);
}

}  // namespace
}  // namespace godwit
