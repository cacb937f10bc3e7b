// BMP: 1, 4 and 8 bits with a palette, 16 and 32 with bit masks, 24; bottom-up or top-down.
// Run-length coding is refused.
//
// clang-format off
//   "BM" size reserved offset-of-pixels │ header size, width, height, planes, bits, compression, … │ masks │ palette │ rows
//        4    4        4                │ 4            4 (2 in the oldest form) …                                      padded to 4
// clang-format on
#include <algorithm>
#include <array>
#include <bit>
#include <vector>

#include "media/codecs.h"

namespace godwit::media {
namespace {

constexpr size_t kFileHeader = 14;

struct BmpHeader {
  int64_t width, height;
  bool top_down = false;
  int bits;
  std::array<uint32_t, 3> masks{};   // red, green, blue; for 16 and 32 bits
  size_t palette_at, palette_entry;  // where it begins, bytes of an entry
  size_t palette_size = 0, pixels_at;
};

Status read_masks(std::string_view bytes, uint32_t compression, size_t header_size,
                  BmpHeader& header) {
  if (header.bits == 16) header.masks = {0x7c00, 0x03e0, 0x001f};
  if (header.bits == 32) header.masks = {0xff0000, 0x00ff00, 0x0000ff};
  if (compression != 3 && compression != 6) return {};
  // Inside newer headers, behind the 40 bytes of the older.
  const size_t at = kFileHeader + 40;
  if (bytes.size() < at + 12) return bad_input("BMP: cut short in the header");
  if (header_size == 40) header.palette_at += compression == 3 ? 12 : 16;
  for (int c = 0; c < 3; ++c) {
    const uint32_t mask = little32(bytes, at + 4 * c);
    const uint32_t low = mask ? mask >> std::countr_zero(mask) : 1;
    if (low & (low + 1) || (header.bits == 16 && mask > 0xffff)) {
      return bad_input("BMP: expected masks of neighbouring bits, found {:#x}", mask);
    }
    header.masks[c] = mask;
  }
  return {};
}

Result<BmpHeader> read_header(std::string_view bytes) {
  if (bytes.size() < kFileHeader + 12) return bad_input("BMP: cut short in the header");
  const size_t header_size = little32(bytes, kFileHeader);
  const bool oldest = header_size == 12;
  if (!oldest && (header_size < 40 || header_size > 124)) {
    return bad_input("BMP: expected a header of 12 or 40 to 124 bytes, found {}", header_size);
  }
  if (bytes.size() < kFileHeader + header_size) return bad_input("BMP: cut short in the header");
  BmpHeader header;
  header.pixels_at = little32(bytes, 10);
  header.palette_at = kFileHeader + header_size;
  header.palette_entry = oldest ? 3 : 4;
  uint32_t compression = 0;
  if (oldest) {
    header.width = little16(bytes, 18);
    header.height = little16(bytes, 20);
    header.bits = static_cast<int>(little16(bytes, 24));
  } else {
    header.width = static_cast<int32_t>(little32(bytes, 18));
    header.height = static_cast<int32_t>(little32(bytes, 22));
    header.bits = static_cast<int>(little16(bytes, 28));
    compression = little32(bytes, 30);
    header.palette_size = little32(bytes, 46);
  }
  header.top_down = header.height < 0;
  header.height = std::abs(header.height);
  const int bits = header.bits;
  if (compression == 1 || compression == 2)
    return bad_input("BMP: run-length coded pixels are not read");
  if (compression != 0 && !((compression == 3 || compression == 6) && (bits == 16 || bits == 32))) {
    return bad_input("BMP: expected uncompressed pixels, found compression {} with {} bits",
                     compression, bits);
  }
  if (bits != 1 && bits != 4 && bits != 8 && bits != 16 && bits != 24 && bits != 32) {
    return bad_input("BMP: expected 1, 4, 8, 16, 24 or 32 bits a pixel, found {}", bits);
  }
  TRY_STATUS(read_masks(bytes, compression, header_size, header));
  return header;
}

// [256, 3] RGB; what the file lacks is black.
std::vector<uint8_t> read_palette(std::string_view bytes, const BmpHeader& header) {
  std::vector<uint8_t> palette(256 * 3, 0);
  const size_t all = size_t{1} << header.bits;
  const size_t wanted = header.palette_size ? std::min(header.palette_size, all) : all;
  const size_t end =
      std::min(bytes.size(), header.pixels_at);  // the palette ends where pixels begin
  const size_t room =
      end > header.palette_at ? (end - header.palette_at) / header.palette_entry : 0;
  for (size_t i = 0; i < std::min(wanted, room); ++i) {
    const size_t at = header.palette_at + i * header.palette_entry;  // blue, green, red
    for (int c = 0; c < 3; ++c) palette[3 * i + c] = static_cast<uint8_t>(bytes[at + 2 - c]);
  }
  return palette;
}

void read_indexed_row(std::string_view row, const BmpHeader& header, const uint8_t* palette,
                      uint8_t* out) {
  const int per_byte = 8 / header.bits, mask = (1 << header.bits) - 1;
  for (int64_t x = 0; x < header.width; ++x) {
    const int shift =
        8 -
        header.bits * static_cast<int>(x % per_byte + 1);  // the first pixel lies in the high bits
    std::copy_n(palette + 3 * (byte_at(row, x / per_byte) >> shift & mask), 3, out + 3 * x);
  }
}

void read_masked_row(std::string_view row, const BmpHeader& header, uint8_t* out) {
  for (int64_t x = 0; x < header.width; ++x) {
    const uint32_t pixel = header.bits == 16 ? little16(row, 2 * x) : little32(row, 4 * x);
    for (int c = 0; c < 3; ++c) {
      const uint32_t mask = header.masks[c];
      const int shift = mask ? std::countr_zero(mask) : 0;
      const uint64_t largest = mask >> shift;
      out[3 * x + c] =
          largest ? static_cast<uint8_t>(uint64_t{(pixel & mask) >> shift} * 255 / largest) : 0;
    }
  }
}

void read_row(std::string_view row, const BmpHeader& header, const uint8_t* palette, uint8_t* out) {
  if (header.bits <= 8) return read_indexed_row(row, header, palette, out);
  if (header.bits != 24) return read_masked_row(row, header, out);
  for (int64_t i = 0; i < header.width * 3; ++i)
    out[i] = static_cast<uint8_t>(row[i / 3 * 3 + 2 - i % 3]);
}

}  // namespace

Result<Decoded> decode_bmp(std::string_view bytes, const PictureLimits& limits) {
  TRY(const BmpHeader header, read_header(bytes));
  TRY_STATUS(check_picture_size(header.width, header.height, limits));
  const size_t stride = (static_cast<size_t>(header.width) * header.bits + 31) / 32 * 4;
  const size_t row_bytes = (static_cast<size_t>(header.width) * header.bits + 7) / 8;
  // Padding may be missing behind the last row.
  const size_t needed = header.pixels_at + stride * (header.height - 1) + row_bytes;
  if (needed > bytes.size())
    return bad_input("BMP: cut short: expected {} bytes, found {}", needed, bytes.size());
  std::vector<uint8_t> palette;
  if (header.bits <= 8) palette = read_palette(bytes, header);
  Decoded decoded;
  TRY(decoded.picture, make_picture(header.width, header.height, limits));
  for (int64_t y = 0; y < header.height; ++y) {
    const int64_t to = header.top_down ? y : header.height - 1 - y;
    read_row(bytes.substr(header.pixels_at + y * stride, row_bytes), header, palette.data(),
             decoded.picture.rgb.data() + to * header.width * 3);
  }
  return decoded;
}

}  // namespace godwit::media
