// Clips: an encoded file through an ffmpeg child process, or frames given as pictures with a rate.
#pragma once

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "media/patches.h"

namespace godwit::media {

struct VideoLimits {
  size_t max_bytes = size_t{512} << 20;
  int max_seconds_of_work = 120;                     // the child is killed after that
  int64_t max_pixels_per_frame = int64_t{36} << 20;  // 8K
  int64_t max_total_pixels = int64_t{1} << 30;  // over the frames that decode_video holds together
  const std::atomic<bool>* cancelled =
      nullptr;  // set by another thread: the child is killed within a tenth of a second
};

// Runs ffprobe and ffmpeg on the bytes (through a file in memory that has no name; only containers
// that cannot refer to other files are let in) and takes the sampled frames only. Rotation is
// applied; frames are counted, and the rate measured, over the packets, as torchcodec does. The
// child is killed on error, on the time limit and on `cancelled`.
Result<Clip> decode_video(std::string_view bytes, std::string_view name,
                          const VideoSampling& sampling = {}, const VideoLimits& limits = {});

// The same, but each frame becomes patches as it comes: memory for one frame and the patches.
Result<PatchedMedia> patches_from_video(std::string_view bytes, std::string_view name,
                                        PixelLimits pixel_limits,
                                        const VideoSampling& sampling = {},
                                        const VideoLimits& limits = {},
                                        const PatchGeometry& geometry = {});

// Frames that are already pictures at `fps`, in order; sampled like a file. All must have one size.
Result<Clip> clip_from_frames(std::vector<Picture> frames, double fps,
                              const VideoSampling& sampling = {});

}  // namespace godwit::media
