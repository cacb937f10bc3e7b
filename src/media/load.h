// Pictures and clips from the disk: bytes only, decoded later (by the engine, or by
// patches_from_media).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "media/patches.h"
#include "media/picture.h"
#include "media/video.h"

namespace godwit::media {

// An encoded picture or video (`bytes`), or a clip as picture files in order (`frames`; `bytes` is
// then null).
struct MediaFile {
  std::string name;
  std::shared_ptr<const std::string> bytes;
  std::vector<std::shared_ptr<const std::string>> frames;
  // The rate that `frames` lie at (2 unless said), or that a video is sampled with (the model's
  // unless said); 0: not said.
  double frames_per_second = 0;
  std::vector<std::string> frame_names;  // for messages; none: they are numbered
};

Result<MediaFile> load_picture_file(const std::string& path, const PictureLimits& limits = {});

// A video file, of which `fps` frames a second will be taken, or a folder of frames in the order of
// their names (as bytes), `fps` a second; hidden files are left out.
Result<MediaFile> load_video_path(const std::string& path, std::optional<double> fps = {},
                                  const VideoLimits& limits = {});

// Decoded, sampled and patched: what the vision tower takes. Of a folder's frames only the sampled
// are decoded.
Result<PatchedMedia> patches_from_picture_file(const MediaFile& file, PixelLimits limits,
                                               const PictureLimits& picture_limits = {},
                                               const PatchGeometry& geometry = {});
Result<PatchedMedia> patches_from_video_file(const MediaFile& file, PixelLimits limits,
                                             const VideoSampling& sampling = {},
                                             const VideoLimits& video_limits = {},
                                             const PatchGeometry& geometry = {});

}  // namespace godwit::media
