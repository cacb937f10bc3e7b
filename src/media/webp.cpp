// WebP through libwebp: lossy or lossless, alpha dropped, the first frame of an animation on a
// black canvas, orientation from an EXIF chunk.
//
//   "RIFF" size "WEBP" · chunks {name, size, bytes, padded to even}
//   a still picture is one VP8 or VP8L chunk, after VP8X (canvas) and ALPH perhaps;
//   an animation's frames are ANMF chunks
#include <webp/decode.h>

#include <algorithm>
#include <cstring>

#include "media/codecs.h"

namespace godwit::media {
namespace {

struct WebpLayout {
  std::string_view frame;  // ANMF's content, of the first one
  std::string_view exif;
};

// Walks the chunks. The last one may not be longer than the file.
Result<WebpLayout> read_layout(std::string_view bytes) {
  const size_t end = size_t{little32(bytes, 4)} + 8;
  if (end > bytes.size())
    return bad_input("WebP: cut short: expected {} bytes, found {}", end, bytes.size());
  WebpLayout layout;
  for (size_t at = 12; at + 8 <= end;) {
    const std::string_view name = bytes.substr(at, 4);
    const size_t size = little32(bytes, at + 4);
    at += 8;
    if (size > end - at) return bad_input("WebP: cut short in chunk at byte {}", at - 8);
    const std::string_view content = bytes.substr(at, size);
    if (name == "ANMF" && layout.frame.empty()) layout.frame = content;
    if (name == "EXIF") layout.exif = content;
    at += size + (size & 1);
  }
  return layout;
}

Status decode_into(std::string_view bytes, uint8_t* rgb, int width, int height, int stride) {
  // The library may write a row less than the stride at the end.
  const size_t size = static_cast<size_t>(stride) * (height - 1) + static_cast<size_t>(width) * 3;
  if (!WebPDecodeRGBInto(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), rgb, size,
                         stride)) {
    return bad_input("WebP: damaged or cut short");
  }
  return {};
}

Result<WebPBitstreamFeatures> features_of(std::string_view bytes) {
  WebPBitstreamFeatures features;
  const auto status =
      WebPGetFeatures(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), &features);
  if (status == VP8_STATUS_NOT_ENOUGH_DATA) return bad_input("WebP: cut short");
  if (status != VP8_STATUS_OK) return bad_input("WebP: expected a picture, found a damaged header");
  return features;
}

// An ANMF chunk: x/2, y/2, width−1, height−1, duration (24 bits each), flags, then the frame's own
// chunks.
Status decode_frame(std::string_view frame, Picture& canvas) {
  constexpr size_t kHeader = 16;
  if (frame.size() < kHeader) return bad_input("WebP: cut short in an animation's frame");
  const auto u24 = [&](size_t i) {
    return static_cast<int>(little16(frame, i) | byte_at(frame, i + 2) << 16);
  };
  const int x = 2 * u24(0), y = 2 * u24(3);
  const std::string_view content = frame.substr(kHeader);
  TRY(const WebPBitstreamFeatures features, features_of(content));
  if (features.width != u24(6) + 1 || features.height != u24(9) + 1 ||
      features.width > canvas.width - x || features.height > canvas.height - y) {
    return bad_input("WebP: expected the first frame inside {} x {}, found {} x {} at {}, {}",
                     canvas.width, canvas.height, features.width, features.height, x, y);
  }
  return decode_into(content, canvas.rgb.data() + 3 * (size_t(y) * canvas.width + x),
                     features.width, features.height, canvas.width * 3);
}

}  // namespace

Result<Decoded> decode_webp(std::string_view bytes, const PictureLimits& limits) {
  TRY(const WebPBitstreamFeatures features, features_of(bytes));
  TRY_STATUS(check_picture_size(features.width, features.height, limits));
  TRY(const WebpLayout layout, read_layout(bytes));
  Decoded decoded;
  TRY(decoded.picture, make_picture(features.width, features.height, limits));
  Picture& picture = decoded.picture;
  if (features.has_animation) {
    TRY_STATUS(decode_frame(layout.frame, picture));
  } else {
    TRY_STATUS(
        decode_into(bytes, picture.rgb.data(), picture.width, picture.height, picture.width * 3));
  }
  std::string_view exif = layout.exif;
  if (exif.substr(0, 4) == "Exif") exif.remove_prefix(std::min<size_t>(6, exif.size()));
  decoded.orientation = exif_orientation(exif);
  return decoded;
}

}  // namespace godwit::media
