// Workspace: the scratch memory of forward(), draft() and encode_vision(), sized once. Arena carves
// views from it.
//
// Every step of the model has a small struct whose constructor carves its views (DeltaNetScratch,
// …). The same constructors run on an Arena without memory to learn how much they need, so no size
// is written twice.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "base/check.h"
#include "model/model.h"
#include "tensor/view.h"

namespace godwit::model {

class Arena {
 public:
  Arena() = default;  // without memory: only counts; its views must not be touched
  explicit Arena(std::span<std::byte> block) : block_(block) {}

  tensor::MatrixView matrix(int64_t rows, int64_t columns) {
    return {reinterpret_cast<float*>(take(rows * columns * sizeof(float))), rows, columns, columns};
  }
  template <class T>
  std::span<T> array(size_t n) {
    std::byte* data = take(n * sizeof(T));
    return data ? std::span<T>(reinterpret_cast<T*>(data), n) : std::span<T>();
  }
  size_t peak() const { return peak_; }

  // What was carved during its life is free again after it.
  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), mark_(arena.used_) {}
    ~Scope() { arena_.used_ = mark_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    size_t mark_;
  };

 private:
  std::byte* take(size_t bytes) {
    const size_t start = used_;
    used_ += (bytes + 63) / 64 * 64;
    peak_ = std::max(peak_, used_);
    if (block_.empty()) return nullptr;
    CHECK_MSG(used_ <= block_.size(),
              "more tokens, patches or context than the workspace was made for");
    return block_.data() + start;
  }

  std::span<std::byte> block_;
  size_t used_ = 0, peak_ = 0;
};

class Workspace {
 public:
  Workspace(const WorkspaceLimits& limits, size_t bytes) : limits_(limits), block_(bytes) {}
  const WorkspaceLimits& limits() const { return limits_; }
  size_t bytes() const { return block_.size(); }
  Arena arena() { return Arena(block_.span()); }

 private:
  WorkspaceLimits limits_;
  tensor::AlignedBuffer<std::byte> block_;
};

}  // namespace godwit::model
