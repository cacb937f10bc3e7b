// The kernels that measure the machine do the work that they claim, and the measurement is sane.
#include "kernels/machine_peak.h"

#include <algorithm>
#include <cstring>

#include "tests/kernels/ops_testing.h"

namespace godwit::kernels {
namespace {

class MachinePeakTest : public testing::TestWithParam<Isa> {
 protected:
  const KernelTable& table_ = kernel_table(GetParam());
};

TEST_P(MachinePeakTest, EveryProductIsDone) {
  for (const int64_t rounds : {1, 7, 1000}) {
    int32_t integers = 0;
    const int64_t bytes = table_.multiply_int8(rounds, &integers);
    EXPECT_GE(bytes, 12 * rounds);
    EXPECT_EQ(integers, static_cast<int32_t>(15 * bytes));
    float floats = 0;
    const int64_t products = table_.multiply_f32(rounds, &floats);
    EXPECT_GE(products, 12 * rounds);
    EXPECT_EQ(floats, 0.25f * static_cast<float>(products));
  }
}

TEST_P(MachinePeakTest, EveryByteIsRead) {
  constexpr int64_t kBytes = 4096 + 256;
  tensor::AlignedBuffer<unsigned char> bytes(kBytes);
  for (int64_t i = 0; i < kBytes; ++i) bytes[i] = static_cast<unsigned char>(i * 37 + (i >> 8));
  uint64_t expected = 0;
  for (int64_t i = 0; i < kBytes; i += 8) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + i, sizeof word);
    expected ^= word;
  }
  EXPECT_EQ(table_.read_xor(bytes.data(), kBytes), expected);
  for (const int64_t changed : {int64_t{0}, int64_t{63}, int64_t{255}, kBytes - 1}) {
    bytes[changed] ^= 1;
    EXPECT_NE(table_.read_xor(bytes.data(), kBytes), expected) << "byte " << changed;
    bytes[changed] ^= 1;
  }
}

std::vector<Isa> every_isa_here() {
  std::vector<Isa> found;
  for (const KernelVersion& version : kernel_versions()) {
    if (version.kernel == "multiply_int8" && cpu_has(version.isa)) found.push_back(version.isa);
  }
  return found;
}

INSTANTIATE_TEST_SUITE_P(Isa, MachinePeakTest, testing::ValuesIn(every_isa_here()),
                         [](const auto& param) { return test_name(param.param); });

TEST(MachinePeak, FiguresAreThoseOfAMachine) {
  ComputePool pool(2);
  const Context context{&pool, &kernel_table(best_isa())};
  const MachinePeak peak = MachinePeakMeter(context).measure();
  EXPECT_GT(peak.read_gb_s, 0.1);
  EXPECT_LT(peak.read_gb_s, 10000);
  EXPECT_GT(peak.int8_gmac_s, 0.1);
  EXPECT_GT(peak.f32_gmac_s, 0.1);
}

}  // namespace
}  // namespace godwit::kernels
