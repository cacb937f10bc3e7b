// The products of all layouts, written once over the vector operations of an instruction set.
// Included inside `namespace godwit::kernels::<isa> {` after a struct V (tile_<isa>.h) with:
//
// clang-format off
//   kParts                  vectors that 64 bytes of codes take: 1, 2 or 4; a vector serves 16 / kParts output rows
//   kGroupRows, kPlainRows  rows of x multiplied at once in block formats and in plain types
//   block_tiles(R)          tiles taken together for R rows in block formats, plain_tiles(R) in plain types
//   Codes, Ints, Floats     vectors of bytes, i32 and f32 with 16 / kParts lanes of 32 bits
//   Weight<wide>, Dot       codes made ready for dot products; a sum of dot products under way
// clang-format on
//
// Few rows are bound by memory, and one tile is one stream: two streams, each with its prefetches,
// reach three quarters of its speed. Many rows want two tiles for each load of x.
//
// and the operations used below. TILE_FN forces a function into its caller: vectors then stay in
// registers. The order of additions is that of matmul_scalar.cpp, so all versions give the same
// bits.

namespace {

constexpr int kP = V::kParts;
// Ahead, of all tiles together: what a core can have on its way from memory at full speed. Of 1 to
// 16 KiB, 8 are the best on Zen 5: 80 GB/s with 4, 90 with 8, 86 with 16.
constexpr size_t kPrefetchBytes = 8192;

// The kBytes that come kPrefetchBytes / T after `at` in each of T tiles. Past the end of these
// tiles come the next ones, T tiles on.
template <Prefetch kTo, int T, size_t kBytes>
TILE_FN void prefetch_tiles(const TileProduct& p, const uint8_t* const (&tiles)[T], size_t at) {
  const size_t ahead = at + kPrefetchBytes / T;
  const size_t place = ahead < p.tile_bytes ? ahead : ahead + (T - 1) * p.tile_bytes;
  for (int t = 0; t < T; ++t) {
    const uint8_t* first = tiles[t] + place;
    asm(""
        : "+r"(first));  // one address with constant offsets: GCC would compute each line's, and
                         // run out of registers
#pragma GCC unroll 8
    for (size_t line = 0; line < kBytes; line += 64) V::template prefetch<kTo>(first + line);
  }
}
template <int T, size_t kBytes>
TILE_FN void prefetch_tiles(const TileProduct& p, const uint8_t* const (&tiles)[T], size_t at) {
  if (p.prefetch == Prefetch::kFirstLevel)
    prefetch_tiles<Prefetch::kFirstLevel, T, kBytes>(p, tiles, at);
  else
    prefetch_tiles<Prefetch::kSecondLevel, T, kBytes>(p, tiles, at);
}

// ---- layouts (tile_types.h). `codes` and `header` stand at the vector's part; j is the block's
// place in its group -------

struct Nibbles {
  static constexpr bool kWide = false, kHalves = false, kMins = false;
  static constexpr int kLargest = 15;  // code
  static constexpr int kShift = -1;    // the integer is code − 2^kShift; −1: the code itself
  template <int kStep>
  static TILE_FN V::Codes code(const uint8_t* codes) {
    const V::Codes both = V::load(codes + 64 * (kStep % 4));
    return kStep < 4 ? V::low_nibbles(both) : V::high_nibbles(both);
  }
};

struct Q4_0 : Nibbles {
  static constexpr TileShape kShape = kQ4Shape;
  static constexpr int kShift = 3;
  static TILE_FN V::Floats scale(const uint8_t* header, int j, int part, int) {
    return V::load_f16(header + 32 * j + 32 / kP * part);
  }
};

struct Q8_0 : Q4_0 {
  static constexpr TileShape kShape = kQ8Shape;
  static constexpr bool kWide = true;
  static constexpr int kLargest = 255, kShift = 7;
  template <int kStep>
  static TILE_FN V::Codes code(const uint8_t* codes) {
    return V::load(codes + 64 * kStep);
  }
};

// Tables are stored with the offset added: codes are then unsigned like all others.
alignas(16) constexpr uint8_t kNonLinear[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                                129, 141, 153, 166, 181, 197, 217, 241};
alignas(16) constexpr uint8_t kE2M1[16] = {16, 17, 18, 19, 20, 22, 24, 28,
                                           16, 15, 14, 13, 12, 10, 8,  4};

struct IQ4_NL : Q4_0 {
  static constexpr bool kWide = true;
  static constexpr int kLargest = 255, kShift = 7;
  template <int kStep>
  static TILE_FN V::Codes code(const uint8_t* codes) {
    return V::lookup(kNonLinear, Nibbles::code<kStep>(codes));
  }
};

struct MXFP4 : Nibbles {
  static constexpr TileShape kShape = kQ4Shape;
  static constexpr int kLargest = 28, kShift = 4;
  template <int kStep>
  static TILE_FN V::Codes code(const uint8_t* codes) {
    return V::lookup(kE2M1, Nibbles::code<kStep>(codes));
  }
  static TILE_FN V::Floats scale(const uint8_t* header, int j, int part, int) {
    return V::load_bf16(header + 32 * j + 32 / kP * part);
  }
};

struct Q4_K : Nibbles {
  static constexpr TileShape kShape = kQ4KShape;
  static constexpr bool kMins = true;
  static TILE_FN V::Floats scale(const uint8_t* header, int j, int part, int) {
    return V::mul(V::load_f16(header + 32 / kP * part),
                  V::load_u8(header + 64 + 16 * j + 16 / kP * part));
  }
  static TILE_FN V::Floats min(const uint8_t* header, int j, int part, int) {
    return V::mul(V::load_f16(header + 32 + 32 / kP * part),
                  V::load_u8(header + 192 + 16 * j + 16 / kP * part));
  }
};

struct Q5_K : Q4_K {
  static constexpr TileShape kShape = kQ5KShape;
  static constexpr int kLargest = 31;
  template <int kStep>
  static TILE_FN V::Codes code(const uint8_t* codes) {
    return V::either(Nibbles::code<kStep>(codes),
                     V::and_byte<0x10>(V::template shift<4 - kStep>(V::load(codes + 256))));
  }
};

struct Q6_K : Nibbles {
  static constexpr TileShape kShape = kQ6KShape;
  static constexpr bool kHalves = true;
  static constexpr int kLargest = 63, kShift = 5;
  template <int kStep>
  static TILE_FN V::Codes code(const uint8_t* codes) {
    const V::Codes top = V::load(codes + 256 + 64 * (kStep / 4));
    return V::either(Nibbles::code<kStep>(codes),
                     V::and_byte<0x30>(V::template shift<4 - 2 * (kStep % 4)>(top)));
  }
  static TILE_FN V::Floats scale(const uint8_t* header, int j, int part, int half) {
    return V::mul(V::load_f16(header + 32 / kP * part),
                  V::load_s8(header + 64 + 32 * j + 16 * half + 16 / kP * part));
  }
};

struct IQ4_XS : IQ4_NL {
  static constexpr TileShape kShape = kIQ4XSShape;
  static TILE_FN V::Floats scale(const uint8_t* header, int j, int part, int) {
    return V::mul(V::load_f16(header + 32 / kP * part),
                  V::load_s8(header + 64 + 16 * j + 16 / kP * part));
  }
};

struct Generic : Nibbles {
  static constexpr TileShape kShape = kGenericShape;
  static constexpr bool kHalves = true, kMins = true;
  static constexpr int kLargest = 31;
  template <int kStep>
  static TILE_FN V::Codes code(const uint8_t* codes) {
    return V::load(codes + 64 * kStep);
  }
  static TILE_FN V::Floats scale(const uint8_t* header, int, int part, int half) {
    return V::load_f32(header + 64 * half + 64 / kP * part);
  }
  static TILE_FN V::Floats min(const uint8_t* header, int, int part, int half) {
    return V::load_f32(header + 128 + 64 * half + 64 / kP * part);
  }
};

// Where the sums of row r and vector n of tiles from `tile` on go; null for a tile that stands in
// for a missing one.
TILE_FN float* sums_at(const TileProduct& p, int tile, int r, int n) {
  const int t = tile + n / kP;
  return t < p.tile_count ? p.sums + r * p.sums_stride + t * kTileRows + kTileRows / kP * (n % kP)
                          : nullptr;
}

// ---- block formats: N vectors of output rows (tiles × parts) times R rows of x

template <class F, int kStep, int kOrder, int R, int N>
TILE_FN void add_step(const uint8_t* const (&codes)[N], const uint8_t* x, int x_rows,
                      V::Dot (&dots)[R][N]) {
  V::Weight<F::kWide> weights[N];
#pragma GCC unroll 8
  for (int n = 0; n < N; ++n)
    weights[n] = V::template weight<F::kWide>(F::template code<kStep>(codes[n]));
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const V::Codes four = V::broadcast4(x + 4 * ((4 + kStep) * x_rows + r));
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) V::template add<F::kLargest, kOrder>(dots[r][n], weights[n], four);
  }
}

