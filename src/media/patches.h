// From pictures and clips to the vision tower's input: size, bicubic resize, normalised patches in
// merge-block order. Formulas: transformers' Qwen2VLImageProcessor and Qwen3VLVideoProcessor
// (bit-exact integer resize).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "media/picture.h"

namespace godwit::media {

// What preprocessor_config.json says; the model's numbers, passed in.
struct PatchGeometry {
  int patch_size = 16, temporal_patch_size = 2, merge_size = 2;
};
struct PixelLimits {
  int64_t min_pixels, max_pixels;  // areas: size.shortest_edge and size.longest_edge of the files
};

struct Size {
  int height, width;
  bool operator==(const Size&) const = default;
};
// The size that a picture is resized to: both sides multiples of `factor` (patch · merge size), the
// area within limits, the aspect nearly kept (the rounding of the reference, spec §4). An error if
// the aspect is beyond 200 : 1. For video, limits.max_pixels bounds frames · height · width.
Result<Size> smart_resize_image(Size size, PixelLimits limits, int factor = 32);
Result<Size> smart_resize_video(int frames, Size size, PixelLimits limits, int factor = 32);

// Bicubic with antialiasing in integers, bit for bit as the reference's (tests/goldens/media).
Picture resize_bicubic(const Picture& picture, Size to);

struct Grid {
  int t = 0, h = 0, w = 0;  // in patches
  int64_t patches() const { return int64_t{t} * h * w; }
};

// 128 bits of XXH3 over the resized pixels, the grid and the geometry: all that the vision tower
// sees. As a cache's key it stands for the content itself, so two pictures must not share it by
// chance; it is no defence against an attacker who computes collisions.
struct ContentHash {
  uint64_t low = 0, high = 0;
  auto operator<=>(const ContentHash&) const = default;
};

struct PatchedMedia {
  Grid grid;
  std::vector<float>
      pixel_values;  // [grid.patches(), 3 · temporal_patch · patch · patch], (x − 127.5)/127.5
  std::vector<double> slice_seconds;  // videos: timestamp of each temporal slice
  std::vector<int> frame_indices;     // videos: source frames used
  Picture resized;                    // pictures: the resized pixels (debug image)
  ContentHash content_hash;           // the vision cache's key
};

Result<PatchedMedia> patches_from_picture(const Picture& picture, PixelLimits limits,
                                          const PatchGeometry& geometry = {});

// Placeholder tokens in the prompt (spec §3.9). A video's slices each stand alone, after `<T
// seconds>`.
inline int64_t tokens_per_slice(const Grid& grid, int merge_size = 2) {
  return int64_t{grid.h} * grid.w / (merge_size * merge_size);
}
inline int64_t image_tokens(const Grid& grid, int merge_size = 2) {
  return grid.t * tokens_per_slice(grid, merge_size);
}

struct VideoSampling {
  double frames_per_second = 2;  // wanted
  int min_frames = 4, max_frames = 768;
  std::optional<int> num_frames;  // exactly so many (at most all) instead of a rate
};
// spec §4.4: indices of the frames to take, from `total` frames at `source_fps` (0: unknown, 24 is
// assumed).
std::vector<int> sample_frames(int total, double source_fps, const VideoSampling& sampling = {});

// Mean time of the frames of each temporal slice, seconds; the last index is repeated to fill the
// last slice.
std::vector<double> slice_seconds(const std::vector<int>& frame_indices, double source_fps,
                                  int temporal_patch_size = 2);

struct Clip {
  std::vector<Picture> frames;     // those that were sampled
  std::vector<int> frame_indices;  // their numbers in the source
  double source_fps = 0;
};
Result<PatchedMedia> patches_from_clip(const Clip& clip, PixelLimits limits,
                                       const PatchGeometry& geometry = {});

// patches_from_clip for frames that come one after another, so that a long clip is never in memory
// as a whole.
class ClipPatcher {
 public:
  // Errors: no frame, or an aspect beyond the limit.
  static Result<ClipPatcher> create(std::vector<int> frame_indices, double source_fps, Size source,
                                    PixelLimits limits, const PatchGeometry& geometry = {});
  ClipPatcher(ClipPatcher&&) noexcept;
  ClipPatcher& operator=(ClipPatcher&&) noexcept;
  ~ClipPatcher();
  void add(
      const Picture& frame);  // exactly as many as there are indices, each of the source's size
  PatchedMedia finish();

 private:
  struct State;
  explicit ClipPatcher(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace godwit::media
