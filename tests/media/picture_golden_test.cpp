// Every encoded file of the goldens: pixels, resized pixels and patches, to the bit.
#include <gtest/gtest.h>

#include "tests/media/media_goldens.h"

namespace godwit::media {
namespace {

bool is_refused_format(const std::string& name) { return name == "rgb.tiff" || name == "rgb.ppm"; }

TEST(PictureGolden, EveryFile) {
  int compared = 0;
  for (const Json& line : golden_lines("files.jsonl")) {
    const std::string name = text_at(line, "name");
    SCOPED_TRACE(name);
    auto picture = decode_picture(golden_bytes(text_at(line, "file")), name);
    if (is_refused_format(name)) {
      ASSERT_FALSE(picture);
      continue;
    }
    ASSERT_TRUE(picture) << picture.error().message;
    const Json& route = at(at(line, "routes"), text_at(line, "expected_route"));
    const Size size = size_of(at(route, "size"));
    EXPECT_EQ(size, (Size{picture->height, picture->width}));
    EXPECT_EQ(hash_of(*picture), text_at(route, "sha256"));

    auto media = patches_from_picture(*picture, limits_of(at(line, "limits")));
    ASSERT_TRUE(media) << media.error().message;
    const Json& expected = at(line, "expected");
    EXPECT_EQ(grid_of(*media), ints(at(expected, "grid_thw")));
    EXPECT_EQ(image_tokens(media->grid), int_at(expected, "tokens"));
    EXPECT_EQ(hash_of(media->resized), text_at(expected, "resized_sha256"));
    EXPECT_EQ(hash_of(media->pixel_values), text_at(expected, "pixel_values_sha256"));
    ++compared;
  }
  EXPECT_EQ(compared, 36);
}

TEST(PictureGolden, FormatsThatAreNotReadAreNamed) {
  auto tiff = decode_picture(golden_bytes("files/rgb.tiff"), "a.tiff");
  ASSERT_FALSE(tiff);
  EXPECT_EQ(tiff.error().message,
            "a.tiff: expected a JPEG, PNG, WebP, BMP or GIF picture, found a TIFF picture");
  auto ppm = decode_picture(golden_bytes("files/rgb.ppm"), "a.ppm");
  ASSERT_FALSE(ppm);
  EXPECT_EQ(ppm.error().message,
            "a.ppm: expected a JPEG, PNG, WebP, BMP or GIF picture, found a PPM/PGM/PBM picture");
}

}  // namespace
}  // namespace godwit::media
