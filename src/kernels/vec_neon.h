// Vectors of 4 for NEON (AArch64); see vec_scalar.h.

using Vec = float32x4_t;
constexpr int kLanes = 4;
constexpr int kGemmRows = 6, kGemmVecs = 4;  // 24 sums of 32 registers

VEC_FN Vec load(const float* p) { return vld1q_f32(p); }
VEC_FN void store(float* p, Vec v) { vst1q_f32(p, v); }
VEC_FN Vec load_n(const float* p, int n) {
  float lanes[4] = {};
  for (int i = 0; i < n; ++i) lanes[i] = p[i];
  return vld1q_f32(lanes);
}
VEC_FN void store_n(float* p, Vec v, int n) {
  float lanes[4];
  vst1q_f32(lanes, v);
  for (int i = 0; i < n; ++i) p[i] = lanes[i];
}
VEC_FN Vec set1(float x) { return vdupq_n_f32(x); }
VEC_FN Vec add(Vec a, Vec b) { return vaddq_f32(a, b); }
VEC_FN Vec sub(Vec a, Vec b) { return vsubq_f32(a, b); }
VEC_FN Vec mul(Vec a, Vec b) { return vmulq_f32(a, b); }
VEC_FN Vec div(Vec a, Vec b) { return vdivq_f32(a, b); }
VEC_FN Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
VEC_FN Vec max(Vec a, Vec b) { return vmaxq_f32(a, b); }
VEC_FN Vec min(Vec a, Vec b) { return vminq_f32(a, b); }
VEC_FN Vec abs(Vec a) { return vabsq_f32(a); }
VEC_FN Vec round(Vec a) { return vrndnq_f32(a); }
VEC_FN Vec power_of_two(int32x4_t n) {
  return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}
// In two halves, so that 2^n itself may lie outside the range of normal numbers.
VEC_FN Vec scale_by_power(Vec a, Vec n) {
  const int32x4_t whole = vcvtq_s32_f32(n), half = vshrq_n_s32(whole, 1);
  return mul(mul(a, power_of_two(half)), power_of_two(vsubq_s32(whole, half)));
}
VEC_FN Vec if_below(Vec a, Vec b, Vec then, Vec otherwise) {
  return vbslq_f32(vcltq_f32(a, b), then, otherwise);
}
VEC_FN Vec with_sign_of(Vec a, Vec sign) { return vbslq_f32(vdupq_n_u32(0x80000000u), sign, a); }
VEC_FN float sum(Vec v) { return vaddvq_f32(v); }
VEC_FN void sum4(Vec a, Vec b, Vec c, Vec d, float* out) {
  store(out, vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)));
}
VEC_FN float max_of(Vec v) { return vmaxvq_f32(v); }
VEC_FN Vec load_f16(const uint16_t* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
VEC_FN void store_f16(uint16_t* p, Vec v) { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v))); }
VEC_FN Vec load_bf16(const uint16_t* p) {
  return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}
VEC_FN Vec load_i8(const int8_t* p) {
  int8_t bytes[8] = {p[0], p[1], p[2], p[3]};
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vld1_s8(bytes)))));
}
VEC_FN float f16_scale(const uint16_t* p) {
  return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(*p))), 0);
}

// out[j] lane i = p[i · stride + j]
VEC_FN void load_columns(const float* p, int64_t stride, Vec out[4]) {
  const float32x4x2_t a = vtrnq_f32(load(p), load(p + stride)),
                      b = vtrnq_f32(load(p + 2 * stride), load(p + 3 * stride));
  out[0] = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
  out[1] = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
  out[2] = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
  out[3] = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
}
