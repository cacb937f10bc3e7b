// DecodedMedia: what waits between the decoder of pictures and clips and the vision tower, counted.
// A clip of kilobytes may have hundreds of megabytes of pixels, so no request with pictures is
// prepared while more than `limit` of them wait.
//
//   bytes held = Σ 4 · patches · values, of all that keep() gave out and somebody still has
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <utility>

#include "media/patches.h"

namespace godwit::engine {

// Any thread.
class DecodedMedia {
 public:
  // `released`: called after some were given back, on whatever thread did so.
  DecodedMedia(size_t limit, std::function<void()> released)
      : limit_(limit), released_(std::move(released)) {}

  // Counted until the last owner is gone. (This must be there as long.)
  std::shared_ptr<const media::PatchedMedia> keep(media::PatchedMedia patched) {
    const size_t bytes = patched.pixel_values.size() * sizeof(float);
    bytes_ += bytes;
    return {new media::PatchedMedia(std::move(patched)),
            [this, bytes](const media::PatchedMedia* gone) {
              delete gone;
              bytes_ -= bytes;
              released_();
            }};
  }
  size_t bytes() const { return bytes_; }
  bool is_full() const { return bytes_ > limit_; }

 private:
  const size_t limit_;
  const std::function<void()> released_;
  std::atomic<size_t> bytes_{0};
};

}  // namespace godwit::engine
