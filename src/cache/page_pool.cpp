#include "cache/page_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/resident.h"

namespace godwit::cache {

Result<std::unique_ptr<PagePool>> PagePool::create(size_t page_bytes, int64_t pages) {
  CHECK(page_bytes > 0 && pages > 0 && pages < std::numeric_limits<PageId>::max());
  const size_t stride = (page_bytes + 63) / 64 * 64;  // rows start at cache lines
  if (stride > std::numeric_limits<size_t>::max() / 2 / static_cast<size_t>(pages)) {
    return failed("page pool: {} pages of {} bytes exceed the address space", pages, page_bytes);
  }
  const size_t bytes = stride * static_cast<size_t>(pages);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return failed("page pool: cannot reserve {} bytes", bytes);
  madvise(memory, bytes, MADV_HUGEPAGE);  // a wish: fewer TLB misses in attention
  return std::unique_ptr<PagePool>(
      new PagePool(page_bytes, stride, static_cast<std::byte*>(memory), pages));
}

PagePool::PagePool(size_t page_bytes, size_t stride, std::byte* memory, int64_t pages)
    : page_bytes_(page_bytes), stride_(stride), memory_(memory), references_(pages, 0) {}

PagePool::~PagePool() { munmap(memory_, stride_ * references_.size()); }

PageId PagePool::allocate() {
  PageId page;
  if (!free_.empty()) {
    page = free_.back();
    free_.pop_back();
  } else if (untouched_ < total()) {
    page = static_cast<PageId>(untouched_++);
  } else {
    return kNoPage;
  }
  CHECK(references_[page] == 0);
  references_[page] = 1;
  ++used_;
  return page;
}

bool PagePool::make_ready(int64_t pages, int64_t ahead) {
  const int64_t first = std::max(ready_, untouched_),
                last = std::min({first + pages, untouched_ + ahead, total()});
  if (last <= first) return false;
  if (!make_resident(
          {data(static_cast<PageId>(first)), stride_ * static_cast<size_t>(last - first)})) {
    ready_ = total();  // not to be tried again
    return false;
  }
  ready_ = last;
  return true;
}

void PagePool::retain(PageId page) {
  CHECK(references_[page] > 0);
  ++references_[page];
}

void PagePool::release(PageId page) {
  CHECK(references_[page] > 0);
  if (--references_[page] > 0) return;
  free_.push_back(page);
  --used_;
}

}  // namespace godwit::cache
