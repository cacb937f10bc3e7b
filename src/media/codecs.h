// What picture.cpp shares with its decoders, one file a format. Private to this folder.
#pragma once

#include <string_view>

#include "base/result.h"
#include "media/picture.h"

namespace godwit::media {

struct Decoded {
  Picture picture;
  int orientation = 1;  // EXIF's, 1…8
};

// To be called with a header's numbers before memory is asked for.
Status check_picture_size(int64_t width, int64_t height, const PictureLimits& limits);
// As above, then a picture of black pixels.
Result<Picture> make_picture(int64_t width, int64_t height, const PictureLimits& limits);

Result<Decoded> decode_jpeg(std::string_view bytes, const PictureLimits& limits);
Result<Decoded> decode_png(std::string_view bytes, const PictureLimits& limits);
Result<Decoded> decode_webp(std::string_view bytes, const PictureLimits& limits);
Result<Decoded> decode_bmp(std::string_view bytes, const PictureLimits& limits);
Result<Decoded> decode_gif(std::string_view bytes, const PictureLimits& limits);

// The orientation tag of a TIFF block (what follows "Exif\0\0"); 1 if there is none or it makes no
// sense.
int exif_orientation(std::string_view tiff);

inline uint32_t byte_at(std::string_view bytes, size_t i) { return static_cast<uint8_t>(bytes[i]); }
inline uint32_t little16(std::string_view bytes, size_t i) {
  return byte_at(bytes, i) | byte_at(bytes, i + 1) << 8;
}
inline uint32_t little32(std::string_view bytes, size_t i) {
  return little16(bytes, i) | little16(bytes, i + 2) << 16;
}

}  // namespace godwit::media
