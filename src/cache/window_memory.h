// WindowMemory: keys and values of the last positions of one sequence, in pages of its own. What is
// older is forgotten, a page at a time: attention does not ask where a row lies, because keys are
// stored turned by their positions.
//
//   pages   [oldest] [ ] [ ] … [newest, partly filled]     the oldest becomes the next newest
#pragma once

#include <cstdint>
#include <vector>

#include "cache/views.h"
#include "tensor/view.h"

namespace godwit::cache {

class WindowMemory {
 public:
  // At least `positions` are remembered. The geometry has no recurrent layers.
  WindowMemory(const CacheGeometry& geometry, int64_t positions);

  int64_t length() const { return length_; }  // positions that are remembered
  // What the model sees, for a call of at most `positions` tokens. Valid until the next call.
  SequenceView view(int64_t tokens);
  void advance(int64_t tokens) { length_ += tokens; }  // the call is done
  void take_back(int64_t positions);                   // the newest

  static size_t bytes(const CacheGeometry& geometry, int64_t positions);

 private:
  static int64_t page_count(const CacheGeometry& geometry, int64_t positions);

  const int64_t page_tokens_;
  tensor::AlignedBuffer<std::byte> bytes_;
  std::vector<std::byte*> pages_;
  int64_t length_ = 0;
};

}  // namespace godwit::cache
