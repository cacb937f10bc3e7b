// Tiles: how packed weights and quantised activations lie in memory, as the matmul kernels see them
// (plain C++; files compiled for an instruction set include it).
//
// A tile is 16 output rows × all columns. Block formats: columns go in blocks of 32, each taken in
// eight steps of 4 columns; a step is one 64-byte vector whose 32-bit lane i holds the 4 codes of
// row i, which is what an integer dot product wants. A vector of two half-width parts or four
// quarters serves narrower machines from the same bytes.
//
//   step vector:  | row 0: c0 c1 c2 c3 | row 1: c0 c1 c2 c3 | … | row 15: c0 c1 c2 c3 |
//
// `group` blocks share a header (scales), so that everything starts at a multiple of 64 bytes and
// is read in one stream:
//
//   tile = { header, codes of block 0, …, codes of block group − 1 } …
//          the last group may have fewer blocks
//
// clang-format off
//   layout   group  header                                            codes of a block
//   Q8_0     2      f16 d[2][16]                                      8 steps of q + 128
//   Q4_0     2      f16 d[2][16]                                      4 vectors: step v low nibbles, step v + 4 high
//   IQ4_NL   2      f16 d[2][16]                                      as Q4_0
//   MXFP4    2      bf16 d[2][16]                                     as Q4_0
//   Q4_K     8      f16 d[16], f16 dmin[16], u8 s[8][16], u8 m[8][16] as Q4_0
//   Q5_K     8      as Q4_K                                           as Q4_0, then a vector: bit s of a byte is step s
//   Q6_K     8      f16 d[16], 32 unused bytes, s8 s[8][2][16]        as Q4_0, then 2 vectors: steps 4v … 4v + 3, 2 bits each
//   IQ4_XS   8      f16 d[16], 32 unused bytes, s8 s[8][16]           as Q4_0
//   generic  1      f32 scale[2][16], f32 min[2][16] per 16 columns   8 steps of codes below 32
// clang-format on
//
// Plain types have no blocks:  F32, F16: value[column][16];  BF16: value[column / 2][16][2].
#pragma once

#include <cstddef>
#include <cstdint>

namespace godwit::kernels {

constexpr int kTileRows = 16;
constexpr int kBlockColumns = 32;
// Rows of activations that one kernel call multiplies at most: they all take the weights from
// memory once.
constexpr int kMaxGroupRows = 8;

struct TileShape {
  int group;  // blocks that share a header
  int header_bytes;
  int code_bytes;  // of one block
};
constexpr TileShape kQ8Shape = {2, 64, 512}, kQ4Shape = {2, 64, 256}, kQ4KShape = {8, 320, 256},
                    kQ5KShape = {8, 320, 320}, kQ6KShape = {8, 320, 384},
                    kIQ4XSShape = {8, 192, 256}, kGenericShape = {1, 256, 512};

// The activations of `rows` ≤ kMaxGroupRows rows, int8 with one scale per 32 columns; for each
// block:
//
//   f32 scale[rows] | i32 −Σ codes [rows] | f32 scale · Σ codes [rows] | i32 −Σ of the first 16
//   codes [rows] | s8 codes[8 steps][rows][4]
constexpr int kActivationBlockBytes = 48;  // per row

// A block's scale and its inverse. A block whose values are all tiny becomes zero (127 / x stays
// finite); one with an infinity or NaN has the scale NaN and codes 0, so that the fault shows in
// every result.
struct ActivationScale {
  float scale, to_code;  // to_code 0: all codes are 0
};
static inline ActivationScale activation_scale(float largest) {
  if (!(largest <= 3.40282347e38f)) return {__builtin_nanf(""), 0};
  if (largest < 1e-30f) return {0, 0};
  return {largest / 127.0f, 127.0f / largest};
}

// Where tiles are fetched to, ahead of their turn; none: they are in a near cache.
enum class Prefetch : uint8_t { kNone, kFirstLevel, kSecondLevel };

// One call of a kernel: sums(r, 16 t + i) = Σ_k weight(tile t, row i, k) · x(r, k), each summed
// over k in rising order.
struct TileProduct {
  const uint8_t* tiles;  // `tile_count` tiles, `tile_bytes` apart
  size_t tile_bytes;
  int tile_count;
  int64_t columns;
  int rows;             // 1 … kMaxGroupRows
  const void* x;        // block formats: activation blocks as above; plain types: f32 rows
  int64_t x_stride;     // plain types: values between rows
  Prefetch prefetch;    // of the tiles, by the first rows that are multiplied
  float* sums;          // [rows, 16 · tile_count]
  int64_t sums_stride;  // values between rows
};

// Plain types add up runs of this many columns, even and odd ones apart, then the runs: rounding
// errors stay small in long rows, and a single row of x need not wait for each sum.
constexpr int kRunColumns = 512;

}  // namespace godwit::kernels
