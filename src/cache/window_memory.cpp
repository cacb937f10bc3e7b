#include "cache/window_memory.h"

#include <algorithm>

#include "base/check.h"

namespace godwit::cache {

int64_t WindowMemory::page_count(const CacheGeometry& geometry, int64_t positions) {
  return (positions + geometry.page_tokens - 1) / geometry.page_tokens + 1;
}

size_t WindowMemory::bytes(const CacheGeometry& geometry, int64_t positions) {
  return static_cast<size_t>(page_count(geometry, positions)) * geometry.page_bytes();
}

WindowMemory::WindowMemory(const CacheGeometry& geometry, int64_t positions)
    : page_tokens_(geometry.page_tokens), bytes_(bytes(geometry, positions)) {
  CHECK(geometry.recurrent_layers == 0);
  for (int64_t p = 0; p < page_count(geometry, positions); ++p)
    pages_.push_back(bytes_.data() + p * geometry.page_bytes());
}

SequenceView WindowMemory::view(int64_t tokens) {
  const auto room = static_cast<int64_t>(pages_.size()) * page_tokens_;
  CHECK(tokens > 0 && tokens <= room - page_tokens_);
  while (length_ + tokens > room) {
    std::rotate(pages_.begin(), pages_.begin() + 1, pages_.end());
    length_ -= page_tokens_;
  }
  return {.pages = pages_, .cached = length_, .recurrent = {}};
}

void WindowMemory::take_back(int64_t positions) {
  CHECK(positions >= 0 && positions <= length_);
  length_ -= positions;
}

}  // namespace godwit::cache
