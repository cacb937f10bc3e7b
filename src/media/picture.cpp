// Picks the decoder by the first bytes, checks limits, turns the picture upright.
#include "media/picture.h"

#include <algorithm>
#include <new>

#include "media/codecs.h"

namespace godwit::media {
namespace {

bool starts(std::string_view bytes, std::string_view magic, size_t at = 0) {
  return bytes.size() >= at + magic.size() && bytes.substr(at, magic.size()) == magic;
}

// What a file that is not read here looks like, for the message.
std::string_view guess_format(std::string_view bytes) {
  using namespace std::string_view_literals;
  if (bytes.empty()) return "an empty file";
  if (starts(bytes, "II*\0"sv) || starts(bytes, "MM\0*"sv)) return "a TIFF picture";
  if (bytes.size() > 2 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '7')
    return "a PPM/PGM/PBM picture";
  if (starts(bytes, "ftypavif", 4) || starts(bytes, "ftypavis", 4)) return "an AVIF picture";
  if (starts(bytes, "ftyphei", 4) || starts(bytes, "ftypmif1", 4)) return "a HEIC picture";
  if (starts(bytes, "ftyp", 4)) return "an MP4 video";
  if (starts(bytes, "\x1a\x45\xdf\xa3")) return "a Matroska or WebM video";
  if (starts(bytes, "\0\0\1\0"sv)) return "an ICO picture";
  if (starts(bytes, "\xff\x0a") || starts(bytes, "JXL ", 4)) return "a JPEG XL picture";
  if (starts(bytes, "jP  ", 4)) return "a JPEG 2000 picture";
  if (starts(bytes, "%PDF")) return "a PDF document";
  if (starts(bytes, "8BPS")) return "a Photoshop file";
  if (bytes.substr(0, 256).find("<svg") != std::string_view::npos) return "an SVG drawing";
  if (bytes.substr(0, 256).find("<html") != std::string_view::npos || starts(bytes, "<!"))
    return "a web page";
  return "something else";
}

// Orientation as EXIF numbers it: for 5…8 rows become columns. out(y, x) = source[base + y·dy +
// x·dx].
Picture apply_orientation(Picture source, int orientation) {
  if (orientation <= 1) return source;
  const int64_t w = source.width, h = source.height, last = w * h - 1;
  struct Walk {
    int64_t base, dy, dx;
  };
  const Walk walks[9] = {{},
                         {},
                         {w - 1, w, -1},
                         {last, -w, -1},
                         {last - w + 1, -w, 1},
                         {0, 1, w},
                         {last - w + 1, 1, -w},
                         {last, -1, -w},
                         {w - 1, -1, w}};
  const Walk walk = walks[orientation];
  Picture out;
  out.width = static_cast<int>(orientation >= 5 ? h : w);
  out.height = static_cast<int>(orientation >= 5 ? w : h);
  out.rgb.resize(source.rgb.size());
  constexpr int kTile = 32;  // both pictures' lines of a tile stay in the first-level cache
  for (int y0 = 0; y0 < out.height; y0 += kTile) {
    for (int x0 = 0; x0 < out.width; x0 += kTile) {
      for (int y = y0; y < std::min(y0 + kTile, out.height); ++y) {
        const int x1 = std::min(x0 + kTile, out.width);
        const uint8_t* from = source.rgb.data() + 3 * (walk.base + y * walk.dy + x0 * walk.dx);
        uint8_t* to = out.rgb.data() + 3 * (int64_t{y} * out.width + x0);
        for (int x = x0; x < x1; ++x, to += 3) {
          const uint8_t* pixel = from + 3 * (x - x0) * walk.dx;
          to[0] = pixel[0], to[1] = pixel[1], to[2] = pixel[2];
        }
      }
    }
  }
  return out;
}

Result<Decoded> decode_any(std::string_view bytes, const PictureLimits& limits) {
  if (starts(bytes, "\xff\xd8")) return decode_jpeg(bytes, limits);
  if (starts(bytes, "\x89PNG")) return decode_png(bytes, limits);
  if (starts(bytes, "RIFF") && starts(bytes, "WEBP", 8)) return decode_webp(bytes, limits);
  if (starts(bytes, "GIF8")) return decode_gif(bytes, limits);
  if (starts(bytes, "BM")) return decode_bmp(bytes, limits);
  return bad_input("expected a JPEG, PNG, WebP, BMP or GIF picture, found {}", guess_format(bytes));
}

}  // namespace

Status check_picture_size(int64_t width, int64_t height, const PictureLimits& limits) {
  if (width <= 0 || height <= 0)
    return bad_input("expected a picture with pixels, found {} x {}", width, height);
  if (height > limits.max_pixels / width) {
    return bad_input("expected at most {} pixels, found {} x {}", limits.max_pixels, width, height);
  }
  if (width * height < limits.min_pixels) {
    return bad_input("expected at least {} pixels, found {} x {}", limits.min_pixels, width,
                     height);
  }
  if (std::max(width, height) > limits.max_aspect * std::min(width, height)) {
    return bad_input("expected the longer side to be at most {} times the shorter, found {} x {}",
                     limits.max_aspect, width, height);
  }
  return {};
}

Result<Picture> make_picture(int64_t width, int64_t height, const PictureLimits& limits) {
  TRY_STATUS(check_picture_size(width, height, limits));
  Picture picture;
  picture.width = static_cast<int>(width);
  picture.height = static_cast<int>(height);
  picture.rgb.resize(static_cast<size_t>(width) * height * 3);
  return picture;
}

Result<Picture> decode_picture(std::string_view bytes, std::string_view name,
                               const PictureLimits& limits) {
  if (bytes.size() > limits.max_bytes) {
    return bad_input("{}: expected at most {} bytes, found {}", name, limits.max_bytes,
                     bytes.size());
  }
  try {
    auto decoded = decode_any(bytes, limits);
    if (!decoded) return in_context(name, std::move(decoded.error()));
    return apply_orientation(std::move(decoded->picture), decoded->orientation);
  } catch (const std::bad_alloc&) {
    return failed("{}: not enough memory for its pixels", name);
  }
}

}  // namespace godwit::media
