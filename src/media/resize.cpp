// Sizes that the vision tower can take, and the bicubic resize, equal to the bit to torchvision's
// for uint8.
//
// Per axis, horizontal first, the result of each pass rounded to 8 bits; an axis whose size does
// not change is skipped:
//
//   scale = in/out;  f = max(scale, 1);  c = (i + 0.5)·scale;
//   taps lo … hi−1 = [c − 2f, c + 2f) rounded, inside the picture
//   w[k] = K((k + lo − c + 0.5)/f) / Σw;   K: Keys' cubic with a = −0.5
//   bits: the largest b ≤ 22 for which the largest weight of the axis, times 2^b, fits in 15 bits
//   out = clamp((2^(bits−1) + Σ round(w[k]·2^bits)·in[lo + k]) >> bits, 0, 255)
//
// Both passes are the same loop over neighbouring bytes, which the compiler vectorises: a weighted
// sum of whole rows. For the horizontal pass, bands of rows are transposed, so that a "row" is one
// column of the band.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "media/patches.h"

namespace godwit::media {
namespace {

constexpr int kMaxAspect = 200;                  // of the reference's smart_resize
constexpr int64_t kMaxLimit = int64_t{1} << 30;  // 12 GiB of patches: larger is a mistake
constexpr int kBandRows =
    16;  // transposed at a time: 48 bytes a column, whole vectors on every machine

struct Taps {
  int bits = 0;
  int most = 0;                  // taps of one output at most
  std::vector<int> first;        // [out]
  std::vector<int> count;        // [out]
  std::vector<int16_t> weights;  // [out, most]
};

double cubic(double x) {
  x = std::abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2) return -0.5 * (((x - 5) * x + 8) * x - 4);
  return 0;
}

Taps make_taps(int in, int out) {
  const double scale = static_cast<double>(in) / out, filter = std::max(scale, 1.0);
  const double support = 2 * filter, inverse = 1 / filter;
  Taps taps;
  taps.most = static_cast<int>(std::ceil(support)) * 2 + 1;
  taps.first.resize(out);
  taps.count.resize(out);
  std::vector<double> weights(size_t(out) * taps.most, 0);  // [out, most]
  double largest = 0;
  for (int i = 0; i < out; ++i) {
    const double center = (i + 0.5) * scale;
    const int lo = std::max(static_cast<int>(center - support + 0.5), 0);
    const int n = std::min({static_cast<int>(center + support + 0.5), in, lo + taps.most}) - lo;
    taps.first[i] = lo;
    taps.count[i] = n;
    double* w = weights.data() + size_t(i) * taps.most;
    double sum = 0;
    for (int k = 0; k < n; ++k) sum += w[k] = cubic((k + lo - center + 0.5) * inverse);
    for (int k = 0; k < n; ++k) largest = std::max(largest, w[k] /= sum);
  }
  while (taps.bits < 22 && static_cast<int>(0.5 + largest * (1 << (taps.bits + 1))) < 1 << 15)
    ++taps.bits;
  taps.weights.resize(weights.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    const double scaled = weights[i] * (1 << taps.bits);
    taps.weights[i] = static_cast<int16_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
  }
  return taps;
}

// out[j] = clamp((half + Σ_k weights[k]·rows[k·stride + j]) >> bits) for j < n, n ≤ kLane.
constexpr int kLane = 48;
void weighted_rows(const uint8_t* rows, size_t stride, const int16_t* weights, int taps, int bits,
                   int n, uint8_t* out) {
  int32_t sums[kLane];
  for (int j = 0; j < n; ++j) sums[j] = 1 << (bits - 1);
  for (int k = 0; k < taps; ++k) {
    const uint8_t* row = rows + k * stride;
    const int16_t weight = weights[k];
    for (int j = 0; j < n; ++j) sums[j] += static_cast<int16_t>(row[j]) * weight;
  }
  for (int j = 0; j < n; ++j) out[j] = static_cast<uint8_t>(std::clamp(sums[j] >> bits, 0, 255));
}

Picture blank(int width, int height) {
  Picture picture{width, height, {}};
  picture.rgb.resize(size_t(width) * height * 3);
  return picture;
}

Picture resize_vertical(const Picture& in, int height) {
  const Taps taps = make_taps(in.height, height);
  Picture out = blank(in.width, height);
  const int row_bytes = in.width * 3;
  for (int y = 0; y < height; ++y) {
    const uint8_t* rows = in.rgb.data() + size_t(taps.first[y]) * row_bytes;
    const int16_t* weights = taps.weights.data() + size_t(y) * taps.most;
    uint8_t* to = out.rgb.data() + size_t(y) * row_bytes;
    int x = 0;
    for (; x + kLane <= row_bytes; x += kLane) {
      weighted_rows(rows + x, row_bytes, weights, taps.count[y], taps.bits, kLane, to + x);
    }
    if (x < row_bytes)
      weighted_rows(rows + x, row_bytes, weights, taps.count[y], taps.bits, row_bytes - x, to + x);
  }
  return out;
}

Picture resize_horizontal(const Picture& in, int width) {
  static_assert(kLane == kBandRows * 3);
  const Taps taps = make_taps(in.width, width);
  Picture out = blank(width, in.height);
  std::vector<uint8_t> columns(size_t(in.width) * kLane, 0);  // [in.width, kBandRows, 3]
  for (int y0 = 0; y0 < in.height; y0 += kBandRows) {
    const int rows = std::min(kBandRows, in.height - y0);
    for (int r = 0; r < rows; ++r) {
      const uint8_t* from = in.rgb.data() + size_t(y0 + r) * in.width * 3;
      for (int x = 0; x < in.width; ++x)
        std::memcpy(columns.data() + size_t(x) * kLane + 3 * r, from + 3 * x, 3);
    }
    for (int x = 0; x < width; ++x) {
      uint8_t column[kLane];
      weighted_rows(columns.data() + size_t(taps.first[x]) * kLane, kLane,
                    taps.weights.data() + size_t(x) * taps.most, taps.count[x], taps.bits, kLane,
                    column);
      for (int r = 0; r < rows; ++r) {
        std::memcpy(out.rgb.data() + (size_t(y0 + r) * width + x) * 3, column + 3 * r, 3);
      }
    }
  }
  return out;
}

Status check_size(Size size, PixelLimits limits) {
  if (limits.min_pixels < 1 || limits.max_pixels < 1 ||
      std::max(limits.min_pixels, limits.max_pixels) > kMaxLimit) {
    return bad_input("expected limits of 1 to {} pixels, found {} and {}", kMaxLimit,
                     limits.min_pixels, limits.max_pixels);
  }
  if (size.height <= 0 || size.width <= 0) {
    return bad_input("expected a picture with pixels, found {} x {}", size.width, size.height);
  }
  const double longer = std::max(size.height, size.width),
               shorter = std::min(size.height, size.width);
  if (longer / shorter > kMaxAspect) {
    return bad_input("expected the longer side to be at most {} times the shorter, found {} x {}",
                     kMaxAspect, size.width, size.height);
  }
  return {};
}

// Multiples of `factor` near size, and with an area (times `frames`) inside the limits.
// `rounded_frames` stands for `frames` where the reference rounds it before comparing.
Size fit(int frames, int rounded_frames, Size size, PixelLimits limits, int factor) {
  const double h = size.height, w = size.width;
  const auto nearest = [&](double side) {
    return static_cast<int64_t>(std::nearbyint(side / factor)) * factor;
  };
  int64_t height = nearest(h), width = nearest(w);
  const int64_t area = rounded_frames * height * width;
  if (area > limits.max_pixels) {
    const double shrink = std::sqrt(frames * h * w / limits.max_pixels);
    const auto lower = [&](double side) {
      return std::max<int64_t>(factor,
                               static_cast<int64_t>(std::floor(side / shrink / factor)) * factor);
    };
    height = lower(h), width = lower(w);
  } else if (area < limits.min_pixels) {
    const double grow = std::sqrt(limits.min_pixels / (frames * h * w));
    const auto upper = [&](double side) {
      return static_cast<int64_t>(std::ceil(side * grow / factor)) * factor;
    };
    height = upper(h), width = upper(w);
  }
  return {static_cast<int>(height), static_cast<int>(width)};
}

}  // namespace

