// PagePool: all memory of the caches, in pages of one size, counted by reference.
//
// Keys and values of 64 positions fill a page; snapshots of recurrent states are cut into pages
// too, so that one budget in one unit holds both and nothing fragments. The memory is reserved once
// and touched when first used; a page that was given back is the next to be given out, so what is
// resident follows the highest use, and what make_ready() was asked for ahead of it. One thread
// only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"

namespace godwit::cache {

using PageId = int32_t;
constexpr PageId kNoPage = -1;

class PagePool {
 public:
  // Fails if the address space cannot be had.
  static Result<std::unique_ptr<PagePool>> create(size_t page_bytes, int64_t pages);
  ~PagePool();
  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;

  PageId allocate();  // with one reference; kNoPage if none is free
  // Makes up to `pages` that were never given out resident, as long as fewer than `ahead` are.
  // False: so many are, or no more can be.
  bool make_ready(int64_t pages, int64_t ahead);
  void retain(PageId page);
  void release(PageId page);
  int references(PageId page) const { return references_[page]; }
  std::byte* data(PageId page) const { return memory_ + stride_ * static_cast<size_t>(page); }

  size_t page_bytes() const { return page_bytes_; }
  int64_t total() const { return static_cast<int64_t>(references_.size()); }
  int64_t free() const { return total() - used_; }
  int64_t used() const { return used_; }

 private:
  PagePool(size_t page_bytes, size_t stride, std::byte* memory, int64_t pages);

  size_t page_bytes_, stride_;
  std::byte* memory_;
  std::vector<int32_t> references_;  // per page; 0: free
  std::vector<PageId> free_;         // given back, the last on top
  int64_t untouched_ = 0;            // pages from here on were never given out
  int64_t used_ = 0;
  int64_t ready_ = 0;  // pages before it are resident
};

}  // namespace godwit::cache
