// One-lane vectors: the readable truth that the wider instruction sets are tested against. Included
// inside an instruction set's namespace by ops_<isa>.cpp, as are vec_avx2.h, vec_avx512.h and
// vec_neon.h, which offer the same names:
//   Vec, kLanes, kGemmRows × kGemmVecs (accumulators of the matrix kernel that fit the
//   registers), and the functions below.
// `n` in load_n, store_n: only the first n lanes exist (0 < n ≤ kLanes); the others load as zero.

using Vec = float;
constexpr int kLanes = 1;
constexpr int kGemmRows = 4, kGemmVecs = 4;

VEC_FN Vec load(const float* p) { return *p; }
VEC_FN void store(float* p, Vec v) { *p = v; }
VEC_FN Vec load_n(const float* p, int) { return *p; }
VEC_FN void store_n(float* p, Vec v, int) { *p = v; }
VEC_FN Vec set1(float x) { return x; }
VEC_FN Vec add(Vec a, Vec b) { return a + b; }
VEC_FN Vec sub(Vec a, Vec b) { return a - b; }
VEC_FN Vec mul(Vec a, Vec b) { return a * b; }
VEC_FN Vec div(Vec a, Vec b) { return a / b; }
VEC_FN Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
VEC_FN Vec max(Vec a, Vec b) { return a > b ? a : b; }
VEC_FN float sum(Vec v) { return v; }
VEC_FN float max_of(Vec v) { return v; }
VEC_FN Vec exp(Vec x) { return std::exp(x); }
VEC_FN Vec erf(Vec x) { return std::erf(x); }
VEC_FN Vec load_f16(const uint16_t* p) { return f16_to_f32(*p); }
VEC_FN void store_f16(uint16_t* p, Vec v) { *p = f32_to_f16(v); }
VEC_FN Vec load_bf16(const uint16_t* p) { return bf16_to_f32(*p); }
VEC_FN Vec load_i8(const int8_t* p) { return *p; }
VEC_FN float f16_scale(const uint16_t* p) { return f16_to_f32(*p); }
// Four columns of kLanes rows: out[j] lane i = p[i · stride + j].
VEC_FN void load_columns(const float* p, int64_t, Vec out[4]) {
  for (int j = 0; j < 4; ++j) out[j] = p[j];
}
// Sums of four vectors, side by side.
VEC_FN void sum4(Vec a, Vec b, Vec c, Vec d, float* out) {
  out[0] = a, out[1] = b, out[2] = c, out[3] = d;
}
