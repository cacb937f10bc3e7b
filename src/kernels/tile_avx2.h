// The vector operations that tiles.inl wants, for AVX2 with and without AVX-VNNI. Included inside
// an instruction set's namespace.

#define TILE_FN inline __attribute__((always_inline))

namespace {

struct V {
  // 4 rows × 2 parts: 8 sums of 16 registers; in plain types 3 × 2, of even and odd columns: 12
  static constexpr int kParts = 2, kGroupRows = 4, kPlainRows = 3;
  static constexpr int block_tiles(int) { return 1; }
  static constexpr int plain_tiles(int rows) { return rows == 1 ? 2 : 1; }

  using Codes = __m256i;
  using Ints = __m256i;
  using Floats = __m256;

  static TILE_FN Codes load(const uint8_t* p) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  }
  template <int kByte>
  static TILE_FN Codes and_byte(Codes a) {
    return _mm256_and_si256(a, _mm256_set1_epi8(kByte));
  }
  // Left by kBits, right if negative; bits that cross bytes are masked off afterwards.
  template <int kBits>
  static TILE_FN Codes shift(Codes a) {
    if constexpr (kBits >= 0)
      return _mm256_slli_epi16(a, kBits);
    else
      return _mm256_srli_epi16(a, -kBits);
  }
  static TILE_FN Codes low_nibbles(Codes a) { return and_byte<15>(a); }
  static TILE_FN Codes high_nibbles(Codes a) { return and_byte<15>(_mm256_srli_epi16(a, 4)); }
  static TILE_FN Codes either(Codes a, Codes b) { return _mm256_or_si256(a, b); }
  static TILE_FN Codes lookup(const uint8_t* table, Codes index) {
    const __m128i sixteen = _mm_load_si128(reinterpret_cast<const __m128i*>(table));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(sixteen), index);
  }
  static TILE_FN Codes broadcast4(const uint8_t* p) { return broadcast_i32(p); }

  static TILE_FN Ints zero() { return _mm256_setzero_si256(); }
  static TILE_FN Ints broadcast_i32(const uint8_t* p) {
    int32_t value;
    __builtin_memcpy(&value, p, 4);
    return _mm256_set1_epi32(value);
  }
  static TILE_FN Ints add_i32(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
  static TILE_FN Ints sub_i32(Ints a, Ints b) { return _mm256_sub_epi32(a, b); }
  template <int kBits>
  static TILE_FN Ints shift_i32(Ints a) {
    return _mm256_slli_epi32(a, kBits);
  }
  static TILE_FN Floats to_float(Ints a) { return _mm256_cvtepi32_ps(a); }

#if defined(__AVXVNNI__)
  template <bool>
  static constexpr bool starts_with_offset() {
    return true;
  }
  template <bool>
  static constexpr bool ends_with_offset() {
    return false;
  }
  template <bool>
  using Weight = Codes;
  template <bool>
  static TILE_FN Codes weight(Codes codes) {
    return codes;
  }
  using Dot = Ints;
  static TILE_FN void start(Dot& dot, Ints initial) { dot = initial; }
  template <int, int>
  static TILE_FN void add(Dot& dot, Codes weight, Codes four) {
    dot = _mm256_dpbusd_avx_epi32(dot, weight, four);
  }
  template <int>
  static TILE_FN Ints finish(Dot& dot) {
    return dot;
  }
#else
  // Codes up to 127: products of unsigned and signed bytes are summed in 16 bits as long as they
  // surely fit. Larger codes become signed: |w| · (x with w's sign).
  template <bool>
  static constexpr bool starts_with_offset() {
    return false;
  }
  template <bool kWide>
  static constexpr bool ends_with_offset() {
    return !kWide;
  }
  struct Signed {
    Codes magnitude, integers;
  };
  template <bool kWide, class = void>
  struct WeightOf {
    using type = Codes;
  };
  template <class Any>
  struct WeightOf<true, Any> {
    using type = Signed;
  };
  template <bool kWide>
  using Weight = typename WeightOf<kWide>::type;
  template <bool kWide>
  static TILE_FN Weight<kWide> weight(Codes codes) {
    if constexpr (kWide) {
      const Codes integers = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
      return {_mm256_abs_epi8(integers), integers};
    } else {
      return codes;
    }
  }
  struct Dot {
    Ints sum, partial;  // partial: 16-bit
  };
  // GCC would turn a chain of additions into a tree, whose leaves do not fit in registers.
  static TILE_FN void keep_order(Ints& sum) { asm("" : "+x"(sum)); }
  static TILE_FN void start(Dot& dot, Ints) { dot.sum = dot.partial = zero(); }
  static TILE_FN Ints widen(Codes sums) { return _mm256_madd_epi16(sums, _mm256_set1_epi16(1)); }
  template <int kLargest, int kOrder>
  static TILE_FN void add(Dot& dot, Codes weight, Codes four) {
    constexpr int kSteps = 32767 / (2 * 127 * kLargest);  // that fit in 16 bits
    if constexpr (kOrder > 0 && kOrder % kSteps == 0) {
      dot.sum = add_i32(dot.sum, widen(dot.partial));
      dot.partial = zero();
    }
    dot.partial = _mm256_add_epi16(dot.partial, _mm256_maddubs_epi16(weight, four));
    keep_order(dot.partial);
  }
  template <int, int>
  static TILE_FN void add(Dot& dot, const Signed& weight, Codes four) {
    const Codes with_sign = _mm256_sign_epi8(four, weight.integers);
    dot.sum = add_i32(dot.sum, widen(_mm256_maddubs_epi16(weight.magnitude, with_sign)));
    keep_order(dot.sum);
  }
  template <int kLargest>
  static TILE_FN Ints finish(Dot& dot) {
    return kLargest > 127 ? dot.sum : add_i32(dot.sum, widen(dot.partial));
  }
#endif

  static TILE_FN Floats zero_f32() { return _mm256_setzero_ps(); }
  static TILE_FN Floats broadcast_f32(const void* p) {
    float value;
    __builtin_memcpy(&value, p, 4);
    return _mm256_set1_ps(value);
  }
  static TILE_FN Floats load_f32(const uint8_t* p) {
    return _mm256_load_ps(reinterpret_cast<const float*>(p));
  }
  static TILE_FN Floats load_f16(const uint8_t* p) {
    return _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static TILE_FN Floats load_bf16(const uint8_t* p) {
    const __m128i halves = _mm_load_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
  }
  // Pairs of bf16, one pair a lane: the first ones and the second ones.
  static TILE_FN Floats first_bf16(const uint8_t* p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(load(p), 16));
  }
  static TILE_FN Floats second_bf16(const uint8_t* p) {
    return _mm256_castsi256_ps(_mm256_and_si256(load(p), _mm256_set1_epi32(-65536)));
  }
  static TILE_FN Floats load_u8(const uint8_t* p) {
    return to_float(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  static TILE_FN Floats load_s8(const uint8_t* p) {
    return to_float(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  static TILE_FN Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
  static TILE_FN Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static TILE_FN Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  static TILE_FN Floats fnma(Floats a, Floats b, Floats c) { return _mm256_fnmadd_ps(a, b, c); }
  static TILE_FN Floats load_sums(const float* p) { return _mm256_loadu_ps(p); }
  static TILE_FN void store(float* p, Floats a) { _mm256_storeu_ps(p, a); }
  template <Prefetch kTo>
  static TILE_FN void prefetch(const uint8_t* p) {
    constexpr auto kHint = kTo == Prefetch::kFirstLevel ? _MM_HINT_T0 : _MM_HINT_T1;
    _mm_prefetch(reinterpret_cast<const char*>(p), kHint);
  }
};

}  // namespace