// −Σ of the codes of x that half `half` of a block (or all of it) covers, in every lane.
template <class F>
TILE_FN V::Ints negated_sum(const uint8_t* x, int x_rows, int r, int half) {
  const V::Ints first = V::broadcast_i32(x + 4 * ((F::kHalves ? 3 : 1) * x_rows + r));
  return F::kHalves && half ? V::sub_i32(V::broadcast_i32(x + 4 * (x_rows + r)), first) : first;
}

template <class F, int R, int N>
TILE_FN void start(const uint8_t* x, int x_rows, int half, V::Dot (&dots)[R][N]) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    V::Ints initial = V::zero();
    if constexpr (F::kShift >= 0 && V::template starts_with_offset<F::kWide>())
      initial = V::template shift_i32<F::kShift>(negated_sum<F>(x, x_rows, r, half));
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) V::start(dots[r][n], initial);
  }
}

template <class F, int R, int N>
TILE_FN void finish(const uint8_t* const (&headers)[N], int j, const uint8_t* x, int x_rows,
                    int half, V::Dot (&dots)[R][N], V::Floats (&totals)[R][N]) {
  V::Floats scales[N];
#pragma GCC unroll 8
  for (int n = 0; n < N; ++n) scales[n] = F::scale(headers[n], j, n % kP, half);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    V::Ints last = V::zero();
    constexpr bool kAddsOffset = F::kShift >= 0 && V::template ends_with_offset<F::kWide>();
    if constexpr (kAddsOffset)
      last = V::template shift_i32<F::kShift>(negated_sum<F>(x, x_rows, r, half));
    const V::Floats x_scale = V::broadcast_f32(x + 4 * r);
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      V::Ints sum = V::template finish<F::kLargest>(dots[r][n]);
      if constexpr (kAddsOffset) sum = V::add_i32(sum, last);
      totals[r][n] = V::fma(V::to_float(sum), V::mul(scales[n], x_scale), totals[r][n]);
    }
  }
}

