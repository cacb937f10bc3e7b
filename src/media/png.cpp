// PNG through libpng: palettes and grey widened to RGB, alpha and transparent colours dropped, 16
// bits scaled by round(v/257), orientation from an eXIf chunk.
//
// libpng reports errors by longjmp: the functions that call setjmp hold no object with a
// destructor.
#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <vector>

#include "media/codecs.h"

namespace godwit::media {
namespace {

struct PngReader {
  png_structp png = nullptr;
  png_infop info = nullptr, end = nullptr;
  const char* bytes;
  size_t size, at = 0;
  char message[128] = {};

  ~PngReader() { png_destroy_read_struct(&png, &info, &end); }
};

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  auto* reader = static_cast<PngReader*>(png_get_error_ptr(png));
  std::snprintf(reader->message, sizeof reader->message, "%s", message);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

void read_bytes(png_structp png, png_bytep to, size_t size) {
  auto* reader = static_cast<PngReader*>(png_get_io_ptr(png));
  if (size > reader->size - reader->at) png_error(png, "cut short");
  std::memcpy(to, reader->bytes + reader->at, size);
  reader->at += size;
}

bool read_header(PngReader& reader, const PictureLimits& limits) {
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning);
  if (!reader.png) return false;
  if (setjmp(png_jmpbuf(reader.png))) return false;
  reader.info = png_create_info_struct(reader.png);
  reader.end = png_create_info_struct(reader.png);
  png_set_read_fn(reader.png, &reader, read_bytes);
  png_set_user_limits(reader.png, 0x7fffffff, 0x7fffffff);  // ours come after the header
  png_set_chunk_malloc_max(reader.png, limits.max_bytes);
  // Texts and profiles are not wanted: a small one may unpack to gigabytes.
  static const png_byte kUnwanted[] = "tEXt\0zTXt\0iTXt\0iCCP\0sPLT\0hIST";
  png_set_keep_unknown_chunks(reader.png, PNG_HANDLE_CHUNK_NEVER, nullptr, 0);
  png_set_keep_unknown_chunks(reader.png, PNG_HANDLE_CHUNK_NEVER, kUnwanted, sizeof kUnwanted / 5);
  png_read_info(reader.png, reader.info);
  return true;
}

bool read_pixels(PngReader& reader, png_bytep* rows, size_t row_bytes) {
  if (setjmp(png_jmpbuf(reader.png))) return false;
  png_set_scale_16(reader.png);
  png_set_expand(reader.png);  // palettes, fewer than 8 bits
  png_set_strip_alpha(reader.png);
  png_set_gray_to_rgb(reader.png);
  png_set_interlace_handling(reader.png);
  png_read_update_info(reader.png, reader.info);
  if (png_get_rowbytes(reader.png, reader.info) != row_bytes)
    png_error(reader.png, "unknown pixel format");
  png_read_image(reader.png, rows);
  png_read_end(reader.png, reader.end);
  return true;
}

int orientation_of(PngReader& reader) {
  for (png_infop info : {reader.info, reader.end}) {
    png_uint_32 size = 0;
    png_bytep exif = nullptr;
    if (png_get_eXIf_1(reader.png, info, &size, &exif) && exif) {
      return exif_orientation({reinterpret_cast<const char*>(exif), size});
    }
  }
  return 1;
}

}  // namespace

Result<Decoded> decode_png(std::string_view bytes, const PictureLimits& limits) {
  PngReader reader{.bytes = bytes.data(), .size = bytes.size()};
  if (!read_header(reader, limits)) return bad_input("PNG: {}", reader.message);
  const int64_t width = png_get_image_width(reader.png, reader.info);
  const int64_t height = png_get_image_height(reader.png, reader.info);
  TRY_STATUS(check_picture_size(width, height, limits));
  // Deflate makes at most 1032 bytes of one.
  if (png_get_rowbytes(reader.png, reader.info) * height / 1032 > bytes.size()) {
    return bad_input("PNG: cut short: {} x {} pixels cannot lie in {} bytes", width, height,
                     bytes.size());
  }
  Decoded decoded;
  TRY(decoded.picture, make_picture(width, height, limits));
  std::vector<png_bytep> rows(height);
  for (int64_t y = 0; y < height; ++y) rows[y] = decoded.picture.rgb.data() + y * width * 3;
  if (!read_pixels(reader, rows.data(), width * 3)) return bad_input("PNG: {}", reader.message);
  decoded.orientation = orientation_of(reader);
  return decoded;
}

}  // namespace godwit::media
