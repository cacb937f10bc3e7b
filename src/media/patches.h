// From pictures and clips to the vision tower's input: size, bicubic resize, normalised patches in merge-block order.
// Formulas: transformers' Qwen2VLImageProcessor and Qwen3VLVideoProcessor (bit-exact integer resize).
#pragma once

#include <cstdint>
#include <string>
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
Result<Size> smart_resize_image(Size size, PixelLimits limits, int factor = 32);
Result<Size> smart_resize_video(int frames, Size size, PixelLimits limits, int factor = 32);

Picture resize_bicubic(const Picture& picture, Size to);

struct Grid {
  int t = 0, h = 0, w = 0;  // in patches
  int64_t patches() const { return int64_t{t} * h * w; }
};

struct PatchedMedia {
  Grid grid;
  std::vector<float> pixel_values;        // [grid.patches(), 3 · temporal_patch · patch · patch], (x − 127.5)/127.5
  std::vector<double> slice_seconds;      // videos: timestamp of each temporal slice
  std::vector<int> frame_indices;         // videos: source frames used
  Picture resized;                        // pictures: the resized pixels (debug image)
  uint64_t content_hash = 0;              // of decoded pixels and grid: the vision cache's key
};

Result<PatchedMedia> patches_from_picture(const Picture& picture, PixelLimits limits, const PatchGeometry& geometry = {});

struct VideoSampling {
  double frames_per_second = 2;  // wanted
  int min_frames = 4, max_frames = 768;
};
// spec §4.4: indices of the frames to take, from `total` frames at `source_fps` (0: unknown, 24 is assumed).
std::vector<int> sample_frames(int total, double source_fps, const VideoSampling& sampling = {});

struct Clip {
  std::vector<Picture> frames;       // those that were sampled
  std::vector<int> frame_indices;    // their numbers in the source
  double source_fps = 0;
};
Result<PatchedMedia> patches_from_clip(const Clip& clip, PixelLimits limits, const PatchGeometry& geometry = {});

}  // namespace godwit::media
