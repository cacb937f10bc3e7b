// Normalised patches in merge-block order, and which frames of a clip are taken.
//
//   frames (t,      2,  C, h/2,       2,      16, w/2,       2,      16)  =
//          (grid_t, tp, C, block_row, in_row, py, block_col, in_col, px)
//   row of pixel_values: (grid_t, block_row, block_col, in_row, in_col);
//   its 1536 values: (C, tp, py, px)
#include "media/patches.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/hash.h"

namespace godwit::media {
namespace {

// (x − 127.5)/127.5 in float32, as the reference computes it.
const std::array<float, 256>& normalised() {
  static const std::array<float, 256> table = [] {
    std::array<float, 256> values;
    for (int x = 0; x < 256; ++x) values[x] = (static_cast<float>(x) - 127.5f) / 127.5f;
    return values;
  }();
  return table;
}

// Writes one frame into its temporal place `tp` of grid slice `t`.
void write_frame(const Picture& frame, const PatchGeometry& geometry, const Grid& grid, int t,
                 int tp, float* out) {
  const std::array<float, 256>& value = normalised();
  const int patch = geometry.patch_size, merge = geometry.merge_size, row_bytes = frame.width * 3;
  const size_t channel =
      size_t(geometry.temporal_patch_size) * patch * patch;  // floats of one channel in a patch
  float* to = out + size_t(t) * grid.h * grid.w * 3 * channel + size_t(tp) * patch * patch;
  for (int block_row = 0; block_row < grid.h; block_row += merge) {
    for (int block_col = 0; block_col < grid.w; block_col += merge) {
      for (int in_block = 0; in_block < merge * merge; ++in_block, to += 3 * channel) {
        const int y = (block_row + in_block / merge) * patch,
                  x = (block_col + in_block % merge) * patch;
        for (int py = 0; py < patch; ++py) {
          const uint8_t* pixels = frame.rgb.data() + size_t(y + py) * row_bytes + 3 * x;
          float* red = to + py * patch;
          for (int px = 0; px < patch; ++px, pixels += 3) {
            red[px] = value[pixels[0]];
            red[channel + px] = value[pixels[1]];
            red[2 * channel + px] = value[pixels[2]];
          }
        }
      }
    }
  }
}

// The last frame written, at temporal place `tp` of its slice, is also what the places after it
// hold.
void repeat_frame(const PatchGeometry& geometry, const Grid& grid, int t, int tp, float* out) {
  const size_t plane = size_t(geometry.patch_size) * geometry.patch_size;
  const size_t rows = size_t(grid.h) * grid.w * 3;  // (patch, channel) pairs of a slice
  float* slice = out + size_t(t) * rows * geometry.temporal_patch_size * plane;
  for (size_t r = 0; r < rows; ++r, slice += geometry.temporal_patch_size * plane) {
    for (int place = tp + 1; place < geometry.temporal_patch_size; ++place) {
      std::memcpy(slice + place * plane, slice + tp * plane, plane * sizeof(float));
    }
  }
}

// A clip or picture is known by its grid and the pixels of its frames.
class ContentHasher {
 public:
  ContentHasher(const Grid& grid, const PatchGeometry& geometry) {
    const int32_t shape[] = {grid.t,
                             grid.h,
                             grid.w,
                             geometry.patch_size,
                             geometry.temporal_patch_size,
                             geometry.merge_size};
    hasher_.add(shape, sizeof shape);
  }
  void add(const Picture& frame) { hasher_.add(frame.rgb.data(), frame.rgb.size()); }
  ContentHash finish() const {
    const Hash128 hash = hasher_.finish();
    return {hash.low, hash.high};
  }

