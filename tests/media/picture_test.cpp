// Pictures that are damaged, lie, or are too large; the corners of each format that the goldens
// lack.
#include "media/picture.h"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <array>
#include <filesystem>

#include "tests/media/media_goldens.h"

namespace godwit::media {
namespace {

using testing::HasSubstr;

// The goldens' animated.gif, lossless.
constexpr const char* kAnimatedWebp = GODWIT_SOURCE_DIR "/tests/media/data/animated.webp";

std::string message_of(const Result<Picture>& picture) {
  return picture ? "no error" : picture.error().message;
}

std::string u16(uint32_t v) { return {static_cast<char>(v), static_cast<char>(v >> 8)}; }
std::string u32(uint32_t v) { return u16(v) + u16(v >> 16); }
std::string big32(uint32_t v) {
  const std::string s = u32(v);
  return {s.rbegin(), s.rend()};
}

std::vector<std::string> golden_files() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(golden_path("files"))) {
    const std::string extension = entry.path().extension();
    if (extension != ".tiff" && extension != ".ppm") names.push_back(entry.path().filename());
  }
  return names;
}

// Only a GIF may lack its end: the first frame is then still whole.
TEST(PictureDamage, CutAtEveryLength) {
  for (const std::string& name : golden_files()) {
    SCOPED_TRACE(name);
    const std::string bytes = golden_bytes("files/" + name);
    const auto whole = decode_picture(bytes, name);
    ASSERT_TRUE(whole) << whole.error().message;
    const size_t step = bytes.size() < 3000 ? 1 : bytes.size() / 499;
    for (size_t n = 0; n < bytes.size(); n += step) {
      // A copy of its own, so that a sanitizer sees a read past the end.
      const std::vector<char> cut(bytes.begin(), bytes.begin() + n);
      const auto picture = decode_picture({cut.data(), n}, name);
      if (picture) {
        ASSERT_EQ(std::filesystem::path(name).extension(), ".gif") << n;
        ASSERT_EQ(picture->rgb, whole->rgb) << n;
      }
    }
    for (size_t n = bytes.size() - 1; n + 9 > bytes.size(); --n) {
      const auto picture = decode_picture(std::string_view(bytes).substr(0, n), name);
      ASSERT_EQ(picture.has_value(),
                std::filesystem::path(name).extension() == ".gif" && picture->rgb == whole->rgb)
          << n;
    }
  }
}

// Whatever a changed byte makes of the file: no crash, and a picture that has the size that it
// says.
TEST(PictureDamage, ChangedBytes) {
  uint64_t random = 1;
  const auto next = [&](size_t below) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    return static_cast<size_t>((random >> 33) % below);
  };
  PictureLimits limits;
  limits.max_pixels = 1 << 20;
  for (const std::string& name : golden_files()) {
    const std::string bytes = golden_bytes("files/" + name);
    for (int round = 0; round < 60; ++round) {
      std::string damaged = bytes;
      const size_t head = std::min<size_t>(bytes.size(), 700);
      for (int i = 0; i < 3; ++i)
        damaged[next(round % 2 ? head : bytes.size())] = static_cast<char>(next(256));
      const auto picture = decode_picture(damaged, name, limits);
      if (picture) {
        EXPECT_EQ(picture->rgb.size(), size_t(picture->width) * picture->height * 3);
      }
    }
  }
}

TEST(PictureLimits, OnePixelCanBeRefused) {
  const std::string bytes = golden_bytes("sources/000-1x1-gradient.png");
  EXPECT_EQ(message_of(decode_picture(bytes, "one.png", {.min_pixels = 2})),
            "one.png: expected at least 2 pixels, found 1 x 1");
  EXPECT_TRUE(decode_picture(golden_bytes("sources/001-1x10-shapes.png"), "a", {.min_pixels = 2}));
}

TEST(PictureLimits, OnePixelIsEnlarged) {
  const auto picture = decode_picture(golden_bytes("sources/000-1x1-gradient.png"), "one");
  ASSERT_TRUE(picture);
  const auto media = patches_from_picture(*picture, {65536, 16777216});
  ASSERT_TRUE(media);
  EXPECT_EQ(media->grid.patches(), 256);
}

