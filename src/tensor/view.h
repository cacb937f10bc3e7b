// Non-owning views of tensors, and an owning, aligned f32 buffer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>

#include "base/check.h"
#include "tensor/dtype.h"

namespace godwit::tensor {

// Dimensions from the slowest to the fastest, as PyTorch prints them. At most five.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int64_t> dims) : rank_(static_cast<int>(dims.size())) {
    CHECK(rank_ <= 5);
    for (int i = 0; i < rank_; ++i) dims_[i] = dims[i];
  }
  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[i]; }
  int64_t elements() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= dims_[i];
    return n;
  }
  std::string to_string() const;  // "[2, 3]"
  bool operator==(const Shape&) const = default;

 private:
  std::array<int64_t, 5> dims_{};
  int rank_ = 0;
};

// A stored tensor: bytes that someone else owns (a mapped file), row-major, rows contiguous.
struct TensorView {
  const std::byte* data = nullptr;
  DType dtype = DType::kF32;
  Shape shape;

  explicit operator bool() const { return data != nullptr; }
  int64_t columns() const { return shape.rank() ? shape[shape.rank() - 1] : 1; }
  int64_t rows() const { return columns() ? shape.elements() / columns() : 0; }
  size_t bytes() const {
    return bytes_of(dtype, static_cast<uint64_t>(shape.elements())).value_or(0);
  }
};

// f32 values [rows, columns] with a row stride (in values); the currency of kernels and observers.
struct MatrixView {
  float* data = nullptr;
  int64_t rows = 0, columns = 0, stride = 0;
  float* row(int64_t i) const { return data + i * stride; }
};
struct ConstMatrixView {
  const float* data = nullptr;
  int64_t rows = 0, columns = 0, stride = 0;
  ConstMatrixView() = default;
  ConstMatrixView(const float* d, int64_t r, int64_t c, int64_t s)
      : data(d), rows(r), columns(c), stride(s) {}
  ConstMatrixView(const float* d, int64_t r, int64_t c) : ConstMatrixView(d, r, c, c) {}
  ConstMatrixView(const MatrixView& m)
      : ConstMatrixView(m.data, m.rows, m.columns, m.stride) {}  // NOLINT
  const float* row(int64_t i) const { return data + i * stride; }
};

// 64-byte aligned memory for std::free; a large piece asks for huge pages, because weights that are
// read in one stream would otherwise spend a good part of the time on page walks. CHECKs that there
// is memory.
void* allocate_aligned(size_t bytes);

// 64-byte aligned memory that is freed with the object; not initialised unless said.
template <class T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t n)
      : data_(static_cast<T*>(allocate_aligned(n * sizeof(T)))), size_(n) {}
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  size_t size() const { return size_; }
  T& operator[](size_t i) { return data_.get()[i]; }
  const T& operator[](size_t i) const { return data_.get()[i]; }
  std::span<T> span() { return {data_.get(), size_}; }
  std::span<const T> span() const { return {data_.get(), size_}; }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> data_;
  size_t size_ = 0;
};

}  // namespace godwit::tensor