 private:
  Hasher hasher_;
};

int factor_of(const PatchGeometry& geometry) { return geometry.patch_size * geometry.merge_size; }

void allocate(PatchedMedia& media, const PatchGeometry& geometry) {
  media.pixel_values.resize(size_t(media.grid.patches()) * 3 * geometry.temporal_patch_size *
                            geometry.patch_size * geometry.patch_size);
}

}  // namespace

Result<PatchedMedia> patches_from_picture(const Picture& picture, PixelLimits limits,
                                          const PatchGeometry& geometry) {
  TRY(const Size size,
      smart_resize_image({picture.height, picture.width}, limits, factor_of(geometry)));
  PatchedMedia media;
  media.grid = {1, size.height / geometry.patch_size, size.width / geometry.patch_size};
  media.resized = resize_bicubic(picture, size);
  allocate(media, geometry);
  write_frame(media.resized, geometry, media.grid, 0, 0, media.pixel_values.data());
  repeat_frame(geometry, media.grid, 0, 0, media.pixel_values.data());
  ContentHasher hasher(media.grid, geometry);
  hasher.add(media.resized);
  media.content_hash = hasher.finish();
  return media;
}

std::vector<int> sample_frames(int total, double source_fps, const VideoSampling& sampling) {
  if (total <= 0) return {};
  int n;
  if (sampling.num_frames) {
    n = std::clamp(*sampling.num_frames, 1, total);
  } else {
    const double wanted = total / (source_fps > 0 ? source_fps : 24.0) * sampling.frames_per_second;
    const int rounded =
        wanted < sampling.max_frames ? static_cast<int>(wanted) : sampling.max_frames;
    n = std::min({std::max(rounded, sampling.min_frames), sampling.max_frames, total});
  }
  n = std::max(n, 1);
  std::vector<int> indices(n, 0);
  const double step = n > 1 ? static_cast<double>(total - 1) / (n - 1) : 0;
  for (int i = 0; i < n; ++i)
    indices[i] = static_cast<int>(std::nearbyint(i * step));  // halves to even
  if (n > 1) indices[n - 1] = total - 1;
  return indices;
}

std::vector<double> slice_seconds(const std::vector<int>& frame_indices, double source_fps,
                                  int temporal_patch_size) {
  const double fps = source_fps > 0 ? source_fps : 24.0;
  const int n = static_cast<int>(frame_indices.size());
  std::vector<double> seconds;
  for (int i = 0; i < n; i += temporal_patch_size) {
    const int last = std::min(i + temporal_patch_size, n) - 1;
    seconds.push_back((frame_indices[i] / fps + frame_indices[last] / fps) / 2);
  }
  return seconds;
}

struct ClipPatcher::State {
  State(PatchedMedia m, Size from, Size to, const PatchGeometry& g)
      : media(std::move(m)), source(from), resized(to), geometry(g), hasher(media.grid, g) {}
  PatchedMedia media;
  Size source, resized;
  PatchGeometry geometry;
  ContentHasher hasher;
  int done = 0;
};

ClipPatcher::ClipPatcher(std::unique_ptr<State> state) : state_(std::move(state)) {}
ClipPatcher::ClipPatcher(ClipPatcher&&) noexcept = default;
ClipPatcher& ClipPatcher::operator=(ClipPatcher&&) noexcept = default;
ClipPatcher::~ClipPatcher() = default;

Result<ClipPatcher> ClipPatcher::create(std::vector<int> frame_indices, double source_fps,
                                        Size source, PixelLimits limits,
                                        const PatchGeometry& geometry) {
  const int frames = static_cast<int>(frame_indices.size());
  TRY(const Size size, smart_resize_video(frames, source, limits, factor_of(geometry)));
  PatchedMedia media;
  const int slices = (frames + geometry.temporal_patch_size - 1) / geometry.temporal_patch_size;
  media.grid = {slices, size.height / geometry.patch_size, size.width / geometry.patch_size};
  media.slice_seconds =
      media::slice_seconds(frame_indices, source_fps, geometry.temporal_patch_size);
  media.frame_indices = std::move(frame_indices);
  allocate(media, geometry);
  return ClipPatcher(std::make_unique<State>(std::move(media), source, size, geometry));
}

void ClipPatcher::add(const Picture& frame) {
  State& s = *state_;
  CHECK(s.done < static_cast<int>(s.media.frame_indices.size()));
  CHECK(frame.width == s.source.width && frame.height == s.source.height);
  const Picture resized = resize_bicubic(frame, s.resized);
  s.hasher.add(resized);
  const int per_slice = s.geometry.temporal_patch_size;
  write_frame(resized, s.geometry, s.media.grid, s.done / per_slice, s.done % per_slice,
              s.media.pixel_values.data());
  ++s.done;
}

PatchedMedia ClipPatcher::finish() {
  State& s = *state_;
  CHECK(s.done == static_cast<int>(s.media.frame_indices.size()));
  const int last = s.done - 1, per_slice = s.geometry.temporal_patch_size;
  repeat_frame(s.geometry, s.media.grid, last / per_slice, last % per_slice,
               s.media.pixel_values.data());
  s.media.content_hash = s.hasher.finish();
  return std::move(s.media);
}

Result<PatchedMedia> patches_from_clip(const Clip& clip, PixelLimits limits,
                                       const PatchGeometry& geometry) {
  if (clip.frames.empty()) return bad_input("expected a clip with frames, found none");
  CHECK(clip.frames.size() == clip.frame_indices.size());
  const Size size{clip.frames[0].height, clip.frames[0].width};
  TRY(ClipPatcher patcher,
      ClipPatcher::create(clip.frame_indices, clip.source_fps, size, limits, geometry));
  for (const Picture& frame : clip.frames) patcher.add(frame);
  return patcher.finish();
}

}  // namespace godwit::media