uint32_t crc32(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char c : bytes) {
    crc ^= static_cast<uint8_t>(c);
    for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc;
}
std::string png_chunk(const std::string& name, const std::string& content) {
  return big32(static_cast<uint32_t>(content.size())) + name + content +
         big32(crc32(name + content));
}
std::string png_header(uint32_t width, uint32_t height) {
  using namespace std::string_literals;
  return "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", big32(width) + big32(height) + "\x08\x02\0\0\0"s);
}

std::string bmp(int32_t width, int32_t height, int bits, uint32_t compression,
                const std::string& palette, const std::string& pixels, uint32_t colours = 0) {
  const uint32_t offset = static_cast<uint32_t>(54 + palette.size());
  return "BM" + u32(offset + pixels.size()) + u32(0) + u32(offset) + u32(40) + u32(width) +
         u32(height) + u16(1) + u16(bits) + u32(compression) + u32(0) + u32(0) + u32(0) +
         u32(colours) + u32(0) + palette + pixels;
}

// A JPEG with other numbers in its frame header (SOF0 or SOF2: length, precision, height, width).
std::string jpeg_of_size(std::string bytes, uint32_t width, uint32_t height) {
  for (size_t i = 2; i + 9 < bytes.size();) {
    const auto marker = static_cast<uint8_t>(bytes[i + 1]);
    if (marker == 0xc0 || marker == 0xc2) {
      bytes.replace(i + 5, 4, big32(height << 16 | width));
      return bytes;
    }
    i += 2 + static_cast<uint8_t>(bytes[i + 2]) * 256 + static_cast<uint8_t>(bytes[i + 3]);
  }
  return {};
}

TEST(PictureLimits, HugeHeadersCostNothing) {
  rusage before{}, after{};
  getrusage(RUSAGE_SELF, &before);
  const std::string jpeg = golden_bytes("files/jpeg-progressive.jpg");
  std::string webp = read_file(kAnimatedWebp).value();  // begins with VP8X: canvas − 1 at byte 24
  ASSERT_EQ(webp.substr(12, 4), "VP8X");
  webp.replace(24, 6, std::string("\x5f\xea\0\x5f\xea\0", 6));  // 60,000 each
  using namespace std::string_literals;
  const std::string gif = "GIF89a" + u16(65535) + u16(65535) + "\0\0\0"s + std::string(",") +
                          u16(0) + u16(0) + u16(65535) + u16(65535) + "\0\x08\0;"s;
  EXPECT_THAT(
      message_of(decode_picture(png_header(100000, 100000) + png_chunk("IDAT", "x"), "a.png")),
      HasSubstr("a.png: expected at most 104857600 pixels, found 100000 x 100000"));
  EXPECT_THAT(message_of(decode_picture(bmp(100000, 100000, 24, 0, "", ""), "a.bmp")),
              HasSubstr("at most"));
  EXPECT_THAT(message_of(decode_picture(bmp(1 << 30, -(1 << 30), 8, 0, "", ""), "a.bmp")),
              HasSubstr("at most"));
  EXPECT_THAT(message_of(decode_picture(jpeg_of_size(jpeg, 65500, 65500), "a.jpg")),
              HasSubstr("at most"));
  EXPECT_THAT(message_of(decode_picture(gif, "a.gif")), HasSubstr("at most"));
  EXPECT_THAT(message_of(decode_picture(webp, "a.webp")), HasSubstr("at most"));
  // Allowed by their number of pixels, but more than the bytes can hold.
  EXPECT_THAT(message_of(decode_picture(jpeg_of_size(jpeg, 10000, 10000), "a.jpg")),
              HasSubstr("cut short"));
  EXPECT_THAT(
      message_of(decode_picture(png_header(10000, 10000) + png_chunk("IDAT", "x"), "a.png")),
      HasSubstr("cut short"));
  EXPECT_FALSE(decode_picture(bmp(10000, 10000, 24, 0, "", "xyz"), "a.bmp"));
  getrusage(RUSAGE_SELF, &after);
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 64 << 10);  // KiB
}

