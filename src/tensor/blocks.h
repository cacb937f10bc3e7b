// The scalar truth of every weight format: a row's bytes to f32 and back.
//
// These define what each format means; kernels are tested against them. Layouts are drawn in
// blocks.cpp. Every block format is one formula over 32 values that share a block:
//
//   value[i] = (scale · sub_scale[i / 16]) · integer(code[i])  −  min · sub_min[i / 16]
//
// with integer(code) = code − offset, or a look-up in a table of sixteen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tensor/dtype.h"

namespace godwit::tensor {

// source: bytes_of(dtype, n) bytes; target: n values. n is a multiple of the type's block size.
void dequantize_row(DType dtype, const std::byte* source, float* target, int64_t n);

// The reverse, rounding as the format's reference quantiser does. `importance` (n values, or empty)
// weighs each column's squared error where a format chooses its scales by search.
void quantize_row(DType dtype, const float* source, std::byte* target, int64_t n,
                  std::span<const float> importance = {});

// 32 values of a block format taken apart, as in the formula above.
struct BlockParts {
  uint8_t codes[32];
  float scale, min;     // min is 0 for formats without one
  int8_t sub_scale[2];  // 1 for formats without sub-blocks
  int8_t sub_min[2];
};
// Values [32 · index, 32 · index + 32) of a row of a block format.
void split_block(DType dtype, const std::byte* row, int64_t index, BlockParts* parts);

// How a format's codes become integers.
struct CodeBook {
  int bits;             // codes are below 2^bits
  int offset;           // integer = code − offset …
  const int8_t* table;  // … or, if not null, table[code]
  int integer(int code) const { return table ? table[code] : code - offset; }
};
const CodeBook& code_book(DType dtype);  // CHECKs that dtype is a block format

inline bool is_block_format(DType dtype) { return dtype_info(dtype).block_size > 1; }

}  // namespace godwit::tensor
