// Layouts of the block formats (fields in the order of their bytes; f16 and u16 are little-endian):
//
// clang-format off
//   Q4_0    d f16 | q[16]                       value i: low nibble of q[i] for i < 16, high nibble of q[i − 16] above
//   Q4_1    d f16 | m f16 | q[16]               value d·q + m
//   Q5_0    d f16 | h u32 | q[16]               bit i of h is the fifth bit of value i
//   Q5_1    d f16 | m f16 | h u32 | q[16]
//   Q8_0    d f16 | q[32] signed
//   IQ4_NL  d f16 | q[16]                       q indexes kNonLinear
//   MXFP4   e u8  | q[16]                       q indexes kE2M1 (doubled values); d = 2^(e − 128)
//   Q2_K    s[16] | q[64] | d f16 | dmin f16    256 values in sub-blocks of 16; s: low nibble scale, high nibble min
//   Q3_K    h[32] | q[64] | s[12] | d f16       s: sixteen 6-bit scales less 32; h: the third bits
//   Q4_K    d f16 | dmin f16 | s[12] | q[128]   sub-blocks of 32; s: eight 6-bit scales and eight 6-bit mins
//   Q5_K    d f16 | dmin f16 | s[12] | h[32] | q[128]
//   Q6_K    q[128] | h[64] | s[16] signed | d f16
//   IQ4_XS  d f16 | sh u16 | sl[4] | q[128]     sub-blocks of 32 with 6-bit scales less 32; q indexes kNonLinear
// clang-format on
#include "tensor/blocks.h"

#include <cstring>

#include "base/check.h"
#include "base/float16.h"