template <class F, int R, int N>
TILE_FN void subtract_mins(const uint8_t* const (&headers)[N], int j, const uint8_t* x, int x_rows,
                           V::Floats (&totals)[R][N]) {
#pragma GCC unroll 2
  for (int half = 0; half < (F::kHalves ? 2 : 1); ++half) {
    V::Floats mins[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) mins[n] = F::min(headers[n], j, n % kP, half);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      if constexpr (F::kHalves) {
        const V::Floats scaled =
            V::mul(V::broadcast_f32(x + 4 * r), V::to_float(negated_sum<F>(x, x_rows, r, half)));
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) totals[r][n] = V::fma(mins[n], scaled, totals[r][n]);
      } else {
        const V::Floats scaled = V::broadcast_f32(x + 4 * (2 * x_rows + r));
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) totals[r][n] = V::fnma(mins[n], scaled, totals[r][n]);
      }
    }
  }
}

template <class F, int R, int N>
TILE_FN void add_block(const uint8_t* const (&headers)[N], const uint8_t* const (&codes)[N], int j,
                       const uint8_t* x, int x_rows, V::Floats (&totals)[R][N]) {
  V::Dot dots[R][N];
  start<F>(x, x_rows, 0, dots);
  if constexpr (F::kHalves) {
    add_step<F, 0, 0>(codes, x, x_rows, dots);
    add_step<F, 1, 1>(codes, x, x_rows, dots);
    add_step<F, 2, 2>(codes, x, x_rows, dots);
    add_step<F, 3, 3>(codes, x, x_rows, dots);
    finish<F>(headers, j, x, x_rows, 0, dots, totals);
    start<F>(x, x_rows, 1, dots);
    add_step<F, 4, 0>(codes, x, x_rows, dots);
    add_step<F, 5, 1>(codes, x, x_rows, dots);
    add_step<F, 6, 2>(codes, x, x_rows, dots);
    add_step<F, 7, 3>(codes, x, x_rows, dots);
    finish<F>(headers, j, x, x_rows, 1, dots, totals);
  } else {  // steps that share a byte of nibbles follow each other
    add_step<F, 0, 0>(codes, x, x_rows, dots);
    add_step<F, 4, 1>(codes, x, x_rows, dots);
    add_step<F, 1, 2>(codes, x, x_rows, dots);
    add_step<F, 5, 3>(codes, x, x_rows, dots);
    add_step<F, 2, 4>(codes, x, x_rows, dots);
    add_step<F, 6, 5>(codes, x, x_rows, dots);
    add_step<F, 3, 6>(codes, x, x_rows, dots);
    add_step<F, 7, 7>(codes, x, x_rows, dots);
    finish<F>(headers, j, x, x_rows, 0, dots, totals);
  }
  if constexpr (F::kMins) subtract_mins<F>(headers, j, x, x_rows, totals);
}

