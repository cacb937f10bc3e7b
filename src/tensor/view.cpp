#include "tensor/view.h"

#include <fmt/format.h>
#include <sys/mman.h>

namespace godwit::tensor {

std::string Shape::to_string() const {
  std::string text = "[";
  for (int i = 0; i < rank_; ++i) text += fmt::format("{}{}", i ? ", " : "", dims_[i]);
  return text + "]";
}

void* allocate_aligned(size_t bytes) {
  constexpr size_t kHugePage = size_t{2} << 20;
  const bool huge = bytes >= kHugePage;
  const size_t alignment = huge ? kHugePage : 64;
  const size_t rounded = (bytes + 63) / 64 * 64;
  void* data = nullptr;  // not aligned_alloc: it wants sizes that are multiples of the alignment
  CHECK_MSG(posix_memalign(&data, alignment, rounded ? rounded : 64) == 0, "out of memory");
  if (huge)
    madvise(data, rounded / kHugePage * kHugePage, MADV_HUGEPAGE);  // a wish: failing is no error
  return data;
}

}  // namespace godwit::tensor
