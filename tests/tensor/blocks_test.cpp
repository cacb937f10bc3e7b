// Block formats against the values that the reference implementation decodes
// (tests/goldens/tensor/README.md).
#include "tensor/blocks.h"

#include <gtest/gtest.h>

#include <cstring>
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

}  // namespace
}  // namespace godwit::tensor
