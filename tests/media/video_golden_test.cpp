// Sampling, clips made of synthetic frames, and real files through ffmpeg.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "media/video.h"
#include "tests/media/media_goldens.h"

namespace godwit::media {
namespace {

std::vector<std::string> printed(const std::vector<double>& seconds) {
  std::vector<std::string> texts;
  for (const double s : seconds) texts.push_back(fmt::format("{:.1f}", s));
  return texts;
}

std::vector<std::string> strings(const Json& array) {
  std::vector<std::string> texts;
  for (const Json& item : array.items()) texts.push_back(item.as_string());
  return texts;
}

TEST(SamplingGolden, EveryCase) {
  const std::vector<Json> lines = golden_lines("video_sampling.jsonl");
  for (const Json& line : lines) {
    SCOPED_TRACE(line.dump().substr(0, 120));
    const double fps = at(line, "fps").is_null() ? 0 : at(line, "fps").as_double();
    VideoSampling sampling;
    if (has(line, "request_fps")) sampling.frames_per_second = at(line, "request_fps").as_double();
    if (has(line, "request_num_frames")) sampling.num_frames = int_at(line, "request_num_frames");
    const std::vector<int> indices = sample_frames(int_at(line, "total_num_frames"), fps, sampling);
    EXPECT_EQ(indices, ints(at(line, "indices")));
    EXPECT_EQ(printed(slice_seconds(indices, fps)), strings(at(line, "timestamps")));
  }
  EXPECT_EQ(lines.size(), 260u);
}

std::vector<Picture> synthetic_frames(int total, Size size, int pattern_seed) {
  std::vector<Picture> frames;
  for (int t = 0; t < total; ++t) {
    Picture frame{size.width, size.height, {}};
    for (int y = 0; y < size.height; ++y) {
      for (int x = 0; x < size.width; ++x) {
        for (const int m : {3, 5, 7}) {
          frame.rgb.push_back(static_cast<uint8_t>(2 * x + 3 * y + 4 * t * m + 11 * pattern_seed));
        }
      }
    }
    frames.push_back(std::move(frame));
  }
  return frames;
}

TEST(ClipGolden, SyntheticFrames) {
  int compared = 0;
  for (const Json& line : golden_lines("video_frames.jsonl")) {
    const int total = int_at(line, "total_num_frames");
    auto clip = clip_from_frames(
        synthetic_frames(total, size_of(at(line, "size")), int_at(line, "pattern_seed")),
        at(line, "fps").as_double());
    ASSERT_TRUE(clip) << clip.error().message;
    for (const char* variant : {"shipped", "reduced"}) {
      SCOPED_TRACE(text_at(line, "name") + " " + variant);
      const Json& expected = at(line, variant);
      const PixelLimits limits =
          has(expected, "limits") ? limits_of(at(expected, "limits")) : PixelLimits{4096, 25165824};
      auto media = patches_from_clip(*clip, limits);
      ++compared;
      if (total == 1) {  // refused by the newest reference only
        ASSERT_TRUE(media) << media.error().message;
        EXPECT_EQ(grid_of(*media), (std::vector<int>{1, 4, 4}));
        continue;
      }
      ASSERT_EQ(media.has_value(), !has(expected, "error"));
      if (!media) continue;
      EXPECT_EQ(media->frame_indices, ints(at(expected, "indices")));
      EXPECT_EQ(grid_of(*media), ints(at(expected, "grid_thw")));
      EXPECT_EQ(hash_of(media->pixel_values), text_at(expected, "pixel_values_sha256"));
    }
  }
  EXPECT_EQ(compared, 26);
}

// Largest distance of a frame's mean colour, and of its pixel at (2, 2), from the reference's.
double mean_difference(const Picture& frame, const Json& mean) {
  double worst = 0;
  for (int c = 0; c < 3; ++c) {
    double sum = 0;
    for (size_t i = c; i < frame.rgb.size(); i += 3) sum += frame.rgb[i];
    worst = std::max(worst, std::abs(sum / (frame.rgb.size() / 3) - mean.items()[c].as_double()));
  }
  return worst;
}
double corner_difference(const Picture& frame, const Json& corner) {
  double worst = 0;
  for (int c = 0; c < 3; ++c) {
    worst = std::max(
        worst, std::abs(frame.rgb[(2 * frame.width + 2) * 3 + c] - corner.items()[c].as_double()));
  }
  return worst;
}

TEST(VideoGolden, EveryFile) {
  int compared = 0;
  for (const Json& line : golden_lines("video_files.jsonl")) {
    const std::string name = text_at(line, "name");
    SCOPED_TRACE(name);
    const std::string bytes = golden_bytes(text_at(line, "file"));
    auto all = decode_video(bytes, name, {.num_frames = 1 << 20});
    ASSERT_TRUE(all) << all.error().message;
    const Size size = size_of(at(line, "size"));
    ASSERT_EQ(static_cast<int>(all->frames.size()), int_at(line, "num_frames"));
    EXPECT_DOUBLE_EQ(all->source_fps, at(line, "average_fps").as_double());
    const bool exact = name == "anim.gif";
    double mean = 0, corner = 0;
    for (size_t i = 0; i < all->frames.size(); ++i) {
      ASSERT_EQ(size, (Size{all->frames[i].height, all->frames[i].width}));
      mean = std::max(mean, mean_difference(all->frames[i], at(line, "mean_rgb").items()[i]));
      corner =
          std::max(corner, corner_difference(all->frames[i], at(line, "corner_rgb").items()[i]));
    }
    EXPECT_LE(mean, exact ? 0.001 : 3);  // the file has three decimals
    EXPECT_LE(corner, exact ? 0 : 3);
    RecordProperty(name + " mean", std::to_string(mean));
    RecordProperty(name + " corner", std::to_string(corner));

    const Json& expected = at(line, "processor");
    auto media = patches_from_video(bytes, name, {4096, 25165824});
    ASSERT_TRUE(media) << media.error().message;
    EXPECT_EQ(media->frame_indices, ints(at(expected, "indices")));
    EXPECT_EQ(grid_of(*media), ints(at(expected, "grid_thw")));
    EXPECT_EQ(printed(media->slice_seconds), strings(at(expected, "timestamps")));
    ++compared;
  }
  EXPECT_EQ(compared, 3);
}

}  // namespace
}  // namespace godwit::media
