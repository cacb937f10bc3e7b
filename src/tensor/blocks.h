// The scalar truth of every weight format: a row's bytes to f32 and back.
//
// These define what each format means; kernels are tested against them. Layouts are drawn in blocks.cpp.
#pragma once

#include <cstddef>
#include <span>

#include "tensor/dtype.h"

namespace godwit::tensor {

// source: bytes_of(dtype, n) bytes; target: n values. n is a multiple of the type's block size.
void dequantize_row(DType dtype, const std::byte* source, float* target, int64_t n);

// The reverse, rounding as the format's reference quantiser does. `importance` (n values, or empty) weighs each
// column's squared error where a format chooses its scales by search.
void quantize_row(DType dtype, const float* source, std::byte* target, int64_t n, std::span<const float> importance = {});

}  // namespace godwit::tensor