// Tiles [tile, tile + T) (the last one twice if there is no more) times rows [row, row + R) of the
// group of X.
template <class F, int T, int R, int X>
__attribute__((noinline)) void block_tiles(const TileProduct& p, int tile, int row) {
  constexpr int N = T * kP;
  constexpr size_t kHeader = F::kShape.header_bytes, kCodes = F::kShape.code_bytes;
  const uint8_t* bases[T];
  for (int t = 0; t < T; ++t)
    bases[t] = p.tiles + p.tile_bytes * (tile + t < p.tile_count ? tile + t : tile);
  constexpr int x_rows = X;  // known to the compiler: all of x is at constant offsets
  const uint8_t* x = static_cast<const uint8_t*>(p.x) + 4 * row;
  V::Floats totals[R][N];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) totals[r][n] = V::zero_f32();
  const int64_t blocks = p.columns / kBlockColumns;
  const bool from_memory = p.prefetch != Prefetch::kNone && row == 0;  // later rows find them near
  size_t at = 0;                                                       // in each tile
  for (int64_t block = 0; block < blocks;) {
    const uint8_t* headers[N];
    for (int n = 0; n < N; ++n) headers[n] = bases[n / kP] + at;
    at += kHeader;
    const int in_group =
        blocks - block < F::kShape.group ? static_cast<int>(blocks - block) : F::kShape.group;
    for (int j = 0; j < in_group; ++j, at += kCodes, x += kActivationBlockBytes * x_rows) {
      const uint8_t* codes[N];
      for (int n = 0; n < N; ++n) codes[n] = bases[n / kP] + at + 64 / kP * (n % kP);
      if (from_memory) {
        prefetch_tiles<T, kCodes>(p, bases, at);
        if (j == 0) prefetch_tiles<T, kHeader>(p, bases, at - kHeader);
      }
      add_block<F>(headers, codes, j, x, x_rows, totals);
    }
    block += in_group;
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n)
      if (float* sums = sums_at(p, tile, row + r, n)) V::store(sums, totals[r][n]);
}

// ---- plain types

// The weights of one column; BF16 interleaves two (kOdd: the second). `tile` stands at the pair of
// columns.
struct F32 {
  static constexpr int kColumnBytes = 64;
  template <bool kOdd>
  static TILE_FN V::Floats column(const uint8_t* tile, int part) {
    return V::load_f32(tile + 64 * kOdd + 64 / kP * part);
  }
};
struct F16 {
  static constexpr int kColumnBytes = 32;
  template <bool kOdd>
  static TILE_FN V::Floats column(const uint8_t* tile, int part) {
    return V::load_f16(tile + 32 * kOdd + 32 / kP * part);
  }
};
struct BF16 {
  static constexpr int kColumnBytes = 32;
  template <bool kOdd>
  static TILE_FN V::Floats column(const uint8_t* tile, int part) {
    return kOdd ? V::second_bf16(tile + 64 / kP * part) : V::first_bf16(tile + 64 / kP * part);
  }
};

// run: sums of the even columns or of the odd ones
template <class F, bool kOdd, int T, int R, int N>
TILE_FN void add_column(const uint8_t* const (&tiles)[T], size_t at, const float* const (&x)[R],
                        int64_t k, V::Floats (&run)[R][N]) {
  V::Floats weights[N];
#pragma GCC unroll 8
  for (int n = 0; n < N; ++n) weights[n] = F::template column<kOdd>(tiles[n / kP] + at, n % kP);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const V::Floats one = V::broadcast_f32(x[r] + k + kOdd);
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) run[r][n] = V::fma(weights[n], one, run[r][n]);
  }
}

