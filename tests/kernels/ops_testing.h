// What the tests of operations share: the instruction sets and pools to run under, random data,
// comparison.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "kernels/kernel_table.h"
#include "kernels/ops.h"

namespace godwit::kernels {

// Those that these operations have versions for.
inline std::vector<Isa> isas_here() {
  std::vector<Isa> found;
  for (Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kNeon})
    if (cpu_has(isa)) found.push_back(isa);
  return found;
}

inline std::string test_name(Isa isa) {
  std::string name(isa_name(isa));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

inline std::vector<float> random_floats(size_t n, unsigned seed, float size = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, size);
  std::vector<float> values(n);
  for (float& value : values) value = normal(generator);
  return values;
}

// Largest difference over the largest value: what f32 rounding is measured against.
template <class A, class B>
double relative_difference(const A& found, const B& expected) {
  double difference = 0, largest = 1e-30;
  EXPECT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    if (!std::isfinite(found[i])) return INFINITY;
    difference = std::max(difference, std::abs(double(found[i]) - double(expected[i])));
    largest = std::max(largest, std::abs(double(expected[i])));
  }
  return difference / largest;
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// A test under each instruction set of this machine, with pools of one to three threads.
class OpsTest : public testing::TestWithParam<Isa> {
 protected:
  Context context(int threads = 1) {
    if (!pools_[threads - 1]) pools_[threads - 1] = std::make_unique<ComputePool>(threads);
    return {pools_[threads - 1].get(), &kernel_table(GetParam())};
  }

 private:
  std::unique_ptr<ComputePool> pools_[3];
};

#define INSTANTIATE_OPS_TEST(suite)                                    \
  INSTANTIATE_TEST_SUITE_P(Isa, suite, testing::ValuesIn(isas_here()), \
                           [](const auto& param) { return test_name(param.param); })

}  // namespace godwit::kernels
