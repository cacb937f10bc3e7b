// GIF: the first frame, on a canvas of the background colour.
//
//   "GIF89a" width height flags background aspect │ palette │ blocks:
//     0x21 extension, 0x2C frame, 0x3B end
//   frame: x y width height flags │ palette │ bits │ sub-blocks {length, bytes}… 0
//     the bytes are LZW codes, low bits first
#include <algorithm>
#include <array>
#include <vector>

#include "media/codecs.h"

namespace godwit::media {
namespace {

constexpr int kMaxCodes = 4096;  // 12 bits

// Reads bytes in order; past the end it gives zeros and remembers.
struct GifBytes {
  std::string_view bytes;
  size_t at = 0;
  bool cut = false;

  uint32_t u8() {
    if (at < bytes.size()) return byte_at(bytes, at++);
    cut = true;
    return 0;
  }
  uint32_t u16() {
    const uint32_t low = u8();
    return low | u8() << 8;
  }
  std::string_view take(size_t n) {
    if (n > bytes.size() - at) {
      cut = true;
      n = bytes.size() - at;
    }
    at += n;
    return bytes.substr(at - n, n);
  }
  void skip_sub_blocks() {
    while (!cut) {
      const uint32_t n = u8();
      if (n == 0) return;
      take(n);
    }
  }
};

// The codes of a frame's sub-blocks.
class LzwCodes {
 public:
  explicit LzwCodes(GifBytes& source) : source_(source) {}
  // −1 at the end of the data.
  int next(int width) {
    while (bits_ < width) {
      if (left_ == 0) left_ = ended_ ? 0 : source_.u8();
      if (left_ == 0) ended_ = true;
      if (ended_) return -1;
      buffer_ |= source_.u8() << bits_;
      if (source_.cut) return -1;
      bits_ += 8;
      --left_;
    }
    const int code = static_cast<int>(buffer_ & ((1u << width) - 1));
    buffer_ >>= width;
    bits_ -= width;
    return code;
  }

