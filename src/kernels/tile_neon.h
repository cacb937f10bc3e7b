// The vector operations that tiles.inl wants, for NEON with and without dot products. Included
// inside an instruction set's namespace.

#define TILE_FN inline __attribute__((always_inline))

namespace {

struct V {
  // 4 rows × 4 parts: 16 sums of 32 registers; in plain types 3 × 4, of even and odd columns: 24
  static constexpr int kParts = 4, kGroupRows = 4, kPlainRows = 3;
  static constexpr int block_tiles(int) { return 1; }
  static constexpr int plain_tiles(int rows) { return rows == 1 ? 2 : 1; }

  using Codes = uint8x16_t;
  using Ints = int32x4_t;
  using Floats = float32x4_t;

  static TILE_FN Codes load(const uint8_t* p) { return vld1q_u8(p); }
  template <int kByte>
  static TILE_FN Codes and_byte(Codes a) {
    return vandq_u8(a, vdupq_n_u8(kByte));
  }
  // Left by kBits, right if negative.
  template <int kBits>
  static TILE_FN Codes shift(Codes a) {
    if constexpr (kBits > 0)
      return vshlq_n_u8(a, kBits);
    else if constexpr (kBits < 0)
      return vshrq_n_u8(a, -kBits);
    else
      return a;
  }
  static TILE_FN Codes low_nibbles(Codes a) { return and_byte<15>(a); }
  static TILE_FN Codes high_nibbles(Codes a) { return vshrq_n_u8(a, 4); }
  static TILE_FN Codes either(Codes a, Codes b) { return vorrq_u8(a, b); }
  static TILE_FN Codes lookup(const uint8_t* table, Codes index) {
    return vqtbl1q_u8(vld1q_u8(table), index);
  }
  static TILE_FN Codes broadcast4(const uint8_t* p) {
    return vreinterpretq_u8_s32(broadcast_i32(p));
  }

  static TILE_FN Ints zero() { return vdupq_n_s32(0); }
  static TILE_FN Ints broadcast_i32(const uint8_t* p) {
    int32_t value;
    __builtin_memcpy(&value, p, 4);
    return vdupq_n_s32(value);
  }
  static TILE_FN Ints add_i32(Ints a, Ints b) { return vaddq_s32(a, b); }
  static TILE_FN Ints sub_i32(Ints a, Ints b) { return vsubq_s32(a, b); }
  template <int kBits>
  static TILE_FN Ints shift_i32(Ints a) {
    return vshlq_n_s32(a, kBits);
  }
  static TILE_FN Floats to_float(Ints a) { return vcvtq_f32_s32(a); }

  // Both factors are signed here: codes up to 127 are as they stand, and their offset is added at
  // the start; larger ones become signed integers.
  template <bool kWide>
  static constexpr bool starts_with_offset() {
    return !kWide;
  }
  template <bool>
  static constexpr bool ends_with_offset() {
    return false;
  }
  template <bool>
  using Weight = int8x16_t;
  template <bool kWide>
  static TILE_FN int8x16_t weight(Codes codes) {
    return vreinterpretq_s8_u8(kWide ? veorq_u8(codes, vdupq_n_u8(0x80)) : codes);
  }
  using Dot = Ints;
  static TILE_FN void start(Dot& dot, Ints initial) { dot = initial; }
  template <int, int>
  static TILE_FN void add(Dot& dot, int8x16_t weight, Codes four) {
    const int8x16_t x = vreinterpretq_s8_u8(four);
#if defined(__ARM_FEATURE_DOTPROD)
    dot = vdotq_s32(dot, weight, x);
#else
    // Two products in 16 bits: at most 2 · 128 · 127, which fits.
    const int16x8_t low = vmull_s8(vget_low_s8(weight), vget_low_s8(x)),
                    high = vmull_high_s8(weight, x);
    dot = vpadalq_s16(dot, vpaddq_s16(low, high));
#endif
  }
  template <int>
  static TILE_FN Ints finish(Dot& dot) {
    return dot;
  }

  static TILE_FN Floats zero_f32() { return vdupq_n_f32(0); }
  static TILE_FN Floats broadcast_f32(const void* p) {
    float value;
    __builtin_memcpy(&value, p, 4);
    return vdupq_n_f32(value);
  }
  static TILE_FN Floats load_f32(const uint8_t* p) { return vreinterpretq_f32_u8(vld1q_u8(p)); }
  static TILE_FN Floats load_f16(const uint8_t* p) {
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
  }
  static TILE_FN Floats load_bf16(const uint8_t* p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
  }
  // Pairs of bf16, one pair a lane: the first ones and the second ones.
  static TILE_FN Floats first_bf16(const uint8_t* p) {
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_u8(load(p)), 16));
  }
  static TILE_FN Floats second_bf16(const uint8_t* p) {
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_u8(load(p)), vdupq_n_u32(0xffff0000)));
  }
  // Four bytes.
  static TILE_FN uint8x8_t load4(const uint8_t* p) {
    uint32_t value;
    __builtin_memcpy(&value, p, 4);
    return vreinterpret_u8_u32(vdup_n_u32(value));
  }
  static TILE_FN Floats load_u8(const uint8_t* p) {
    return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(load4(p)))));
  }
  static TILE_FN Floats load_s8(const uint8_t* p) {
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(load4(p))))));
  }
  static TILE_FN Floats add(Floats a, Floats b) { return vaddq_f32(a, b); }
  static TILE_FN Floats mul(Floats a, Floats b) { return vmulq_f32(a, b); }
  static TILE_FN Floats fma(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }
  static TILE_FN Floats fnma(Floats a, Floats b, Floats c) { return vfmsq_f32(c, a, b); }
  static TILE_FN Floats load_sums(const float* p) { return vld1q_f32(p); }
  static TILE_FN void store(float* p, Floats a) { vst1q_f32(p, a); }
  template <Prefetch kTo>
  static TILE_FN void prefetch(const uint8_t* p) {
    __builtin_prefetch(p, 0, kTo == Prefetch::kFirstLevel ? 3 : 2);
  }
};

}  // namespace
