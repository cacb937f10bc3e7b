// Block formats against the values that the reference implementation decodes
// (tests/goldens/tensor/README.md).
#include "tensor/blocks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "base/mapped_file.h"

namespace godwit::tensor {
namespace {

constexpr int64_t kRows = 8, kColumns = 512, kValues = kRows * kColumns;

struct GoldenTensor {
  std::string name;
  DType dtype;
  std::vector<std::byte> blocks;
  std::vector<float> values;  // [kRows, kColumns]
};

std::vector<GoldenTensor> load_goldens() {
  auto text = read_file(std::string(GODWIT_SOURCE_DIR) + "/tests/goldens/tensor/blocks.bin");
  EXPECT_TRUE(text) << text.error().message;
  std::istringstream in(text.value_or(""));
  std::vector<GoldenTensor> goldens;
  std::string name;
  for (uint32_t type, bytes; in >> name >> type >> bytes;) {
    in.ignore(1);
    GoldenTensor golden{name, find_dtype_by_gguf_number(type)->dtype, std::vector<std::byte>(bytes),
                        std::vector<float>(kValues)};
    in.read(reinterpret_cast<char*>(golden.blocks.data()), bytes);
    in.read(reinterpret_cast<char*>(golden.values.data()), kValues * sizeof(float));
    EXPECT_TRUE(in) << name;
    goldens.push_back(std::move(golden));
  }
  return goldens;
}

TEST(Blocks, DecodeExactly) {
  std::set<DType> seen;
  for (const auto& golden : load_goldens()) {
    ASSERT_EQ(golden.blocks.size(), bytes_of(golden.dtype, kValues)) << golden.name;
    std::vector<float> decoded(kValues);
    dequantize_row(golden.dtype, golden.blocks.data(), decoded.data(), kValues);
    int wrong = 0;
    for (int64_t i = 0; i < kValues; ++i) wrong += !(decoded[i] == golden.values[i]);
    EXPECT_EQ(wrong, 0) << golden.name;
    seen.insert(golden.dtype);
  }
  EXPECT_EQ(seen.size(), 16u);  // every weight type of dtype.h
}

TEST(Blocks, PlainQuantisersGiveTheReferencesBytes) {
  // The numbers that were quantised are not kept, but a decoded block holds its own extremes, so
  // quantising it again gives the same scale and the same codes: the reference's bytes.
  int seen = 0;
  for (const auto& golden : load_goldens()) {
    if (golden.name.find(".quantised") == std::string::npos) continue;
    ++seen;
    std::vector<std::byte> again(golden.blocks.size());
    quantize_row(golden.dtype, golden.values.data(), again.data(), kValues);
    int wrong = 0;
    for (size_t i = 0; i < again.size(); ++i) wrong += again[i] != golden.blocks[i];
    EXPECT_EQ(wrong, 0) << golden.name;
  }
  EXPECT_EQ(seen, 6);
}

// Root of Σ weight · (x − decoded)² / Σ weight · x².
double relative_error(DType dtype, const std::vector<float>& x, std::span<const float> importance,
                      bool use_importance) {
  std::vector<std::byte> blocks(*bytes_of(dtype, x.size()));
  quantize_row(dtype, x.data(), blocks.data(), x.size(),
               use_importance ? importance : std::span<const float>());
  std::vector<float> decoded(x.size());
  dequantize_row(dtype, blocks.data(), decoded.data(), x.size());
  double error = 0, size = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += double{importance[i]} * (x[i] - decoded[i]) * (x[i] - decoded[i]);
    size += double{importance[i]} * x[i] * x[i];
  }
  return std::sqrt(error / size);
}

TEST(Blocks, QuantisersKeepNormalNumbers) {
  // Root mean square errors on normal random numbers; limits a few percent above what each format
  // reaches.
  const std::pair<DType, double> limits[] = {
      {DType::kQ8_0, 0.0056},   {DType::kQ6_K, 0.0185},   {DType::kQ5_K, 0.0370},
      {DType::kQ5_1, 0.0390},   {DType::kQ5_0, 0.0445},   {DType::kQ4_K, 0.0740},
      {DType::kIQ4_NL, 0.0790}, {DType::kIQ4_XS, 0.0795}, {DType::kQ4_1, 0.0805},
      {DType::kQ4_0, 0.0890},   {DType::kMXFP4, 0.1170},  {DType::kQ3_K, 0.1580},
      {DType::kQ2_K, 0.2830},   {DType::kBF16, 0.0025},   {DType::kF16, 0.0003},
      {DType::kF32, 0.0}};
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> x(64 * 256), flat(x.size(), 1.0f), importance(x.size());
  for (auto& v : x) v = normal(random);
  for (auto& v : importance) v = std::exp(2 * normal(random));
  for (auto [dtype, limit] : limits) {
    const double error = relative_error(dtype, x, flat, false);
    EXPECT_LE(error, limit) << dtype_info(dtype).name;
    if (!is_block_format(dtype) || dtype == DType::kQ8_0) continue;
    const double blind = relative_error(dtype, x, importance, false),
                 guided = relative_error(dtype, x, importance, true);
    EXPECT_LT(guided, blind) << dtype_info(dtype).name;
    std::printf("%s %.4f, with importance %.4f instead of %.4f\n",
                std::string(dtype_info(dtype).name).c_str(), error, guided, blind);
  }
}

TEST(Blocks, QuantisersTakeAnyNumbers) {
  std::vector<std::vector<float>> rows;
  rows.emplace_back(256, 0.0f);
  rows.emplace_back(256, -3.0f);
  rows.emplace_back(256, 1e-42f);
  rows.emplace_back(256, 3e38f);
  rows.emplace_back(256, INFINITY);
  rows.emplace_back(256, NAN);
  rows.emplace_back(256, 1.0f);
  for (int i = 0; i < 256; ++i) rows.back()[i] = i % 2 ? 1e30f : -1e-30f;
  const std::vector<float> importance(256, 0.0f);
  for (DType dtype : {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0,
                      DType::kQ2_K, DType::kQ3_K, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K,
                      DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4}) {
    for (const auto& row : rows) {
      std::vector<std::byte> blocks(*bytes_of(dtype, 256));
      std::vector<float> decoded(256);
      quantize_row(dtype, row.data(), blocks.data(), 256);
      quantize_row(dtype, row.data(), blocks.data(), 256, importance);
      dequantize_row(dtype, blocks.data(), decoded.data(), 256);
    }
    std::vector<std::byte> blocks(*bytes_of(dtype, 256));
    std::vector<float> decoded(256, 1.0f);
    quantize_row(dtype, rows[0].data(), blocks.data(), 256);
    dequantize_row(dtype, blocks.data(), decoded.data(), 256);
    for (float v : decoded) EXPECT_EQ(v, 0.0f) << dtype_info(dtype).name;
  }
}

}  // namespace
}  // namespace godwit::tensor