TEST(PictureLimits, BytesAspectAndZero) {
  PictureLimits limits;
  limits.max_bytes = 100;
  EXPECT_EQ(message_of(decode_picture(std::string(101, 'x'), "big", limits)),
            "big: expected at most 100 bytes, found 101");
  EXPECT_THAT(message_of(decode_picture(bmp(201, 1, 24, 0, "", std::string(604, 'x')), "a")),
              HasSubstr("200 times"));
  EXPECT_TRUE(decode_picture(bmp(200, 1, 24, 0, "", std::string(600, 'x')), "a"));
  EXPECT_THAT(message_of(decode_picture(bmp(0, 5, 24, 0, "", "x"), "a")), HasSubstr("with pixels"));
  EXPECT_FALSE(decode_picture(png_header(0, 5), "a"));
  EXPECT_THAT(message_of(decode_picture("", "a")), HasSubstr("found an empty file"));
  EXPECT_THAT(message_of(decode_picture("hello", "a")), HasSubstr("found something else"));
  EXPECT_THAT(message_of(decode_picture(golden_bytes("video/h264.mp4"), "a")),
              HasSubstr("found an MP4 video"));
}

TEST(PictureLimits, JpegWithHundredsOfScans) {
  const std::string bytes = golden_bytes("files/jpeg-progressive.jpg");
  const size_t first = bytes.find("\xff\xda");
  ASSERT_NE(first, std::string::npos);
  size_t end = first + 2;
  while (bytes[end] != '\xff' || bytes[end + 1] == '\0') ++end;  // the next marker
  std::string scans;
  for (int i = 0; i < 600; ++i) scans += bytes.substr(first, end - first);
  const std::string bomb = bytes.substr(0, end) + scans + bytes.substr(end);
  EXPECT_THAT(message_of(decode_picture(bomb, "bomb")), HasSubstr("too many scans"));
}

TEST(PictureFormats, PngTextsAreSkipped) {
  const std::string bytes = golden_bytes("files/rgb.png");
  const std::string text =
      png_chunk("zTXt", std::string(1 << 20, 'x')) + png_chunk("iTXt", std::string(1 << 20, 'y'));
  const auto picture = decode_picture(bytes.substr(0, 33) + text + bytes.substr(33), "texts");
  ASSERT_TRUE(picture) << picture.error().message;
  EXPECT_EQ(picture->rgb, decode_picture(bytes, "plain")->rgb);
}

using Bytes = std::vector<uint8_t>;

TEST(PictureFormats, BmpKinds) {
  const std::string two =
      std::string("\x01\x02\x03\0", 4) + std::string("\x0a\x0b\x0c\0", 4);  // BGRX
  const auto rgb = [](const std::string& bytes) {
    const auto picture = decode_picture(bytes, "bmp");
    EXPECT_TRUE(picture) << message_of(picture);
    return picture ? picture->rgb : Bytes{};
  };
  const std::string pad3(3, '\0'), pad2(2, '\0');
  EXPECT_EQ(rgb(bmp(3, 1, 1, 0, two, "\x40" + pad3)), (Bytes{3, 2, 1, 12, 11, 10, 3, 2, 1}));
  EXPECT_EQ(rgb(bmp(3, 1, 4, 0, two, "\x10\x10" + pad2, 2)),
            (Bytes{12, 11, 10, 3, 2, 1, 12, 11, 10}));
  // Bottom-up and top-down; an index without a colour is black.
  EXPECT_EQ(rgb(bmp(1, 2, 8, 0, two, std::string(1, '\0') + pad3 + "\x01" + pad3, 2)),
            (Bytes{12, 11, 10, 3, 2, 1}));
  EXPECT_EQ(rgb(bmp(1, -2, 8, 0, two, std::string(1, '\0') + pad3 + "\x07" + pad3, 2)),
            (Bytes{3, 2, 1, 0, 0, 0}));
  EXPECT_EQ(rgb(bmp(1, 1, 24, 0, "", "abc")), (Bytes{'c', 'b', 'a'}));
  EXPECT_EQ(rgb(bmp(1, 1, 32, 0, "", "abcd")), (Bytes{'c', 'b', 'a'}));
  EXPECT_EQ(rgb(bmp(1, 1, 16, 0, "", u16(31 << 10 | 16 << 5 | 1) + pad2)), (Bytes{255, 131, 8}));
  const std::string masks565 = u32(0xf800) + u32(0x07e0) + u32(0x001f);
  EXPECT_EQ(rgb(bmp(1, 1, 16, 3, masks565, u16(31 << 11 | 32 << 5 | 1) + pad2)),
            (Bytes{255, 129, 8}));
  const std::string masks_rgba = u32(0xff) + u32(0xff00) + u32(0xff0000);
  EXPECT_EQ(rgb(bmp(1, 1, 32, 3, masks_rgba, "abcd")), (Bytes{'a', 'b', 'c'}));

  EXPECT_THAT(message_of(decode_picture(bmp(1, 1, 8, 1, two, "xx"), "a")), HasSubstr("run-length"));
  EXPECT_THAT(message_of(decode_picture(bmp(1, 1, 7, 0, two, "xxxx"), "a")),
              HasSubstr("bits a pixel, found 7"));
  EXPECT_THAT(message_of(decode_picture(bmp(1, 1, 32, 3, u32(5) + u32(0) + u32(0), "xxxx"), "a")),
              HasSubstr("masks"));
}

