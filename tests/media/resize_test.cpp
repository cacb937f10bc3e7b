// Resizing and hashing beyond the goldens: what must hold for every size.
#include <gtest/gtest.h>

#include "media/patches.h"

namespace godwit::media {
namespace {

Picture noise(int width, int height, uint32_t seed) {
  Picture picture{width, height, {}};
  for (int i = 0; i < width * height * 3; ++i) {
    seed = seed * 1664525 + 1013904223;
    picture.rgb.push_back(static_cast<uint8_t>(seed >> 24));
  }
  return picture;
}

Picture transposed(const Picture& in) {
  Picture out{in.height, in.width, {}};
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) {
      const uint8_t* pixel = in.rgb.data() + (size_t(x) * in.width + y) * 3;
      out.rgb.insert(out.rgb.end(), pixel, pixel + 3);
    }
  }
  return out;
}

TEST(Resize, ConstantStaysConstant) {
  for (const int from : {1, 7, 33, 200}) {
    for (const int to : {32, 64, 96}) {
      const Picture grey{from, from + 1, std::vector<uint8_t>(size_t(from) * (from + 1) * 3, 77)};
      const Picture out = resize_bicubic(grey, {to, to + 32});
      EXPECT_EQ(out.rgb, std::vector<uint8_t>(size_t(to) * (to + 32) * 3, 77))
          << from << " to " << to;
    }
  }
}

// Either axis alone is the other one turned: the two passes agree.
TEST(Resize, AxesAgree) {
  for (const int from : {5, 31, 100, 333}) {
    const Picture wide = noise(from, 37, 1);
    const Picture out = resize_bicubic(wide, {37, 64});
    EXPECT_EQ(transposed(out).rgb, resize_bicubic(transposed(wide), {64, 37}).rgb) << from;
  }
}

TEST(ContentHash, FollowsPixelsAndGrid) {
  const PixelLimits limits{1024, 1 << 20};
  const Picture picture = noise(64, 64, 2);
  const ContentHash hash = patches_from_picture(picture, limits)->content_hash;
  EXPECT_EQ(hash, patches_from_picture(picture, limits)->content_hash);
  Picture other = picture;
  other.rgb[100] ^= 1;
  EXPECT_NE(hash, patches_from_picture(other, limits)->content_hash);
  const Picture wide{128, 32, picture.rgb};  // the same bytes in another shape
  EXPECT_NE(hash, patches_from_picture(wide, limits)->content_hash);
  const Clip still{{picture}, {0}, 2};
  EXPECT_EQ(hash, patches_from_clip(still, limits)->content_hash);  // the tower sees the same
}

TEST(Patches, LastFrameIsRepeated) {
  const PixelLimits limits{1024, 1 << 20};
  const Clip odd{{noise(32, 32, 1), noise(32, 32, 2), noise(32, 32, 3)}, {0, 4, 9}, 2};
  Clip even = odd;
  even.frames.push_back(even.frames[2]);
  even.frame_indices.push_back(9);
  const auto a = patches_from_clip(odd, limits), b = patches_from_clip(even, limits);
  EXPECT_EQ(a->pixel_values, b->pixel_values);
  EXPECT_EQ(a->slice_seconds, b->slice_seconds);
  EXPECT_EQ(a->slice_seconds, (std::vector<double>{1, 4.5}));
}

TEST(Sampling, OddRatesAreBounded) {
  EXPECT_EQ(sample_frames(0, 25), std::vector<int>{});
  EXPECT_EQ(sample_frames(1000000, 1e-300).size(), 768u);
  EXPECT_EQ(sample_frames(1000000, 1e300).size(), 4u);
  EXPECT_EQ(sample_frames(1000000, -1).size(), sample_frames(1000000, 24).size());
  EXPECT_EQ(sample_frames(10, 25, {.num_frames = 50}).size(), 10u);
  EXPECT_EQ(sample_frames(10, 25, {.num_frames = 0}), std::vector<int>{0});
}

}  // namespace
}  // namespace godwit::media
