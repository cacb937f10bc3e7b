// f32 rows to weight formats (layouts: blocks.cpp).
//
// Formats of 32 values without importance weights round as the reference does: from the largest
// magnitude or the range. All others search: for each group of values that share a scale, several
// scales near the plain one are tried, values take the nearest codes, and the scale that minimises
// Σ weight · (value − decoded)² for those codes is computed (a least-squares fit; with a minimum, a
// fit of two unknowns). Sub-scales are then rounded to their few bits and the codes chosen again.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/float16.h"
#include "tensor/blocks.h"

namespace godwit::tensor {
namespace {

constexpr int kSuper = 256;  // values in a block of the formats with sub-scales

void put_u16(uint8_t* p, uint16_t v) {
  p[0] = static_cast<uint8_t>(v);
  p[1] = static_cast<uint8_t>(v >> 8);
}
// Stores v as f16 and gives back what will be read.
float put_f16(uint8_t* p, float v) {
  const uint16_t bits = f32_to_f16(v);
  put_u16(p, bits);
  return f16_to_f32(bits);
}

// x within [low, high]; NaN becomes low, so that the conversion to an integer that follows is
// always defined.
template <class T>
T limit(T x, T low, T high) {
  return std::min(std::max(low, x), high);
}

float inverse(float x) { return x != 0 ? 1.0f / x : 0.0f; }

// ---- codes

// The code whose integer is nearest to `wanted`.
int nearest_code(const CodeBook& book, float wanted) {
  if (!book.table) {
    const float code = std::nearbyint(wanted) + static_cast<float>(book.offset);
    return static_cast<int>(limit(code, 0.0f, static_cast<float>((1 << book.bits) - 1)));
  }
  int best = 0;
  for (int code = 1; code < 1 << book.bits; ++code)
    if (std::fabs(wanted - book.table[code]) < std::fabs(wanted - book.table[best])) best = code;
  return best;
}

// A scale for n values without a minimum: the best of several that send the value of largest
// magnitude near the code book's most negative integer.
float fit_scale(const CodeBook& book, const float* x, const float* weight, int n) {
  float largest = 0;
  for (int i = 0; i < n; ++i)
    if (std::fabs(x[i]) > std::fabs(largest)) largest = x[i];
  if (largest == 0 || !std::isfinite(largest)) return 0;
  float extreme = 0;
  for (int code = 0; code < 1 << book.bits; ++code)
    extreme = std::min(extreme, static_cast<float>(book.integer(code)));
  const float step = book.table ? -extreme / 127 : 0.1f;
  float best_gain = 0, best_scale = largest / extreme;
  for (int attempt = -9; attempt <= 9; ++attempt) {
    const float to_code = (extreme + step * static_cast<float>(attempt)) / largest;
    float qx = 0, qq = 0;
    for (int i = 0; i < n; ++i) {
      const auto q = static_cast<float>(book.integer(nearest_code(book, to_code * x[i])));
      qx += weight[i] * q * x[i];
      qq += weight[i] * q * q;
    }
    if (qq > 0 && qx * qx > best_gain * qq) {  // the error falls by qx² / qq
      best_gain = qx * qx / qq;
      best_scale = qx / qq;
    }
  }
  return best_scale;
}

// A scale and a minimum ≥ 0 (value = scale · code − minimum) for n values and codes 0 … top.
struct Affine {
  float scale = 0, min = 0;
};

float affine_error(const float* x, const float* weight, int n, int top, Affine fit) {
  const float to_code = inverse(fit.scale);
  float error = 0;
  for (int i = 0; i < n; ++i) {
    const float q =
        limit(std::nearbyint((x[i] + fit.min) * to_code), 0.0f, static_cast<float>(top));
    const float d = fit.scale * q - fit.min - x[i];
    error += weight[i] * d * d;
  }
  return error;
}

Affine fit_affine(const float* x, const float* weight, int n, int top) {
  const float low = std::min(0.0f, *std::min_element(x, x + n)), high = *std::max_element(x, x + n);
  if (!(high > low) || !std::isfinite(high - low)) return {0, std::isfinite(low) ? -low : 0};
  Affine best{(high - low) / static_cast<float>(top), -low};
  float best_error = affine_error(x, weight, n, top, best);
  for (int attempt = -10; attempt <= 10; ++attempt) {
    const float to_code =
        (static_cast<float>(top) + 0.1f * static_cast<float>(attempt)) / (high - low);
    double w = 0, wx = 0, wq = 0, wqq = 0, wqx = 0;
    for (int i = 0; i < n; ++i) {
      const float q = limit(std::nearbyint((x[i] - low) * to_code), 0.0f, static_cast<float>(top));
      w += weight[i];
      wx += weight[i] * x[i];
      wq += weight[i] * q;
      wqq += weight[i] * q * q;
      wqx += weight[i] * q * x[i];
    }
    const double determinant = w * wqq - wq * wq;
    if (!(determinant > 0)) continue;
    Affine fit{static_cast<float>((w * wqx - wx * wq) / determinant),
               static_cast<float>((wq * wqx - wqq * wx) / determinant)};
    if (fit.min < 0) fit = {static_cast<float>(wqx / wqq), 0};
    if (!(fit.scale > 0)) continue;
    const float error = affine_error(x, weight, n, top, fit);
    if (error < best_error) {
      best_error = error;
      best = fit;
    }
  }
  return best;
}

// ---- formats of 32 values

void put_nibbles(const uint8_t* codes, uint8_t* target) {
  for (int i = 0; i < 16; ++i)
    target[i] = static_cast<uint8_t>((codes[i] & 15) | (codes[i + 16] & 15) << 4);
}

void put_fifth_bits(const uint8_t* codes, uint8_t* target) {
  uint32_t bits = 0;
  for (int i = 0; i < 32; ++i) bits |= uint32_t{codes[i] >> 4 & 1u} << i;
  put_u16(target, static_cast<uint16_t>(bits));
  put_u16(target + 2, static_cast<uint16_t>(bits >> 16));
}

void quantize_q8_0(const float* x, uint8_t* target) {
  float largest = 0;
  for (int i = 0; i < 32; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float scale = largest / 127, to_code = inverse(scale);
  put_f16(target, scale);
  for (int i = 0; i < 32; ++i)
    target[2 + i] = static_cast<uint8_t>(
        static_cast<int8_t>(limit(std::round(x[i] * to_code), -127.0f, 127.0f)));
}

// Q4_0, Q5_0, IQ4_NL: a scale only.
void quantize_symmetric(DType dtype, const float* x, const float* weight, uint8_t* target) {
  const CodeBook& book = code_book(dtype);
  float scale = 0;
  if (weight) {
    scale = fit_scale(book, x, weight, 32);
  } else {
    float largest = 0;
    for (int i = 0; i < 32; ++i)
      if (std::fabs(x[i]) > std::fabs(largest)) largest = x[i];
    scale = largest / static_cast<float>(-book.offset);
  }
  // The reference takes the codes from the scale before it is rounded; a fitted scale knows better.
  const float stored = put_f16(target, scale), to_code = inverse(weight ? stored : scale);
  uint8_t codes[32];
  for (int i = 0; i < 32; ++i) {
    if (weight) {
      codes[i] = static_cast<uint8_t>(nearest_code(book, x[i] * to_code));
    } else {  // in double, as the reference: the product is not rounded before 0.5 is added
      const double code = std::trunc(double{x[i]} * to_code + book.offset + 0.5);
      codes[i] = static_cast<uint8_t>(limit(code, 0.0, double((1 << book.bits) - 1)));
    }
  }
  if (dtype == DType::kQ5_0) put_fifth_bits(codes, target + 2);
  put_nibbles(codes, target + (dtype == DType::kQ5_0 ? 6 : 2));
}

// Q4_1, Q5_1: value = scale · code + m.
void quantize_with_min(DType dtype, const float* x, const float* weight, uint8_t* target) {
  const int top = (1 << code_book(dtype).bits) - 1;
  const float low = *std::min_element(x, x + 32), high = *std::max_element(x, x + 32);
  float scale = (high - low) / static_cast<float>(top), min = low;
  if (weight && low < 0) {  // the search wants the minimum at or below zero
    const Affine fit = fit_affine(x, weight, 32, top);
    scale = fit.scale;
    min = -fit.min;
  }
  const float stored = put_f16(target, scale), stored_min = put_f16(target + 2, min);
  const float to_code = inverse(weight ? stored : scale);
  if (weight) min = stored_min;
  uint8_t codes[32];
  for (int i = 0; i < 32; ++i)
    codes[i] = static_cast<uint8_t>(
        limit(std::trunc((x[i] - min) * to_code + 0.5f), 0.0f, static_cast<float>(top)));
  if (dtype == DType::kQ5_1) put_fifth_bits(codes, target + 4);
  put_nibbles(codes, target + (dtype == DType::kQ5_1 ? 8 : 4));
}

void quantize_mxfp4(const float* x, const float* weight, uint8_t* target) {
  const CodeBook& book = code_book(DType::kMXFP4);
  float largest = 0;
  for (int i = 0; i < 32; ++i) largest = std::max(largest, std::fabs(x[i]));
  // The exponent that puts the largest magnitude between 4 and 8, where 6 is the largest that a
  // code can say.
  const int plain = largest > 0 && std::isfinite(largest) ? std::ilogb(largest) - 2 + 127 : 0;
  double best_error = INFINITY;
  for (int exponent = plain - (weight ? 1 : 0); exponent <= plain + (weight ? 1 : 0); ++exponent) {
    const int e = std::clamp(exponent, 0, 254);
    const float scale = std::ldexp(1.0f, e - 128);
    uint8_t codes[32];
    double error = 0;
    for (int i = 0; i < 32; ++i) {
      int nearest = 0;  // the first of equals
      for (int code = 1; code < 16; ++code)
        if (std::fabs(scale * book.table[code] - x[i]) <
            std::fabs(scale * book.table[nearest] - x[i]))
          nearest = code;
      codes[i] = static_cast<uint8_t>(nearest);
      const double d = scale * book.table[nearest] - x[i];
      error += (weight ? weight[i] : 1.0f) * d * d;
    }
    if (error < best_error || exponent == plain - (weight ? 1 : 0)) {
      best_error = error;
      target[0] = static_cast<uint8_t>(e);
      put_nibbles(codes, target + 1);
    }
  }
}

// ---- formats of 256 values

// What a block says, before it is laid out.
struct SuperBlock {
  float scale = 0, min = 0;
  int sub_scale[16] = {}, sub_min[16] = {};  // of groups of 16 or 32 values
  uint8_t codes[kSuper] = {};
};

// A scale per group of `size` values (Q3_K, Q6_K: 16; IQ4_XS: 32), rounded to integers of [lowest,
// −lowest).
SuperBlock fit_scaled(DType dtype, int size, int lowest, const float* x, const float* weight) {
  const CodeBook& book = code_book(dtype);
  SuperBlock block;
  float scales[16], largest = 0;
  const int groups = kSuper / size;
  for (int g = 0; g < groups; ++g) {
    scales[g] = fit_scale(book, x + g * size, weight + g * size, size);
    if (std::fabs(scales[g]) > std::fabs(largest)) largest = scales[g];
  }
  block.scale = f16_to_f32(f32_to_f16(largest / static_cast<float>(lowest)));
  const float to_sub_scale = inverse(block.scale);
  for (int g = 0; g < groups; ++g) {
    const float wanted = std::nearbyint(scales[g] * to_sub_scale);
    block.sub_scale[g] = static_cast<int>(
        limit(wanted, static_cast<float>(lowest), static_cast<float>(-lowest - 1)));
    const float to_code = inverse(block.scale * static_cast<float>(block.sub_scale[g]));
    for (int i = g * size; i < (g + 1) * size; ++i)
      block.codes[i] = static_cast<uint8_t>(nearest_code(book, x[i] * to_code));
  }
  return block;
}

// A scale and a minimum per group (Q2_K: 16 values, Q4_K, Q5_K: 32), rounded to integers of [0,
// highest].
SuperBlock fit_scaled_with_min(DType dtype, int size, int highest, const float* x,
                               const float* weight) {
  const int top = (1 << code_book(dtype).bits) - 1;
  SuperBlock block;
  Affine fits[16];
  float largest_scale = 0, largest_min = 0;
  const int groups = kSuper / size;
  for (int g = 0; g < groups; ++g) {
    fits[g] = fit_affine(x + g * size, weight + g * size, size, top);
    largest_scale = std::max(largest_scale, fits[g].scale);
    largest_min = std::max(largest_min, fits[g].min);
  }
  const auto largest = static_cast<float>(highest);
  block.scale = f16_to_f32(f32_to_f16(largest_scale / largest));
  block.min = f16_to_f32(f32_to_f16(largest_min / largest));
  for (int g = 0; g < groups; ++g) {
    block.sub_scale[g] = static_cast<int>(
        limit(std::nearbyint(fits[g].scale * inverse(block.scale)), 0.0f, largest));
    block.sub_min[g] =
        static_cast<int>(limit(std::nearbyint(fits[g].min * inverse(block.min)), 0.0f, largest));
    const float to_code = inverse(block.scale * static_cast<float>(block.sub_scale[g]));
    const float min = block.min * static_cast<float>(block.sub_min[g]);
    for (int i = g * size; i < (g + 1) * size; ++i)
      block.codes[i] = static_cast<uint8_t>(
          limit(std::nearbyint((x[i] + min) * to_code), 0.0f, static_cast<float>(top)));
  }
  return block;
}

void put_q2_k(const SuperBlock& b, uint8_t* target) {
  for (int g = 0; g < 16; ++g) target[g] = static_cast<uint8_t>(b.sub_scale[g] | b.sub_min[g] << 4);
  for (int i = 0; i < kSuper; ++i)
    target[16 + i / 128 * 32 + i % 32] |= b.codes[i] << (2 * (i / 32 % 4));
  put_f16(target + 80, b.scale);
  put_f16(target + 82, b.min);
}

void put_q3_k(const SuperBlock& b, uint8_t* target) {
  for (int i = 0; i < kSuper; ++i) {
    target[i % 32] |= (b.codes[i] >> 2) << (i / 32);
    target[32 + i / 128 * 32 + i % 32] |= (b.codes[i] & 3) << (2 * (i / 32 % 4));
  }
  for (int g = 0; g < 16; ++g) {
    const int s = b.sub_scale[g] + 32;
    target[96 + g % 8] |= (s & 15) << (4 * (g / 8));
    target[104 + g % 4] |= (s >> 4) << (2 * (g / 4));
  }
  put_f16(target + 108, b.scale);
}

void put_q4_or_q5_k(DType dtype, const SuperBlock& b, uint8_t* target) {
  put_f16(target, b.scale);
  put_f16(target + 2, b.min);
  uint8_t* s = target + 4;
  for (int g = 0; g < 8; ++g) {
    const int scale = b.sub_scale[g], min = b.sub_min[g];
    if (g < 4) {
      s[g] |= scale;
      s[g + 4] |= min;
    } else {
      s[g + 4] |= (scale & 15) | (min & 15) << 4;
      s[g - 4] |= (scale >> 4) << 6;
      s[g] |= (min >> 4) << 6;
    }
  }
  uint8_t* q = target + (dtype == DType::kQ5_K ? 48 : 16);
  for (int i = 0; i < kSuper; ++i) {
    q[i / 64 * 32 + i % 32] |= (b.codes[i] & 15) << (4 * (i / 32 % 2));
    if (dtype == DType::kQ5_K) target[16 + i % 32] |= (b.codes[i] >> 4) << (i / 32);
  }
}

void put_q6_k(const SuperBlock& b, uint8_t* target) {
  for (int i = 0; i < kSuper; ++i) {
    const int half = i / 128, quarter = i / 32 % 4;
    target[64 * half + 32 * (quarter % 2) + i % 32] |= (b.codes[i] & 15) << (4 * (quarter / 2));
    target[128 + 32 * half + i % 32] |= (b.codes[i] >> 4) << (2 * quarter);
  }
  for (int g = 0; g < 16; ++g)
    target[192 + g] = static_cast<uint8_t>(static_cast<int8_t>(b.sub_scale[g]));
  put_f16(target + 208, b.scale);
}

void put_iq4_xs(const SuperBlock& b, uint8_t* target) {
  put_f16(target, b.scale);
  int high = 0;
  for (int g = 0; g < 8; ++g) {
    const int s = b.sub_scale[g] + 32;
    target[4 + g / 2] |= (s & 15) << (4 * (g % 2));
    high |= (s >> 4) << (2 * g);
    put_nibbles(b.codes + 32 * g, target + 8 + 16 * g);
  }
  put_u16(target + 2, static_cast<uint16_t>(high));
}

void quantize_super(DType dtype, const float* x, const float* weight, uint8_t* target) {
  std::memset(target, 0, dtype_info(dtype).block_bytes);
  switch (dtype) {
    case DType::kQ2_K:
      return put_q2_k(fit_scaled_with_min(dtype, 16, 15, x, weight), target);
    case DType::kQ3_K:
      return put_q3_k(fit_scaled(dtype, 16, -32, x, weight), target);
    case DType::kQ6_K:
      return put_q6_k(fit_scaled(dtype, 16, -128, x, weight), target);
    case DType::kIQ4_XS:
      return put_iq4_xs(fit_scaled(dtype, 32, -32, x, weight), target);
    default:
      CHECK(dtype == DType::kQ4_K || dtype == DType::kQ5_K);
      put_q4_or_q5_k(dtype, fit_scaled_with_min(dtype, 32, 63, x, weight), target);
  }
}

// What a value's squared error counts. Without importance, large values count more: they contribute
// more to products. With it, the column's mean square is mixed with the value's own size, relative
// to its block.
void error_weights(DType dtype, const float* x, const float* importance, int n, float* weight) {
  float mean_square = 0;
  for (int i = 0; i < n; ++i) mean_square += x[i] * x[i] / static_cast<float>(n);
  const bool has_min = code_book(dtype).offset == 0 && !code_book(dtype).table;
  const float typical = std::sqrt(mean_square);
  for (int i = 0; i < n; ++i) {
    if (importance) {
      weight[i] = importance[i] * std::sqrt(2 * mean_square + x[i] * x[i]);
    } else {
      weight[i] = has_min ? typical + std::fabs(x[i]) : x[i] * x[i];
    }
  }
}

void quantize_block(DType dtype, const float* x, const float* importance, uint8_t* target) {
  const int n = dtype_info(dtype).block_size;
  float weights[kSuper];
  const float* searched = nullptr;  // null: the plain rounding of the reference
  if (importance || n == kSuper || dtype == DType::kIQ4_NL) {
    error_weights(dtype, x, importance, n, weights);
    searched = weights;
  }
  switch (dtype) {
    case DType::kQ8_0:
      return quantize_q8_0(x, target);
    case DType::kQ4_0:
    case DType::kQ5_0:
    case DType::kIQ4_NL:
      return quantize_symmetric(dtype, x, searched, target);
    case DType::kQ4_1:
    case DType::kQ5_1:
      return quantize_with_min(dtype, x, searched, target);
    case DType::kMXFP4:
      return quantize_mxfp4(x, searched, target);
    default:
      return quantize_super(dtype, x, searched, target);
  }
}

}  // namespace

void quantize_row(DType dtype, const float* source, std::byte* target, int64_t n,
                  std::span<const float> importance) {
  const DTypeInfo& info = dtype_info(dtype);
  CHECK(info.is_weight && n % info.block_size == 0);
  CHECK(importance.empty() || static_cast<int64_t>(importance.size()) == n);
  auto* out = reinterpret_cast<uint8_t*>(target);
  if (dtype == DType::kF32) {
    std::memcpy(out, source, n * sizeof(float));
  } else if (dtype == DType::kF16 || dtype == DType::kBF16) {
    for (int64_t i = 0; i < n; ++i)
      put_u16(out + 2 * i, dtype == DType::kF16 ? f32_to_f16(source[i]) : f32_to_bf16(source[i]));
  } else {
    for (int64_t i = 0; i < n; i += info.block_size, out += info.block_bytes)
      quantize_block(dtype, source + i, importance.empty() ? nullptr : importance.data() + i, out);
  }
}

}  // namespace godwit::tensor
