// Picture: 8-bit RGB pixels from an encoded file, as the reference's processor reads them by path.
//
// JPEG, PNG, WebP, BMP, GIF (first frame). EXIF orientation applied, alpha dropped, palettes, grey,
// CMYK and 16-bit converted (goldens/media/README.md). Limits are checked from the header, before
// memory is spent.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace godwit::media {

struct Picture {
  int width = 0, height = 0;
  std::vector<uint8_t> rgb;  // [height, width, 3]
};

struct PictureLimits {
  size_t max_bytes = size_t{64} << 20;      // of the encoded file
  int64_t max_pixels = int64_t{100} << 20;  // of the decoded picture
  int64_t min_pixels = 1;
  int max_aspect = 200;  // longer side over shorter
};

// `name` stands in messages. Errors: unknown format (names what the first bytes look like), cut
// short, over a limit.
Result<Picture> decode_picture(std::string_view bytes, std::string_view name,
                               const PictureLimits& limits = {});

}  // namespace godwit::media
