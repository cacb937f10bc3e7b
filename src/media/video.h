// Clips: an encoded file through an ffmpeg child process, or frames given as pictures with a rate.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "media/patches.h"

namespace godwit::media {

struct VideoLimits {
  size_t max_bytes = size_t{512} << 20;
  int max_seconds_of_work = 120;              // the child is killed after that
  int64_t max_pixels_per_frame = int64_t{16} << 20;
  int64_t max_total_pixels = int64_t{1} << 31;  // over the sampled frames
};

// Runs ffprobe and ffmpeg on the bytes (through a pipe or an unlinked file; never a name that the child could
// reinterpret), takes the sampled frames only. Killed on error, on the time limit and when the caller goes away.
Result<Clip> decode_video(std::string_view bytes, std::string_view name, const VideoSampling& sampling = {},
                          const VideoLimits& limits = {});

// Frames that are already pictures at `fps`, in order; sampled like a file. All must have one size.
Result<Clip> clip_from_frames(std::vector<Picture> frames, double fps, const VideoSampling& sampling = {});

}  // namespace godwit::media
