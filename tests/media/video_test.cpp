// Clips that are turned, damaged, hostile or no clips at all.
#include "media/video.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "base/mapped_file.h"
#include "tests/media/media_goldens.h"
#include "tests/temporary_folder.h"

namespace godwit::media {
namespace {

using testing::HasSubstr;

template <class T>
std::string message_of(const Result<T>& result) {
  return result ? "no error" : result.error().message;
}

std::string data(const std::string& name) {
  auto bytes = read_file(GODWIT_SOURCE_DIR "/tests/media/data/" + name);
  EXPECT_TRUE(bytes);
  return bytes.value_or("");
}

TEST(Video, RotationIsApplied) {
  // h264.mp4, to be turned by 90° counterclockwise.
  const std::string rotated = data("rotated.mp4");
  const auto upright = decode_video(golden_bytes("video/h264.mp4"), "h264.mp4");
  const auto turned = decode_video(rotated, "rotated.mp4");
  ASSERT_TRUE(turned) << message_of(turned);
  ASSERT_EQ(turned->frames.size(), upright->frames.size());
  const Picture &a = upright->frames[1], &b = turned->frames[1];
  ASSERT_EQ(b.width, a.height);
  ASSERT_EQ(b.height, a.width);
  int worst = 0;
  for (int y = 0; y < b.height; ++y) {
    for (int x = 0; x < b.width; ++x) {
      for (int c = 0; c < 3; ++c) {
        worst = std::max(worst, std::abs(b.rgb[(y * b.width + x) * 3 + c] -
                                         a.rgb[(x * a.width + a.width - 1 - y) * 3 + c]));
      }
    }
  }
  EXPECT_LE(worst, 8);  // chroma is interpolated along the other axis
}

TEST(Video, PicturesAndOneFrame) {
  const auto still = decode_video(golden_bytes("files/still.gif"), "still.gif");
  ASSERT_TRUE(still) << message_of(still);
  EXPECT_EQ(still->frames.size(), 1u);
  EXPECT_EQ(still->frames[0].rgb,
            decode_picture(golden_bytes("files/still.gif"), "still.gif")->rgb);
  EXPECT_THAT(message_of(decode_video(golden_bytes("files/rgb.png"), "rgb.png")),
              HasSubstr("rgb.png: expected a video"));
}

TEST(Video, FilesThatNameOtherFilesAreRefused) {
  const std::string target = golden_path("video/h264.mp4");
  for (const std::string& text :
       {"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n" + target + "\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '" + target + "'\n", std::string("file:///etc/passwd\n"),
        std::string("hello"), std::string(), std::string(100000, '\0')}) {
    EXPECT_THAT(message_of(decode_video(text, "playlist")), HasSubstr("playlist: expected a video"))
        << text.substr(0, 30);
  }
}

TEST(Video, SoundAloneIsRefused) {
  EXPECT_EQ(message_of(decode_video(data("sound.ogg"), "sound.ogg")),
            "sound.ogg: expected a video, found no picture stream");
}

// Nine packets, one of which holds no frame: the eight others are the clip.
TEST(Video, PacketsWithoutAFrameDoNotCount) {
  std::string bytes = data("mjpeg.avi");
  const VideoSampling all{.num_frames = 100};
  ASSERT_EQ(decode_video(bytes, "whole", all)->frames.size(), 9u);
  const size_t start = bytes.rfind("\xff\xd8"), end = bytes.rfind("\xff\xd9") + 2;
  ASSERT_LT(start, end);
  bytes.replace(start, end - start, std::string(end - start, '\0'));
  const auto clip = decode_video(bytes, "damaged", all);
  ASSERT_TRUE(clip) << message_of(clip);
  EXPECT_EQ(clip->frames.size(), 8u);
}

// A clip that is looked at all the same, with a word.
TEST(Video, DamageIsTold) {
  const auto said = [](const std::string& bytes) {
    testing::internal::CaptureStderr();
    const auto clip = decode_video(bytes, "clip");
    const std::string line = testing::internal::GetCapturedStderr();
    return clip ? line : clip.error().message;
  };
  for (const char* name : {"video/h264.mp4", "video/vp9.webm", "video/anim.gif"})
    EXPECT_EQ(said(golden_bytes(name)), "") << name;
  EXPECT_EQ(said(data("rotated.mp4")), "");
  const std::string webm = golden_bytes("video/vp9.webm");
  EXPECT_THAT(said(webm.substr(0, webm.size() * 6 / 10)),
              testing::ContainsRegex("clip: expected 1.0 seconds of pictures, found 0\\.[0-9]: is "
                                     "the file cut short"));
  // Sound that goes on longer than the pictures.
  const TemporaryFolder folder;
  const std::string path = folder.string() + "/sound.mkv";
  const std::string command =
      "ffmpeg -v error -f lavfi -i testsrc=d=1:s=64x64:r=10 -f lavfi -i "
      "sine=d=3 -c:v mjpeg -c:a pcm_s16le " +
      path;
  ASSERT_EQ(std::system(command.c_str()), 0);
  EXPECT_EQ(said(read_file(path).value()), "");
  std::string avi = data("mjpeg.avi");
  avi.replace(avi.rfind("\xff\xd8") + 200, 100, std::string(100, '\xff'));
  EXPECT_THAT(said(avi), HasSubstr("clip: the video is damaged: "));
}

TEST(Video, CutFilesGiveAClipOrAnError) {
  for (const std::string name : {"video/h264.mp4", "video/vp9.webm", "video/anim.gif"}) {
    const std::string bytes = golden_bytes(name);
    for (const double part : {0.02, 0.3, 0.6, 0.95}) {
      const auto clip =
          decode_video(bytes.substr(0, static_cast<size_t>(bytes.size() * part)), name);
      if (clip) {
        EXPECT_EQ(clip->frames.size(), clip->frame_indices.size());
      } else {
        EXPECT_THAT(clip.error().message, HasSubstr(name));
        EXPECT_EQ(clip.error().message.find('\n'), std::string::npos);
      }
    }
  }
}

TEST(Video, LimitsHold) {
  const std::string bytes = golden_bytes("video/h264.mp4");
  EXPECT_THAT(message_of(decode_video(bytes, "v", {}, {.max_bytes = 10})),
              HasSubstr("at most 10 bytes"));
  EXPECT_FALSE(decode_video(bytes, "v", {}, {.max_pixels_per_frame = 1000}));
  EXPECT_THAT(message_of(decode_video(bytes, "v", {}, {.max_total_pixels = 12288 * 3})),
              HasSubstr("over all frames"));
  EXPECT_TRUE(decode_video(bytes, "v", {}, {.max_total_pixels = 12288 * 4}));
  const std::atomic<bool> cancelled = true;
  EXPECT_THAT(message_of(decode_video(bytes, "v", {}, {.cancelled = &cancelled})),
              HasSubstr("cancelled"));
}

TEST(Video, ManySampledFrames) {
  const std::string bytes = golden_bytes("video/h264.mp4");
  for (const int n : {1, 2, 3, 7, 29, 30, 31}) {
    const auto clip = decode_video(bytes, "v", {.num_frames = n});
    ASSERT_TRUE(clip) << message_of(clip);
    EXPECT_EQ(static_cast<int>(clip->frames.size()), std::min(n, 30));
  }
}

TEST(ClipFromFrames, SizesMustAgree) {
  const Picture small{2, 2, std::vector<uint8_t>(12)}, wide{4, 1, std::vector<uint8_t>(12)};
  EXPECT_EQ(message_of(clip_from_frames({small, wide}, 2)),
            "expected all frames to be 2 x 2, found 4 x 1 in frame 1");
  EXPECT_FALSE(clip_from_frames({}, 2));
}

}  // namespace
}  // namespace godwit::media