Result<Size> smart_resize_image(Size size, PixelLimits limits, int factor) {
  TRY_STATUS(check_size(size, limits));
  return fit(1, 1, size, limits, factor);
}

Result<Size> smart_resize_video(int frames, Size size, PixelLimits limits, int factor) {
  if (frames <= 0) return bad_input("expected a clip with frames, found none");
  TRY_STATUS(check_size(size, limits));
  if (std::min(size.height, size.width) < factor) {  // enlarged until the shorter side is `factor`
    const double grow = std::max(static_cast<double>(factor) / size.height,
                                 static_cast<double>(factor) / size.width);
    size = {static_cast<int>(size.height * grow), static_cast<int>(size.width * grow)};
  }
  // To the nearest even number of frames, halves to even; a single frame is two, as it will be
  // repeated.
  const int rounded = std::max(2, static_cast<int>(std::nearbyint(frames / 2.0)) * 2);
  return fit(frames, rounded, size, limits, factor);
}

Picture resize_bicubic(const Picture& picture, Size to) {
  if (to.width == picture.width && to.height == picture.height) return picture;
  if (to.width == picture.width) return resize_vertical(picture, to.height);
  Picture wide = resize_horizontal(picture, to.width);
  if (to.height == picture.height) return wide;
  return resize_vertical(wide, to.height);
}

}  // namespace godwit::media
