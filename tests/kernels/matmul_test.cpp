// Packing and products: packed weights decode exactly; every instruction set gives the scalar
// version's bits; the scalar version is right; no element depends on its batch companions or on the
// number of threads.
#include "kernels/matmul.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/pack.h"
#include "tensor/blocks.h"

namespace godwit::kernels {
namespace {

using tensor::DType;

constexpr DType kWeightTypes[] = {DType::kF32,  DType::kF16,    DType::kBF16,   DType::kQ4_0,
                                  DType::kQ4_1, DType::kQ5_0,   DType::kQ5_1,   DType::kQ8_0,
                                  DType::kQ2_K, DType::kQ3_K,   DType::kQ4_K,   DType::kQ5_K,
                                  DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4};
constexpr Isa kIsas[] = {Isa::kScalar,     Isa::kAvx2, Isa::kAvxVnni, Isa::kAvx512,
                         Isa::kAvx512Vnni, Isa::kNeon, Isa::kNeonDot};

// Random bytes that decode to numbers of ordinary size: every code and sub-scale occurs, the f16
// scales are put in after.
std::vector<std::byte> random_weights(DType dtype, int64_t values, std::mt19937& random) {
  std::vector<std::byte> bytes(*tensor::bytes_of(dtype, values));
  for (auto& b : bytes) b = std::byte(random());
  std::normal_distribution<float> normal;
  if (dtype == DType::kF32) {
    for (int64_t i = 0; i < values; ++i) {
      const float value = normal(random);
      std::memcpy(&bytes[4 * i], &value, 4);
    }
    return bytes;
  }
  auto limit_f16 = [&](size_t at) {
    bytes[at + 1] = (bytes[at + 1] & std::byte{0x83}) | std::byte{0x20};
  };
  const auto& info = tensor::dtype_info(dtype);
  for (size_t at = 0; at < bytes.size(); at += info.block_bytes) {
    switch (dtype) {
      case DType::kBF16:
        bytes[at + 1] = (bytes[at + 1] & std::byte{0x81}) | std::byte{0x3e};
        break;
      case DType::kMXFP4:
        bytes[at] = std::byte(120 + random() % 8);
        break;
      case DType::kQ2_K:
        limit_f16(at + 80), limit_f16(at + 82);
        break;
      case DType::kQ3_K:
        limit_f16(at + 108);
        break;
      case DType::kQ6_K:
        limit_f16(at + 208);
        break;
      case DType::kQ4_1:
      case DType::kQ5_1:
      case DType::kQ4_K:
      case DType::kQ5_K:
        limit_f16(at), limit_f16(at + 2);
        break;
      default:
        limit_f16(at);
    }
  }
  return bytes;
}

std::vector<float> random_values(int64_t n, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (auto& v : values) v = normal(random);
  return values;
}

struct Case {
  DType dtype;
  int64_t rows, columns;
  std::vector<std::byte> bytes;
  std::vector<float> decoded;  // [rows, columns]
  Case(DType type, int64_t r, int64_t c, std::mt19937& random)
      : dtype(type),
        rows(r),
        columns(c),
        bytes(random_weights(type, r * c, random)),
        decoded(r * c) {
    tensor::dequantize_row(dtype, bytes.data(), decoded.data(), r * c);
  }
  bool has_min() const {
    return dtype == DType::kQ4_1 || dtype == DType::kQ5_1 || dtype == DType::kQ2_K ||
           dtype == DType::kQ4_K || dtype == DType::kQ5_K;
  }
  tensor::TensorView view() const { return {bytes.data(), dtype, {rows, columns}}; }
};

std::vector<std::pair<int64_t, int64_t>> shapes_for(DType dtype) {
  switch (tensor::dtype_info(dtype).block_size) {
    case 1:
      return {{1, 1}, {16, 32}, {35, 136}, {48, 172}, {7, 513}, {64, 1100}};
    case 32:
      return {{1, 32}, {16, 64}, {35, 96}, {80, 288}, {7, 1024}};
    default:
      return {{1, 256}, {35, 512}, {48, 768}};
  }
}

std::vector<float> run(const Context& context, const PackedMatrix& weight,
                       const std::vector<float>& x, int64_t rows) {
  std::vector<float> out(rows * weight.rows(), NAN);
  std::vector<std::byte> scratch(matmul_scratch_bytes(rows, weight.columns()));
  const Product product{&weight, 0, -1, {out.data(), rows, weight.rows(), weight.rows()}};
  matmul(context, {x.data(), rows, weight.columns()}, std::span(&product, 1), scratch);
  return out;
}

std::string name_of(DType dtype) { return std::string(tensor::dtype_info(dtype).name); }

TEST(Pack, UnpacksExactly) {
  ComputePool pool(2);
  const Context context{&pool, &kernel_table(Isa::kScalar)};
  std::mt19937 random(1);
  for (DType dtype : kWeightTypes) {
    for (auto [rows, columns] : shapes_for(dtype)) {
      const Case c(dtype, rows, columns, random);
      const auto packed = PackedMatrix::pack(context, c.view());
      EXPECT_EQ(packed.bytes(), packed_bytes(dtype, rows, columns));
      std::vector<float> unpacked(rows * columns);
      packed.unpack_rows(0, rows, unpacked.data());
      int wrong = 0;
      for (size_t i = 0; i < unpacked.size(); ++i) wrong += !(unpacked[i] == c.decoded[i]);
      EXPECT_EQ(wrong, 0) << name_of(dtype) << " " << rows << "×" << columns;
    }
  }
}

// x as the int8 blocks see it.
std::vector<float> rounded(const std::vector<float>& x) {
  std::vector<float> out(x.size());
  for (size_t at = 0; at < x.size(); at += 32) {
    float largest = 0;
    for (int i = 0; i < 32; ++i) largest = std::max(largest, std::fabs(x[at + i]));
    for (int i = 0; i < 32; ++i)
      out[at + i] =
          static_cast<float>(std::nearbyint(x[at + i] * (127.0f / largest)) * (largest / 127.0f));
  }
  return out;
}

TEST(Matmul, ScalarIsRight) {
  ComputePool pool(1);
  const Context context{&pool, &kernel_table(Isa::kScalar)};
  std::mt19937 random(2);
  for (DType dtype : kWeightTypes) {
    for (auto [rows, columns] : shapes_for(dtype)) {
      const Case c(dtype, rows, columns, random);
      const int64_t n = 3;
      const auto x = random_values(n * columns, random);
      const auto seen = tensor::is_block_format(dtype) ? rounded(x) : x;
      const auto out = run(context, PackedMatrix::pack(context, c.view()), x, n);
      for (int64_t r = 0; r < n; ++r) {
        for (int64_t i = 0; i < rows; ++i) {
          double want = 0, magnitude = 0;
          for (int64_t k = 0; k < columns; ++k) {
            const double term = double{c.decoded[i * columns + k]} * seen[r * columns + k];
            want += term;
            magnitude += std::fabs(term);
          }
          ASSERT_NEAR(out[r * rows + i], want, 4e-6 * magnitude + 1e-9)
              << name_of(dtype) << " " << rows << "×" << columns;
        }
      }
    }
  }
}

TEST(Matmul, EveryInstructionSetGivesTheScalarBits) {
  ComputePool pool(1);
  const Context scalar{&pool, &kernel_table(Isa::kScalar)};
  for (Isa isa : kIsas) {
    if (!cpu_has(isa)) {
      std::printf("skipped: this machine has no %s\n", std::string(isa_name(isa)).c_str());
      continue;
    }
    const Context context{&pool, &kernel_table(isa)};
    ASSERT_EQ(context.table->isa, isa);
    std::mt19937 random(3);
    for (DType dtype : kWeightTypes) {
      for (auto [rows, columns] : shapes_for(dtype)) {
        const Case c(dtype, rows, columns, random);
        const auto packed = PackedMatrix::pack(context, c.view());
        for (int64_t n : {1, 2, 3, 4, 5, 6, 7, 8, 13, 40}) {
          auto x = random_values(n * columns, random);
          x[random() % x.size()] = 1e4f;  // an outlier
          if (columns >= 32) std::fill_n(x.begin() + (n - 1) * columns, 32, 0.0f);
          const auto want = run(scalar, packed, x, n), got = run(context, packed, x, n);
          ASSERT_EQ(0, std::memcmp(want.data(), got.data(), want.size() * sizeof(float)))
              << isa_name(isa) << " " << name_of(dtype) << " " << rows << "×" << columns
              << " x rows " << n;
        }
      }
    }
  }
}

TEST(Matmul, CodesAtTheirLimits) {
  // The largest weights and activations of one sign: an intermediate 16-bit sum that saturates
  // would show.
  ComputePool pool(1);
  const Context scalar{&pool, &kernel_table(Isa::kScalar)};
  for (Isa isa : kIsas) {
    if (!cpu_has(isa)) continue;
    const Context context{&pool, &kernel_table(isa)};
    std::mt19937 random(4);
    for (DType dtype : kWeightTypes) {
      if (!tensor::is_block_format(dtype)) continue;
      for (int fill : {0x00, 0x7f, 0x80, 0xff}) {
        Case c(dtype, 16, 256, random);
        const auto keep = c.bytes;
        for (auto& b : c.bytes) b = std::byte(fill);
        const auto& info = tensor::dtype_info(dtype);  // ordinary scales, from the random block
        const size_t d = dtype == DType::kQ2_K   ? 80
                         : dtype == DType::kQ3_K ? 108
                         : dtype == DType::kQ6_K ? 208
                                                 : 0;
        const size_t n = dtype == DType::kMXFP4 ? 1 : c.has_min() ? 4 : 2;
        for (size_t at = 0; at < c.bytes.size(); at += info.block_bytes)
          std::copy_n(keep.begin() + at + d, n, c.bytes.begin() + at + d);
        const auto packed = PackedMatrix::pack(context, c.view());
        for (float sign : {1.0f, -1.0f}) {
          const std::vector<float> x(4 * 256, sign);
          const auto want = run(scalar, packed, x, 4), got = run(context, packed, x, 4);
          ASSERT_EQ(0, std::memcmp(want.data(), got.data(), want.size() * sizeof(float)))
              << isa_name(isa) << " " << name_of(dtype) << " fill " << fill;
        }
      }
    }
  }
}

TEST(Matmul, FaultyActivationsShow) {
  ComputePool pool(1);
  for (Isa isa : kIsas) {
    if (!cpu_has(isa)) continue;
    const Context context{&pool, &kernel_table(isa)};
    std::mt19937 random(7);
    for (DType dtype : kWeightTypes) {
      const Case c(dtype, 16, 256, random);
      const auto packed = PackedMatrix::pack(context, c.view());
      for (float fault : {NAN, INFINITY, -INFINITY}) {
        auto x = random_values(2 * 256, random);
        x[256 + 77] = fault;
        const auto out = run(context, packed, x, 2);
        for (int i = 0; i < 16; ++i) {
          EXPECT_TRUE(std::isfinite(out[i])) << isa_name(isa) << " " << name_of(dtype);
          EXPECT_FALSE(std::isfinite(out[16 + i])) << isa_name(isa) << " " << name_of(dtype);
        }
      }
      // Values that are tiny but not zero.
      const auto out = run(context, packed, std::vector<float>(256, 1e-40f), 1);
      for (float v : out) EXPECT_LT(std::fabs(v), 1e-30f) << isa_name(isa) << " " << name_of(dtype);
    }
  }
}

TEST(Matmul, CompanionsAndThreadsChangeNothing) {
  const KernelTable& table = kernel_table(best_isa());
  std::mt19937 random(5);
  for (DType dtype : kWeightTypes) {
    const Case a(dtype, 200, 512, random), b(dtype, 33, 512, random);
    ComputePool one(1), three(3);
    const Context alone{&one, &table}, shared{&three, &table};
    const auto wa = PackedMatrix::pack(alone, a.view()), wb = PackedMatrix::pack(shared, b.view());
    const int64_t n = 23;
    const auto x = random_values(n * 512, random);
    std::vector<float> out_a(n * 200), out_b(n * 33);
    std::vector<std::byte> scratch(matmul_scratch_bytes(n, 512));
    const Product products[] = {{&wa, 0, -1, {out_a.data(), n, 200, 200}},
                                {&wb, 0, -1, {out_b.data(), n, 33, 33}}};
    matmul(shared, {x.data(), n, 512}, products, scratch);
    for (int64_t r = 0; r < n; ++r) {
      const std::vector<float> row(x.begin() + r * 512, x.begin() + (r + 1) * 512);
      const auto ya = run(alone, wa, row, 1), yb = run(alone, wb, row, 1);
      ASSERT_EQ(0, std::memcmp(ya.data(), &out_a[r * 200], 200 * sizeof(float))) << name_of(dtype);
      ASSERT_EQ(0, std::memcmp(yb.data(), &out_b[r * 33], 33 * sizeof(float))) << name_of(dtype);
    }
  }
}

TEST(Matmul, SlicesStridesBiasAndAdd) {
  ComputePool pool(2);
  const Context context{&pool, &kernel_table(best_isa())};
  std::mt19937 random(6);
  const Case c(DType::kQ4_0, 100, 64, random);
  const auto packed = PackedMatrix::pack(context, c.view());
  const int64_t n = 9;
  const auto x = random_values(n * 80, random);  // rows of 64 with stride 80
  std::vector<float> packed_x;
  for (int64_t r = 0; r < n; ++r)
    packed_x.insert(packed_x.end(), x.begin() + r * 80, x.begin() + r * 80 + 64);
  const auto whole = run(context, packed, packed_x, n);
  const auto bias = random_values(36, random);
  std::vector<std::byte> scratch(matmul_scratch_bytes(n, 64));
  for (auto [first, count] : {std::pair<int64_t, int64_t>{16, 32}, {64, 36}, {64, -1}}) {
    const int64_t columns = count < 0 ? 36 : count;
    for (int mode = 0; mode < 4; ++mode) {
      std::vector<float> out(n * 50, 0.5f);
      Product product{&packed, first, count, {out.data() + 3, n, columns, 50}};
      product.add = mode & 1;
      product.bias = mode & 2 ? bias.data() : nullptr;
      matmul(context, {x.data(), n, 64, 80}, std::span(&product, 1), scratch);
      for (int64_t r = 0; r < n; ++r) {
        for (int64_t i = 0; i < 50; ++i) {
          float want = 0.5f;
          if (i >= 3 && i < 3 + columns) {
            want = whole[r * 100 + first + i - 3] + (product.bias ? bias[i - 3] : 0.0f);
            if (product.add) want = 0.5f + want;
          }
          ASSERT_EQ(out[r * 50 + i], want) << first << " " << mode << " " << r << " " << i;
        }
      }
    }
  }
}

TEST(Matmul, AnyAlignment) {
  ComputePool pool(1);
  std::mt19937 random(8);
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kQ8_0, DType::kQ4_0}) {
    const Case c(dtype, 40, 96, random);
    const int64_t n = 7, stride = 101;
    const auto x = random_values(n * stride + 16, random);
    for (Isa isa : kIsas) {
      if (!cpu_has(isa)) continue;
      const Context context{&pool, &kernel_table(isa)};
      const auto packed = PackedMatrix::pack(context, c.view());
      std::vector<std::byte> scratch(matmul_scratch_bytes(n, 96) + 8);
      for (int shift = 0; shift < 5; ++shift) {
        std::vector<float> plain, out(n * 43 + 8);
        for (int64_t r = 0; r < n; ++r)
          plain.insert(plain.end(), &x[r * stride + shift], &x[r * stride + shift + 96]);
        const Product product{&packed, 0, -1, {out.data() + shift, n, 40, 43}};
        matmul(context, {x.data() + shift, n, 96, stride}, std::span(&product, 1),
               std::span(scratch).subspan(shift));
        const auto want = run(context, packed, plain, n);
        for (int64_t r = 0; r < n; ++r)
          ASSERT_EQ(0, std::memcmp(&want[r * 40], &out[shift + r * 43], 40 * sizeof(float)))
              << isa_name(isa) << " " << name_of(dtype) << " shift " << shift;
      }
    }
  }
}

TEST(KernelTable, HoldsTheVersionsOfItsInstructionSet) {
  const KernelTable& scalar = kernel_table(Isa::kScalar);
  for (Isa isa : kIsas) {
    if (!cpu_has(isa)) continue;
    const KernelTable& table = kernel_table(isa);
    EXPECT_EQ(table.isa, isa);
    for (const auto& version : kernel_versions()) {
      if (version.isa != isa || isa == Isa::kScalar) continue;
#define KERNEL(result, name, parameters)         \
  if (version.kernel == #name) {                 \
    EXPECT_NE(table.name, scalar.name) << #name; \
  }
#include "kernels/kernels.def"
    }
  }
}

}  // namespace
}  // namespace godwit::kernels