namespace godwit::tensor {
namespace {

constexpr int8_t kNonLinear[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                   1,    13,   25,  38,  53,  69,  89,  113};
constexpr int8_t kE2M1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

uint16_t load_u16(const uint8_t* p) { return static_cast<uint16_t>(p[0] | p[1] << 8); }
uint32_t load_u32(const uint8_t* p) { return load_u16(p) | uint32_t{load_u16(p + 2)} << 16; }
float load_f16(const uint8_t* p) { return f16_to_f32(load_u16(p)); }

// 2^(e − 128), the two smallest of which are subnormal.
float e8m0_half(uint8_t e) {
  return std::bit_cast<float>(e < 2 ? uint32_t{0x00200000} << e : uint32_t{e - 1u} << 23);
}

// Sixteen bytes of nibbles: low ones first, then high ones.
void split_nibbles(const uint8_t* q, uint8_t* codes) {
  for (int i = 0; i < 16; ++i) {
    codes[i] = q[i] & 15;
    codes[i + 16] = q[i] >> 4;
  }
}

void add_fifth_bits(uint32_t high, uint8_t* codes) {
  for (int i = 0; i < 32; ++i) codes[i] |= ((high >> i) & 1) << 4;
}

// The 6-bit scale and min number j of Q4_K and Q5_K.
void k4_scale(const uint8_t* s, int j, BlockParts* parts) {
  int scale, min;
  if (j < 4) {
    scale = s[j] & 63;
    min = s[j + 4] & 63;
  } else {
    scale = (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
    min = (s[j + 4] >> 4) | (s[j] >> 6) << 4;
  }
  parts->sub_scale[0] = parts->sub_scale[1] = static_cast<int8_t>(scale);
  parts->sub_min[0] = parts->sub_min[1] = static_cast<int8_t>(min);
}

int k3_scale(const uint8_t* s, int i) {
  const int low = i < 8 ? s[i] & 15 : s[i - 8] >> 4;
  return (low | ((s[8 + i % 4] >> (2 * (i / 4))) & 3) << 4) - 32;
}

// In the functions below j is the number of the 32 values inside their block of 256.
void split_q2_k(const uint8_t* b, int j, BlockParts* parts) {
  for (int i = 0; i < 32; ++i) parts->codes[i] = (b[16 + 32 * (j / 4) + i] >> (2 * (j % 4))) & 3;
  parts->scale = load_f16(b + 80);
  parts->min = load_f16(b + 82);
  for (int h = 0; h < 2; ++h) {
    parts->sub_scale[h] = b[2 * j + h] & 15;
    parts->sub_min[h] = b[2 * j + h] >> 4;
  }
}

void split_q3_k(const uint8_t* b, int j, BlockParts* parts) {
  for (int i = 0; i < 32; ++i)
    parts->codes[i] = ((b[32 + 32 * (j / 4) + i] >> (2 * (j % 4))) & 3) | ((b[i] >> j) & 1) << 2;
  parts->scale = load_f16(b + 108);
  for (int h = 0; h < 2; ++h)
    parts->sub_scale[h] = static_cast<int8_t>(k3_scale(b + 96, 2 * j + h));
}

void split_q4_k(const uint8_t* b, int j, BlockParts* parts) {
  parts->scale = load_f16(b);
  parts->min = load_f16(b + 2);
  k4_scale(b + 4, j, parts);
  for (int i = 0; i < 32; ++i) parts->codes[i] = (b[16 + 32 * (j / 2) + i] >> (4 * (j % 2))) & 15;
}

void split_q5_k(const uint8_t* b, int j, BlockParts* parts) {
  parts->scale = load_f16(b);
  parts->min = load_f16(b + 2);
  k4_scale(b + 4, j, parts);
  for (int i = 0; i < 32; ++i)
    parts->codes[i] = ((b[48 + 32 * (j / 2) + i] >> (4 * (j % 2))) & 15) | ((b[16 + i] >> j) & 1)
                                                                               << 4;
}

void split_q6_k(const uint8_t* b, int j, BlockParts* parts) {
  const int half = j / 4, quarter = j % 4;
  const uint8_t* low = b + 64 * half + 32 * (quarter % 2);
  const uint8_t* high = b + 128 + 32 * half;
  for (int i = 0; i < 32; ++i)
    parts->codes[i] = ((low[i] >> (4 * (quarter / 2))) & 15) | ((high[i] >> (2 * quarter)) & 3)
                                                                   << 4;
  parts->scale = load_f16(b + 208);
  for (int h = 0; h < 2; ++h) parts->sub_scale[h] = static_cast<int8_t>(b[192 + 2 * j + h]);
}

void split_iq4_xs(const uint8_t* b, int j, BlockParts* parts) {
  split_nibbles(b + 8 + 16 * j, parts->codes);
  parts->scale = load_f16(b);
  const int low = (b[4 + j / 2] >> (4 * (j % 2))) & 15, high = (load_u16(b + 2) >> (2 * j)) & 3;
  parts->sub_scale[0] = parts->sub_scale[1] = static_cast<int8_t>((low | high << 4) - 32);
}

// The formats whose blocks are 32 values.
void split_small(DType dtype, const uint8_t* b, BlockParts* parts) {
  const bool has_min = dtype == DType::kQ4_1 || dtype == DType::kQ5_1;
  const int header = has_min ? 4 : 2;
  parts->scale = dtype == DType::kMXFP4 ? e8m0_half(b[0]) : load_f16(b);
  if (has_min) {  // value = d·q + m
    parts->min = load_f16(b + 2);
    parts->sub_min[0] = parts->sub_min[1] = -1;
  }
  switch (dtype) {
    case DType::kQ8_0:
      for (int i = 0; i < 32; ++i) parts->codes[i] = b[2 + i] ^ 0x80;
      break;
    case DType::kQ5_0:
    case DType::kQ5_1:
      split_nibbles(b + header + 4, parts->codes);
      add_fifth_bits(load_u32(b + header), parts->codes);
      break;
    case DType::kMXFP4:
      split_nibbles(b + 1, parts->codes);
      break;
    default:
      split_nibbles(b + header, parts->codes);
  }
}

template <class Convert>
void convert_u16(const std::byte* source, float* target, int64_t n, Convert convert) {
  const auto* p = reinterpret_cast<const uint8_t*>(source);
  for (int64_t i = 0; i < n; ++i) target[i] = convert(load_u16(p + 2 * i));
}

}  // namespace

const CodeBook& code_book(DType dtype) {
  static constexpr CodeBook kUnsigned4 = {4, 0, nullptr}, kUnsigned5 = {5, 0, nullptr},
                            kUnsigned2 = {2, 0, nullptr}, kSigned3 = {3, 4, nullptr},
                            kSigned4 = {4, 8, nullptr}, kSigned5 = {5, 16, nullptr},
                            kSigned6 = {6, 32, nullptr}, kSigned8 = {8, 128, nullptr},
                            kNonLinearBook = {4, 0, kNonLinear}, kE2M1Book = {4, 0, kE2M1};
  switch (dtype) {
    case DType::kQ4_0:
      return kSigned4;
    case DType::kQ5_0:
      return kSigned5;
    case DType::kQ8_0:
      return kSigned8;
    case DType::kQ4_1:
    case DType::kQ4_K:
      return kUnsigned4;
    case DType::kQ5_1:
    case DType::kQ5_K:
      return kUnsigned5;
    case DType::kQ2_K:
      return kUnsigned2;
    case DType::kQ3_K:
      return kSigned3;
    case DType::kQ6_K:
      return kSigned6;
    case DType::kIQ4_NL:
    case DType::kIQ4_XS:
      return kNonLinearBook;
    case DType::kMXFP4:
      return kE2M1Book;
    default:
      CHECK_MSG(false, "not a block format");
      return kSigned8;
  }
}

void split_block(DType dtype, const std::byte* row, int64_t index, BlockParts* parts) {
  const DTypeInfo& info = dtype_info(dtype);
  const int per_block = info.block_size / 32, j = static_cast<int>(index % per_block);
  const auto* b = reinterpret_cast<const uint8_t*>(row) + index / per_block * info.block_bytes;
  parts->min = 0;
  parts->sub_scale[0] = parts->sub_scale[1] = 1;
  parts->sub_min[0] = parts->sub_min[1] = 0;
  switch (dtype) {
    case DType::kQ2_K:
      return split_q2_k(b, j, parts);
    case DType::kQ3_K:
      return split_q3_k(b, j, parts);
    case DType::kQ4_K:
      return split_q4_k(b, j, parts);
    case DType::kQ5_K:
      return split_q5_k(b, j, parts);
    case DType::kQ6_K:
      return split_q6_k(b, j, parts);
    case DType::kIQ4_XS:
      return split_iq4_xs(b, j, parts);
    default:
      return split_small(dtype, b, parts);
  }
}

void dequantize_row(DType dtype, const std::byte* source, float* target, int64_t n) {
  CHECK(bytes_of(dtype, static_cast<uint64_t>(n)).has_value());
  switch (dtype) {
    case DType::kF32:
      std::memcpy(target, source, n * sizeof(float));
      return;
    case DType::kF16:
      return convert_u16(source, target, n, f16_to_f32);
    case DType::kBF16:
      return convert_u16(source, target, n, bf16_to_f32);
    default:
      break;
  }
  const CodeBook& book = code_book(dtype);
  int8_t integers[256];
  for (int code = 0; code < 1 << book.bits; ++code)
    integers[code] = static_cast<int8_t>(book.integer(code));
  for (int64_t index = 0; index < n / 32; ++index) {
    BlockParts parts;
    split_block(dtype, source, index, &parts);
    for (int half = 0; half < 2; ++half) {
      const float scale = parts.scale * parts.sub_scale[half];
      const float min = parts.min * parts.sub_min[half];
      for (int i = 16 * half; i < 16 * half + 16; ++i)
        target[32 * index + i] = scale * integers[parts.codes[i]] - min;
    }
  }
}

}  // namespace godwit::tensor
