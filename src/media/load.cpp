#include "media/load.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/folder.h"
#include "base/mapped_file.h"

namespace godwit::media {
namespace {

namespace fs = std::filesystem;

constexpr double kFolderRate = 2;  // frames a second

Result<std::vector<std::string>> names_in(const std::string& folder) {
  std::vector<std::string> names;
  const auto error = for_each_entry(folder, [&](const fs::directory_entry& entry) {
    std::string name = entry.path().filename().string();
    std::error_code ignored;
    if (name[0] != '.' && !entry.is_directory(ignored)) names.push_back(std::move(name));
  });
  if (error) return bad_input("{}: cannot read the folder: {}", folder, error.message());
  std::sort(names.begin(), names.end());
  return names;
}

Result<MediaFile> load_frames(const std::string& folder, double fps, const VideoLimits& limits) {
  TRY(const std::vector<std::string> names, names_in(folder));
  if (names.empty()) return bad_input("{}: expected a folder of pictures, found it empty", folder);
  MediaFile file{.name = folder, .bytes = nullptr, .frames_per_second = fps};
  size_t left = limits.max_bytes;
  for (const std::string& name : names) {
    std::string path = (fs::path(folder) / name).string();
    TRY(std::string bytes, read_file(path, left));
    left -= bytes.size();
    file.frames.push_back(std::make_shared<const std::string>(std::move(bytes)));
    file.frame_names.push_back(std::move(path));
  }
  return file;
}

Result<PatchedMedia> patches_from_frames(const MediaFile& file, PixelLimits limits,
                                         const VideoSampling& sampling,
                                         const PatchGeometry& geometry) {
  const double fps = file.frames_per_second > 0 ? file.frames_per_second : kFolderRate;
  const std::vector<int> indices =
      sample_frames(static_cast<int>(file.frames.size()), fps, sampling);
  std::optional<ClipPatcher> patcher;
  Size size{};
  for (const int index : indices) {
    const std::string name = file.frame_names.empty()
                                 ? fmt::format("{}, frame {}", file.name, index)
                                 : file.frame_names[index];
    TRY(const Picture frame, decode_picture(*file.frames[index], name));
    if (!patcher) {
      size = {frame.height, frame.width};
      auto created = ClipPatcher::create(indices, fps, size, limits, geometry);
      if (!created) return in_context(file.name, std::move(created.error()));
      patcher.emplace(std::move(*created));
    }
    if (frame.height != size.height || frame.width != size.width) {
      return bad_input("{}: expected {} x {} as the first frame is, found {} x {}", name,
                       size.width, size.height, frame.width, frame.height);
    }
    patcher->add(frame);
  }
  return patcher->finish();
}

}  // namespace

Result<MediaFile> load_picture_file(const std::string& path, const PictureLimits& limits) {
  TRY(std::string bytes, read_file(path, limits.max_bytes));
  return MediaFile{.name = path, .bytes = std::make_shared<const std::string>(std::move(bytes))};
}

Result<MediaFile> load_video_path(const std::string& path, std::optional<double> fps,
                                  const VideoLimits& limits) {
  if (fps && !(*fps > 0))
    return bad_input("{}: expected a positive number of frames a second, found {}", path, *fps);
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return load_frames(path, fps.value_or(0), limits);
  TRY(std::string bytes, read_file(path, limits.max_bytes));
  return MediaFile{.name = path,
                   .bytes = std::make_shared<const std::string>(std::move(bytes)),
                   .frames_per_second = fps.value_or(0)};
}

Result<PatchedMedia> patches_from_picture_file(const MediaFile& file, PixelLimits limits,
                                               const PictureLimits& picture_limits,
                                               const PatchGeometry& geometry) {
  TRY(const Picture picture, decode_picture(*file.bytes, file.name, picture_limits));
  auto media = patches_from_picture(picture, limits, geometry);
  if (!media) return in_context(file.name, std::move(media.error()));
  return media;
}

Result<PatchedMedia> patches_from_video_file(const MediaFile& file, PixelLimits limits,
                                             const VideoSampling& sampling,
                                             const VideoLimits& video_limits,
                                             const PatchGeometry& geometry) {
  if (file.bytes) {
    VideoSampling wanted = sampling;
    if (file.frames_per_second > 0) wanted.frames_per_second = file.frames_per_second;
    return patches_from_video(*file.bytes, file.name, limits, wanted, video_limits, geometry);
  }
  if (file.frames.empty())
    return bad_input("{}: expected a clip with frames, found none", file.name);
  return patches_from_frames(file, limits, sampling, geometry);
}

}  // namespace godwit::media
