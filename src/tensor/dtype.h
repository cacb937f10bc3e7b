// Element and block types: what a stored tensor's bytes mean.
//
// A block type packs `block_size` consecutive values of a row into `block_bytes` bytes; its layout
// and scalar decoding are in blocks.h. Numbers are GGUF's type numbers, so a file's field converts
// by a checked cast.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace godwit::tensor {

enum class DType : uint8_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ4_NL = 20,
  kIQ4_XS = 23,
  kI8 = 24,
  kI32 = 26,
  kI64 = 27,
  kBF16 = 30,
  kMXFP4 = 39,
  kU8 = 100,
  kBool = 101,  // safetensors data only; no GGUF number
};

struct DTypeInfo {
  DType dtype;
  std::string_view name;  // "F32", "BF16", "Q4_K", … as GGUF and safetensors spell them
  int block_size;         // values per block; 1 for plain types
  int block_bytes;        // bytes per block
  bool is_weight;         // decodes to real numbers (dequantize_row accepts it)
};

const DTypeInfo& dtype_info(DType dtype);                     // CHECKs that dtype is listed
const DTypeInfo* find_dtype(std::string_view name);           // by name; null if unknown
const DTypeInfo* find_dtype_by_gguf_number(uint32_t number);  // null if unknown

// Bytes of n values, or nothing if n is no multiple of the block size or the product overflows.
std::optional<size_t> bytes_of(DType dtype, uint64_t n);

}  // namespace godwit::tensor
