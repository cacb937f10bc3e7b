// godwit debug image, video: what the vision tower sees of a file, as safetensors.
#include "checkpoint/model_folder.h"
#include "checkpoint/tensor_source.h"
#include "cli/session.h"
#include "engine/conventions.h"
#include "media/load.h"

namespace godwit::cli {
namespace {

using tensor::DType;
using tensor::Shape;

enum class MediaKind { kPicture, kClip };

// The model's limits, or those given.
Result<media::PixelLimits> pixel_limits(const DebugMediaOptions& options, MediaKind kind) {
  const auto checked = [](media::PixelLimits limits) -> Result<media::PixelLimits> {
    if (limits.min_pixels > limits.max_pixels)
      return bad_input("--min-pixels: expected at most the largest area {}, found {}",
                       limits.max_pixels, limits.min_pixels);
    return limits;
  };
  if (options.min_pixels && options.max_pixels)
    return checked({*options.min_pixels, *options.max_pixels});
  std::string model = options.model;
  if (model.empty()) {
    TRY(model, demonstration_model());
  }
  TRY(const auto files, checkpoint::open_model_files(model));
  TRY(const auto config, model::read_config(files));
  TRY(const auto tokenizer, engine::open_tokenizer(files));
  TRY(const auto conventions, engine::read_conventions(files, config, *tokenizer));
  auto limits = kind == MediaKind::kPicture ? conventions.picture_limits : conventions.video_limits;
  limits.min_pixels = options.min_pixels.value_or(limits.min_pixels);
  limits.max_pixels = options.max_pixels.value_or(limits.max_pixels);
  return checked(limits);
}

template <class T>
checkpoint::NamedTensor named(const std::string& name, DType dtype, Shape shape,
                              const std::vector<T>& values) {
  return {name, {reinterpret_cast<const std::byte*>(values.data()), dtype, shape}};
}

Status debug_image(const DebugMediaOptions& options) {
  TRY(const auto limits, pixel_limits(options, MediaKind::kPicture));
  TRY(const auto file, media::load_picture_file(options.file));
  TRY(const auto patched, media::patches_from_picture_file(file, limits));
  const std::vector<int64_t> grid = {patched.grid.t, patched.grid.h, patched.grid.w};
  const int64_t n = patched.grid.patches();
  const auto& resized = patched.resized;
  return checkpoint::write_safetensors(
      options.output,
      {named("resized", DType::kU8, {resized.height, resized.width, 3}, resized.rgb),
       named("pixel_values", DType::kF32,
             {n, static_cast<int64_t>(patched.pixel_values.size()) / n}, patched.pixel_values),
       named("image_grid_thw", DType::kI64, {1, 3}, grid)});
}

Status debug_video(const DebugMediaOptions& options) {
  TRY(const auto limits, pixel_limits(options, MediaKind::kClip));
  TRY(const auto file, media::load_video_path(options.file, options.fps));
  TRY(const auto patched, media::patches_from_video_file(file, limits));
  const std::vector<int64_t> grid = {patched.grid.t, patched.grid.h, patched.grid.w};
  const std::vector<int64_t> indices(patched.frame_indices.begin(), patched.frame_indices.end());
  const std::vector<float> timestamps(patched.slice_seconds.begin(), patched.slice_seconds.end());
  const int64_t n = patched.grid.patches();
  return checkpoint::write_safetensors(
      options.output,
      {named("pixel_values_videos", DType::kF32,
             {n, static_cast<int64_t>(patched.pixel_values.size()) / n}, patched.pixel_values),
       named("video_grid_thw", DType::kI64, {1, 3}, grid),
       named("indices", DType::kI64, {static_cast<int64_t>(indices.size())}, indices),
       named("timestamps", DType::kF32, {static_cast<int64_t>(timestamps.size())}, timestamps)});
}

int exit_code(const Status& status) { return status ? kDone : report(status.error()); }

}  // namespace

int debug_image_command(const DebugMediaOptions& options) {
  return exit_code(debug_image(options));
}
int debug_video_command(const DebugMediaOptions& options) {
  return exit_code(debug_video(options));
}

}  // namespace godwit::cli