// Codes of nine bits, cleared before they would grow: LZW that compresses nothing.
std::string gif_data(const Bytes& indices) {
  std::string bits_out;
  uint32_t buffer = 0;
  int bits = 0;
  const auto put = [&](uint32_t code) {
    buffer |= code << bits;
    for (bits += 9; bits >= 8; bits -= 8, buffer >>= 8) bits_out += static_cast<char>(buffer);
  };
  for (size_t i = 0; i < indices.size(); ++i) {
    if (i % 200 == 0) put(256);
    put(indices[i]);
  }
  put(257);
  bits_out += static_cast<char>(buffer);
  std::string out = "\x08";
  for (size_t i = 0; i < bits_out.size(); i += 255) {
    const std::string block = bits_out.substr(i, 255);
    out += static_cast<char>(block.size()) + block;
  }
  return out + '\0';
}

TEST(PictureFormats, GifInterlacedTransparentAndOffset) {
  using namespace std::string_literals;
  // Canvas of 2 x 6, two colours, background 1; a frame of 1 x 5 at (1, 1), interlaced, index 0
  // transparent.
  const std::string palette = "\x01\x02\x03\x0a\x0b\x0c"s, own = "\x21\x22\x23\x31\x32\x33"s;
  const std::string head = "GIF89a" + u16(2) + u16(6) + "\x80\x01\0"s + palette;
  const std::string control = "!\xf9\x04\x01\0\0\0\0"s;
  const std::string frame = std::string(",") + u16(1) + u16(1) + u16(1) + u16(5) + "\xc0"s + own;
  // Rows in the order 0, 4, 2, 1, 3 of the frame.
  const auto picture =
      decode_picture(head + control + frame + gif_data({1, 0, 1, 0, 1}) + ";", "gif");
  ASSERT_TRUE(picture) << message_of(picture);
  const Bytes bg = {10, 11, 12}, one = {0x31, 0x32, 0x33};
  Bytes expected;
  for (const Bytes& right : {bg, one, bg, one, one, bg}) {
    expected.insert(expected.end(), bg.begin(), bg.end());
    expected.insert(expected.end(), right.begin(), right.end());
  }
  EXPECT_EQ(picture->rgb, expected);
  EXPECT_FALSE(decode_picture(head + control + frame + gif_data({1, 0, 1, 0}) + ";", "short"));
  EXPECT_FALSE(decode_picture(head + ";", "no frame"));
}

TEST(PictureFormats, AnimatedWebpGivesItsFirstFrame) {
  const auto bytes = read_file(kAnimatedWebp);
  ASSERT_TRUE(bytes);
  const auto webp = decode_picture(*bytes, "webp"),
             gif = decode_picture(golden_bytes("files/animated.gif"), "gif");
  ASSERT_TRUE(webp) << message_of(webp);
  EXPECT_EQ(webp->rgb, gif->rgb);
  for (size_t n = 0; n < bytes->size(); ++n)
    EXPECT_FALSE(decode_picture(bytes->substr(0, n), "cut")) << n;
}

}  // namespace
}  // namespace godwit::media