template <class F, int T, int R>
__attribute__((noinline)) void plain_tiles(const TileProduct& p, int tile, int row) {
  constexpr int N = T * kP;
  const uint8_t* bases[T];
  for (int t = 0; t < T; ++t)
    bases[t] = p.tiles + p.tile_bytes * (tile + t < p.tile_count ? tile + t : tile);
  const float* x[R];
  for (int r = 0; r < R; ++r) x[r] = static_cast<const float*>(p.x) + (row + r) * p.x_stride;
  V::Floats even[R][N], odd[R][N];
  for (int64_t first = 0; first < p.columns; first += kRunColumns) {
    const int64_t end = first + kRunColumns < p.columns ? first + kRunColumns : p.columns;
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) even[r][n] = odd[r][n] = V::zero_f32();
    int64_t k = first;
    for (; k + 2 <= end; k += 2) {
      const size_t at = k * F::kColumnBytes;
      if (p.prefetch != Prefetch::kNone && row == 0)
        prefetch_tiles<T, 2 * F::kColumnBytes>(p, bases, at);
      add_column<F, false>(bases, at, x, k, even);
      add_column<F, true>(bases, at, x, k, odd);
    }
    if (k < end)
      add_column<F, false>(bases, k * F::kColumnBytes, x, k, even);  // the last of an odd number
      // The totals stay in memory, or they would push weights out of registers in the loop above.
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) {
        const V::Floats run = V::add(even[r][n], odd[r][n]);
        if (float* sums = sums_at(p, tile, row + r, n))
          V::store(sums, V::add(first == 0 ? V::zero_f32() : V::load_sums(sums), run));
      }
    }
  }
}

// ---- from a call's tiles and rows to the functions above

// tiles(R): taken together for R rows from near caches; from memory it is always one.
struct Blocks {
  static constexpr int kRows = V::kGroupRows;
  static constexpr int tiles(int rows) { return V::block_tiles(rows); }
  template <class F, int T, int R, int X>
  static void run(const TileProduct& p, int tile, int row) {
    block_tiles<F, T, R, X>(p, tile, row);
  }
};
struct Plains {
  static constexpr int kRows = V::kPlainRows;
  static constexpr int tiles(int rows) { return V::plain_tiles(rows); }
  template <class F, int T, int R, int X>
  static void run(const TileProduct& p, int tile, int row) {
    plain_tiles<F, T, R>(p, tile, row);
  }
};

template <class Kind, class F, int R, int X>
void rows_at_once(const TileProduct& p, int row) {
  constexpr int T = Kind::tiles(R);
  if (p.prefetch != Prefetch::kNone && row == 0) {
    for (int t = 0; t < p.tile_count; ++t) Kind::template run<F, 1, R, X>(p, t, row);
  } else {
    for (int t = 0; t < p.tile_count; t += T) Kind::template run<F, T, R, X>(p, t, row);
  }
}

// A group of X rows, in nearly equal parts if it does not fit: 6 rows where 4 do are 3 + 3.
template <class Kind, class F, int X, int kDone = 0>
void group(const TileProduct& p) {
  constexpr int kParts = (X - kDone + Kind::kRows - 1) / Kind::kRows;
  constexpr int kNow = (X - kDone + kParts - 1) / kParts;
  rows_at_once<Kind, F, kNow, X>(p, kDone);
  if constexpr (kDone + kNow < X) group<Kind, F, X, kDone + kNow>(p);
}

template <class Kind, class F>
void product(const TileProduct& p) {
  switch (p.rows) {
    case 1:
      return group<Kind, F, 1>(p);
    case 2:
      return group<Kind, F, 2>(p);
    case 3:
      return group<Kind, F, 3>(p);
    case 4:
      return group<Kind, F, 4>(p);
    case 5:
      return group<Kind, F, 5>(p);
    case 6:
      return group<Kind, F, 6>(p);
    case 7:
      return group<Kind, F, 7>(p);
    default:
      return group<Kind, F, 8>(p);
  }
}

}  // namespace

void product_f32(const TileProduct& p) { product<Plains, F32>(p); }
void product_f16(const TileProduct& p) { product<Plains, F16>(p); }
void product_bf16(const TileProduct& p) { product<Plains, BF16>(p); }
void product_q8_0(const TileProduct& p) { product<Blocks, Q8_0>(p); }
void product_q4_0(const TileProduct& p) { product<Blocks, Q4_0>(p); }
void product_iq4_nl(const TileProduct& p) { product<Blocks, IQ4_NL>(p); }
void product_mxfp4(const TileProduct& p) { product<Blocks, MXFP4>(p); }
void product_q4_k(const TileProduct& p) { product<Blocks, Q4_K>(p); }
void product_q5_k(const TileProduct& p) { product<Blocks, Q5_K>(p); }
void product_q6_k(const TileProduct& p) { product<Blocks, Q6_K>(p); }
void product_iq4_xs(const TileProduct& p) { product<Blocks, IQ4_XS>(p); }
void product_generic(const TileProduct& p) { product<Blocks, Generic>(p); }
