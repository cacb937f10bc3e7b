#include "media/load.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "tests/media/media_goldens.h"
#include "tests/temporary_folder.h"

namespace godwit::media {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr PixelLimits kLimits{4096, 65536};

class FrameFolder : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_ / "a-folder"); }
  void put(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ / name) << bytes;
  }

  const TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
};

TEST_F(FrameFolder, IsReadInTheOrderOfNames) {
  const std::string upright = golden_bytes("files/jpeg-exif1.jpg"),
                    mirrored = golden_bytes("files/jpeg-exif2.jpg");
  put("10.jpg", mirrored);
  put("2.jpg", upright);  // as bytes, "10" comes before "2"
  put(".hidden", "no picture");
  const auto file = load_video_path(folder_, 4);
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(file->frames.size(), 2u);
  EXPECT_EQ(*file->frames[0], mirrored);
  const auto media = patches_from_video_file(*file, kLimits);
  ASSERT_TRUE(media) << media.error().message;
  EXPECT_EQ(media->frame_indices, (std::vector<int>{0, 1}));
  EXPECT_EQ(media->slice_seconds, std::vector<double>{0.125});
  const auto clip =
      clip_from_frames({*decode_picture(mirrored, "a"), *decode_picture(upright, "b")}, 4);
  EXPECT_EQ(media->content_hash, patches_from_clip(*clip, kLimits)->content_hash);
}

TEST_F(FrameFolder, OnlySampledFramesAreDecoded) {
  const std::string frame = golden_bytes("files/jpeg-exif1.jpg");
  for (int i = 10; i < 50; ++i) put(std::to_string(i), i % 10 == 5 ? "broken" : frame);
  const auto file = load_video_path(folder_, 20);  // 40 frames in two seconds: four are taken
  ASSERT_TRUE(file);
  const auto media = patches_from_video_file(*file, kLimits);
  ASSERT_TRUE(media) << media.error().message;
  EXPECT_EQ(media->frame_indices, (std::vector<int>{0, 13, 26, 39}));
}

TEST_F(FrameFolder, FaultsAreNamed) {
  EXPECT_THAT(load_video_path(folder_).error().message, HasSubstr("found it empty"));
  put("0", golden_bytes("files/jpeg-exif1.jpg"));
  EXPECT_THAT(load_video_path(folder_, 0).error().message, HasSubstr("positive"));
  put("1", golden_bytes("files/jpeg-exif6.jpg"));
  const auto mixed = patches_from_video_file(*load_video_path(folder_), kLimits);
  ASSERT_FALSE(mixed);
  EXPECT_THAT(
      mixed.error().message,
      HasSubstr(folder_.string() + "/1: expected 96 x 64 as the first frame is, found 64 x 96"));
  put("1", "text");
  EXPECT_THAT(patches_from_video_file(*load_video_path(folder_), kLimits).error().message,
              HasSubstr(folder_.string() + "/1: expected a JPEG"));
}

TEST(Load, AVideoIsSampledAtTheRateThatWasSaid) {
  const std::string clip = golden_path("video/h264.mp4");  // 30 frames, 25 a second
  const auto frames_at = [&](std::optional<double> fps) {
    return patches_from_video_file(*load_video_path(clip, fps), kLimits)->frame_indices.size();
  };
  EXPECT_EQ(frames_at({}), 4u);
  EXPECT_EQ(frames_at(5), 6u);
  EXPECT_EQ(frames_at(100), 30u);
}

TEST(Load, FilesAndTheirFaults) {
  const auto picture = load_picture_file(golden_path("files/rgb.png"));
  ASSERT_TRUE(picture);
  EXPECT_TRUE(patches_from_picture_file(*picture, kLimits));
  const auto video = load_video_path(golden_path("video/anim.gif"));
  ASSERT_TRUE(video);
  EXPECT_EQ(patches_from_video_file(*video, kLimits)->frame_indices,
            (std::vector<int>{0, 4, 7, 11}));
  EXPECT_FALSE(load_picture_file("/nowhere/a.png"));
  EXPECT_FALSE(load_picture_file(golden_path("files")));
  EXPECT_FALSE(load_video_path("/nowhere"));
  EXPECT_FALSE(load_picture_file(golden_path("files/rgb.png"), {.max_bytes = 10}));
}

}  // namespace
}  // namespace godwit::media
