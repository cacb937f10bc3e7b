// Products of activations with weights: y = x · Wᵀ, for any stored type.
//
// Weights are packed once for the machine's kernels. Plain types (F32, F16, BF16) multiply in f32;
// block types multiply int8 activations (quantised here, per 32 values of a row) with integer dot
// products. One output element is summed in the same order whatever the number of rows, of threads,
// or of products in the call: batch companions never change a bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "kernels/context.h"
#include "tensor/view.h"

namespace godwit::kernels {

// A weight matrix [rows, columns] in the tile order of one instruction set (layouts are drawn in
// pack.cpp).
class PackedMatrix {
 public:
  PackedMatrix() = default;
  // Copies `weight` (rank 2, or rank 3 for stacked experts read as [experts · rows, columns]) into
  // packed form on all cores.
  static PackedMatrix pack(const Context& context, const tensor::TensorView& weight);

  // The same over tiles as pack() makes them: those given (bytes() of them), or, null, new memory
  // that somebody fills.
  static PackedMatrix of(tensor::DType stored_type, int64_t rows, int64_t columns,
                         std::shared_ptr<std::byte> tiles);

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  tensor::DType stored_type() const { return stored_type_; }
  size_t bytes() const { return bytes_; }
  std::byte* data() const { return data_.get(); }
  explicit operator bool() const { return rows_ > 0; }
  // Decodes rows [first, first + count) to f32, target [count, columns] (embedding look-up of tied
  // weights, tests).
  void unpack_rows(int64_t first, int64_t count, float* target) const;

 private:
  friend struct PackedMatrixAccess;
  int64_t rows_ = 0, columns_ = 0;
  tensor::DType stored_type_ = tensor::DType::kF32;
  int layout_ = 0;  // PackedLayout (pack.h)
  size_t bytes_ = 0;
  std::shared_ptr<std::byte> data_;  // tiles; a copy of the matrix shares them
};

struct Product {
  const PackedMatrix* weight = nullptr;
  int64_t first_row = 0,
          row_count =
              -1;  // a slice of the weight's rows (an expert); −1: all. Multiples of 16, or the end
  tensor::MatrixView out;       // [x.rows, row_count]
  bool add = false;             // out += x · Wᵀ instead of =
  const float* bias = nullptr;  // [row_count], added once; null: none
};

// Scratch that matmul needs for x of up to `rows` × `columns`.
size_t matmul_scratch_bytes(int64_t rows, int64_t columns);

// All products share x and one pass over the threads. Every weight has x.columns columns. No
// allocation. `name` is for traces.
void matmul(const Context& context, tensor::ConstMatrixView x, std::span<const Product> products,
            std::span<std::byte> scratch, const char* name = "matmul");

}  // namespace godwit::kernels
