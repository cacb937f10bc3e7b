#include "tensor/dtype.h"

#include <limits>

#include "base/check.h"

namespace godwit::tensor {
namespace {

constexpr DTypeInfo kTypes[] = {
    {DType::kF32, "F32", 1, 4, true},         {DType::kF16, "F16", 1, 2, true},
    {DType::kQ4_0, "Q4_0", 32, 18, true},     {DType::kQ4_1, "Q4_1", 32, 20, true},
    {DType::kQ5_0, "Q5_0", 32, 22, true},     {DType::kQ5_1, "Q5_1", 32, 24, true},
    {DType::kQ8_0, "Q8_0", 32, 34, true},     {DType::kQ2_K, "Q2_K", 256, 84, true},
    {DType::kQ3_K, "Q3_K", 256, 110, true},   {DType::kQ4_K, "Q4_K", 256, 144, true},
    {DType::kQ5_K, "Q5_K", 256, 176, true},   {DType::kQ6_K, "Q6_K", 256, 210, true},
    {DType::kIQ4_NL, "IQ4_NL", 32, 18, true}, {DType::kIQ4_XS, "IQ4_XS", 256, 136, true},
    {DType::kI8, "I8", 1, 1, false},          {DType::kI32, "I32", 1, 4, false},
    {DType::kI64, "I64", 1, 8, false},        {DType::kBF16, "BF16", 1, 2, true},
    {DType::kMXFP4, "MXFP4", 32, 17, true},   {DType::kU8, "U8", 1, 1, false},
    {DType::kBool, "BOOL", 1, 1, false},
};

}  // namespace

const DTypeInfo& dtype_info(DType dtype) {
  for (const auto& info : kTypes)
    if (info.dtype == dtype) return info;
  CHECK_MSG(false, "unlisted dtype");
  return kTypes[0];
}

const DTypeInfo* find_dtype(std::string_view name) {
  for (const auto& info : kTypes)
    if (info.name == name) return &info;
  return nullptr;
}

const DTypeInfo* find_dtype_by_gguf_number(uint32_t number) {
  if (number >= 100) return nullptr;  // ours, not GGUF's
  for (const auto& info : kTypes)
    if (static_cast<uint32_t>(info.dtype) == number) return &info;
  return nullptr;
}

std::optional<size_t> bytes_of(DType dtype, uint64_t n) {
  const auto& info = dtype_info(dtype);
  if (n % info.block_size != 0) return std::nullopt;
  const uint64_t blocks = n / info.block_size;
  if (blocks > std::numeric_limits<uint64_t>::max() / info.block_bytes) return std::nullopt;
  return blocks * info.block_bytes;
}

}  // namespace godwit::tensor
