// JPEG through libjpeg-turbo: slow integer IDCT and smooth chroma upsampling (its defaults), as
// Pillow and torchvision have it. Damage that the library would only warn of (a file cut short,
// broken codes) is an error here.
//
// libjpeg reports errors by longjmp: the functions that call setjmp hold no object with a
// destructor.
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <vector>

// jpeglib.h needs what stands above it, jerror.h needs jpeglib.h.
// clang-format off
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include "media/codecs.h"

namespace godwit::media {
namespace {

// A progressive file may say that each of its thousands of scans touches every block: time out of
// nothing.
constexpr int kMaxScans = 500;
constexpr int64_t kMaxScannedPixels = int64_t{1} << 32;  // scans × pixels

struct JpegReader {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  jmp_buf jump{};
  char message[JMSG_LENGTH_MAX] = {};

  ~JpegReader() { jpeg_destroy_decompress(&info); }  // harmless before creation
};

JpegReader* reader_of(j_common_ptr info) { return static_cast<JpegReader*>(info->client_data); }

[[noreturn]] void on_error(j_common_ptr info) {
  JpegReader* reader = reader_of(info);
  info->err->format_message(info, reader->message);
  std::longjmp(reader->jump, 1);
}

void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;  // a trace
  switch (info->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
      on_error(info);
    default:  // odd, but the pixels are whole
      return;
  }
}

void on_progress(j_common_ptr info) {
  JpegReader* reader = reader_of(info);
  const int64_t scans = reader->info.input_scan_number;
  const int64_t pixels = int64_t{reader->info.image_width} * reader->info.image_height;
  if (scans <= kMaxScans && scans * pixels <= kMaxScannedPixels) return;
  std::snprintf(reader->message, sizeof reader->message, "too many scans (%lld)",
                static_cast<long long>(scans));
  std::longjmp(reader->jump, 1);
}

bool read_header(JpegReader& reader, const char* bytes, size_t size) {
  if (setjmp(reader.jump)) return false;
  reader.info.err = jpeg_std_error(&reader.errors);
  reader.errors.error_exit = on_error;
  reader.errors.emit_message = on_message;
  reader.info.client_data = &reader;
  jpeg_create_decompress(&reader.info);
  reader.progress.progress_monitor = on_progress;
  reader.info.progress = &reader.progress;
  jpeg_mem_src(&reader.info, reinterpret_cast<const unsigned char*>(bytes), size);
  jpeg_save_markers(&reader.info, JPEG_APP0 + 1, 0xffff);
  jpeg_read_header(&reader.info, TRUE);
  const J_COLOR_SPACE space = reader.info.jpeg_color_space;
  reader.info.out_color_space = space == JCS_CMYK || space == JCS_YCCK ? JCS_CMYK : JCS_RGB;
  return true;
}

// Adobe writes CMYK inverted; Pillow takes all of it so: the stored value is 255 − ink.
void cmyk_to_rgb(const uint8_t* cmyk, int width, uint8_t* rgb) {
  for (int x = 0; x < width; ++x) {
    const int light = cmyk[4 * x + 3];  // 255 − black
    for (int c = 0; c < 3; ++c) {
      const int product = (255 - cmyk[4 * x + c]) * light + 128;
      const int value =
          light - (((product >> 8) + product) >> 8);  // light · (1 − ink/255), rounded
      rgb[3 * x + c] = static_cast<uint8_t>(value < 0 ? 0 : value);
    }
  }
}

// `line` is one row of CMYK, used only for such files.
bool read_pixels(JpegReader& reader, uint8_t* rgb, uint8_t* line) {
  if (setjmp(reader.jump)) return false;
  jpeg_start_decompress(&reader.info);
  const size_t stride = size_t{reader.info.output_width} * 3;
  while (reader.info.output_scanline < reader.info.output_height) {
    uint8_t* row = rgb + reader.info.output_scanline * stride;
    if (reader.info.out_color_space == JCS_CMYK) {
      jpeg_read_scanlines(&reader.info, &line, 1);
      cmyk_to_rgb(line, static_cast<int>(reader.info.output_width), row);
    } else {
      jpeg_read_scanlines(&reader.info, &row, 1);
    }
  }
  jpeg_finish_decompress(&reader.info);  // reads up to the end marker
  return true;
}

int orientation_of(const JpegReader& reader) {
  using namespace std::string_view_literals;
  for (jpeg_saved_marker_ptr marker = reader.info.marker_list; marker; marker = marker->next) {
    const std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
    if (data.substr(0, 6) == "Exif\0\0"sv) return exif_orientation(data.substr(6));
  }
  return 1;
}

}  // namespace

Result<Decoded> decode_jpeg(std::string_view bytes, const PictureLimits& limits) {
  JpegReader reader;
  if (!read_header(reader, bytes.data(), bytes.size()))
    return bad_input("JPEG: {}", reader.message);
  const int64_t width = reader.info.image_width, height = reader.info.image_height;
  TRY_STATUS(check_picture_size(width, height, limits));
  // A block of 64 pixels takes one bit at least, unless the file is arithmetically coded.
  if (!reader.info.arith_code && width * height > static_cast<int64_t>(bytes.size()) * 512) {
    return bad_input("JPEG: cut short: {} x {} pixels cannot lie in {} bytes", width, height,
                     bytes.size());
  }
  Decoded decoded;
  decoded.orientation = orientation_of(reader);  // the markers go when reading ends
  TRY(decoded.picture, make_picture(width, height, limits));
  std::vector<uint8_t> line(reader.info.out_color_space == JCS_CMYK ? width * 4 : 0);
  if (!read_pixels(reader, decoded.picture.rgb.data(), line.data()))
    return bad_input("JPEG: {}", reader.message);
  return decoded;
}

}  // namespace godwit::media