 private:
  GifBytes& source_;
  uint32_t buffer_ = 0, left_ = 0;
  int bits_ = 0;
  bool ended_ = false;
};

// Fills `indices` in coded order; false if the codes end before or make no sense.
bool decode_lzw(GifBytes& source, int bits, std::vector<uint8_t>& indices) {
  const int clear = 1 << bits, end = clear + 1;
  std::array<uint16_t, kMaxCodes> prefix{};  // of a code: the code of all but its last index
  std::array<uint8_t, kMaxCodes> last{};
  std::array<uint16_t, kMaxCodes> length{};
  for (int i = 0; i < clear; ++i) last[i] = static_cast<uint8_t>(i), length[i] = 1;
  LzwCodes codes(source);
  int next = clear + 2, width = bits + 1, previous = -1;
  size_t done = 0;
  while (done < indices.size()) {
    const int code = codes.next(width);
    if (code < 0 || code == end) return false;
    if (code == clear) {
      next = clear + 2, width = bits + 1, previous = -1;
      continue;
    }
    const bool repeats =
        code == next && previous >= 0 && next < kMaxCodes;  // the code being made just now
    if (code >= next && !repeats) return false;
    const int known = repeats ? previous : code;
    // Written backwards from its end; what lies beyond the frame is dropped.
    const size_t n = length[known];
    uint8_t first = 0;
    for (int c = known, i = static_cast<int>(n) - 1; i >= 0; --i, c = prefix[c]) {
      first = last[c];
      if (done + i < indices.size()) indices[done + i] = first;
    }
    if (repeats && done + n < indices.size()) indices[done + n] = first;
    done += n + (repeats ? 1 : 0);
    if (previous >= 0 && next < kMaxCodes) {
      prefix[next] = static_cast<uint16_t>(previous);
      last[next] = first;
      length[next] = static_cast<uint16_t>(length[previous] + 1);
      if (++next == 1 << width && width < 12) ++width;
    }
    previous = code;
  }
  return true;
}

struct GifFrame {
  int x, y, width, height;
  bool interlaced;
  std::string_view palette;  // RGB; of the file if the frame has none
  int transparent = -1;
};

// Rows come as 0, 8, 16 … 4, 12 … 2, 6 … 1, 3 … in an interlaced frame.
std::vector<int> row_order(const GifFrame& frame) {
  std::vector<int> order;
  order.reserve(frame.height);
  if (!frame.interlaced) {
    for (int y = 0; y < frame.height; ++y) order.push_back(y);
    return order;
  }
  constexpr int kStart[] = {0, 4, 2, 1}, kStep[] = {8, 8, 4, 2};
  for (int pass = 0; pass < 4; ++pass) {
    for (int y = kStart[pass]; y < frame.height; y += kStep[pass]) order.push_back(y);
  }
  return order;
}

void paint(const GifFrame& frame, const std::vector<uint8_t>& indices, Picture& canvas) {
  const std::vector<int> order = row_order(frame);
  for (int row = 0; row < frame.height; ++row) {
    const int y = frame.y + order[row];
    if (y >= canvas.height) continue;
    for (int x = 0; x < std::min(frame.width, canvas.width - frame.x); ++x) {
      const size_t index = indices[size_t(row) * frame.width + x];
      if (static_cast<int>(index) == frame.transparent) continue;
      uint8_t* pixel = canvas.rgb.data() + 3 * (size_t(y) * canvas.width + frame.x + x);
      for (int c = 0; c < 3; ++c) {
        pixel[c] = 3 * index + c < frame.palette.size()
                       ? static_cast<uint8_t>(frame.palette[3 * index + c])
                       : 0;
      }
    }
  }
}

// Reads blocks up to the first frame's data.
Result<GifFrame> find_frame(GifBytes& gif, std::string_view palette) {
  GifFrame frame{};
  frame.palette = palette;
  for (;;) {
    const uint32_t block = gif.u8();
    if (gif.cut || block == 0x3b) return bad_input("GIF: cut short before the first frame");
    if (block == 0x21) {
      const uint32_t label = gif.u8();
      if (label == 0xf9) {  // graphic control: length 4, flags, delay, transparent index
        const std::string_view control = gif.take(gif.u8());
        if (control.size() >= 4)
          frame.transparent = byte_at(control, 0) & 1 ? static_cast<int>(byte_at(control, 3)) : -1;
      }
      gif.skip_sub_blocks();
    } else if (block == 0x2c) {
      frame.x = static_cast<int>(gif.u16()), frame.y = static_cast<int>(gif.u16());
      frame.width = static_cast<int>(gif.u16()), frame.height = static_cast<int>(gif.u16());
      const uint32_t flags = gif.u8();
      frame.interlaced = flags & 0x40;
      if (flags & 0x80) frame.palette = gif.take(3 * (size_t{2} << (flags & 7)));
      if (gif.cut) return bad_input("GIF: cut short in the first frame's header");
      return frame;
    } else {
      return bad_input("GIF: expected a block, found the byte {:#x}", block);
    }
  }
}

}  // namespace

Result<Decoded> decode_gif(std::string_view bytes, const PictureLimits& limits) {
  GifBytes gif{bytes};
  gif.take(6);
  const int width = static_cast<int>(gif.u16()), height = static_cast<int>(gif.u16());
  const uint32_t flags = gif.u8();
  const size_t background = gif.u8();
  gif.u8();  // aspect
  const std::string_view palette = flags & 0x80 ? gif.take(3 * (size_t{2} << (flags & 7))) : "";
  if (gif.cut) return bad_input("GIF: cut short in the header");
  TRY(const GifFrame frame, find_frame(gif, palette));
  TRY_STATUS(check_picture_size(frame.width, frame.height, limits));
  const uint32_t bits = gif.u8();
  if (bits < 1 || bits > 8)
    return bad_input("GIF: expected codes that start with 1 to 8 bits, found {}", bits);
  // A code of 12 bits stands for at most 4,096 pixels.
  if (int64_t{frame.width} * frame.height > static_cast<int64_t>(bytes.size()) * kMaxCodes) {
    return bad_input("GIF: cut short: {} x {} pixels cannot lie in {} bytes", frame.width,
                     frame.height, bytes.size());
  }
  Decoded decoded;
  // As giflib advises, the canvas is at least as large as the first frame.
  TRY(decoded.picture,
      make_picture(std::max(width, frame.width), std::max(height, frame.height), limits));
  if (3 * background + 2 < palette.size()) {
    auto& rgb = decoded.picture.rgb;
    for (size_t i = 0; i < rgb.size(); ++i)
      rgb[i] = static_cast<uint8_t>(palette[3 * background + i % 3]);
  }
  std::vector<uint8_t> indices(size_t(frame.width) * frame.height);
  if (!decode_lzw(gif, static_cast<int>(bits), indices))
    return bad_input("GIF: damaged or cut short");
  paint(frame, indices, decoded.picture);
  return decoded;
}

}  // namespace godwit::media
