// Rounds activations to int8 blocks (tile_types.h) with NEON.
#include <arm_neon.h>

#include "kernels/kernel_types.h"

namespace godwit::kernels::neon {
namespace {

inline void put(uint8_t* at, int32_t value) { __builtin_memcpy(at, &value, 4); }
inline void put(uint8_t* at, float value) { __builtin_memcpy(at, &value, 4); }

// The largest magnitude of 32 values, compared as bits: a NaN is then larger than everything.
inline float largest(const float32x4_t (&v)[8]) {
  uint32x4_t most = vdupq_n_u32(0);
  for (int i = 0; i < 8; ++i)
    most = vmaxq_u32(most, vandq_u32(vreinterpretq_u32_f32(v[i]), vdupq_n_u32(0x7fffffff)));
  const uint32_t bits = vmaxvq_u32(most);
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

// One block of one row; `at` is the block's first byte plus 4 · row.
inline void quantize_block(const float* x, int rows, uint8_t* at) {
  float32x4_t v[8];
  for (int i = 0; i < 8; ++i) v[i] = vld1q_f32(x + 4 * i);
  const ActivationScale scales = activation_scale(largest(v));
  int16x8_t q[4];
  for (int i = 0; i < 4; ++i) {
    const int32x4_t low = vcvtnq_s32_f32(vmulq_n_f32(v[2 * i], scales.to_code));
    const int32x4_t high = vcvtnq_s32_f32(vmulq_n_f32(v[2 * i + 1], scales.to_code));
    q[i] = vcombine_s16(vqmovn_s32(low), vqmovn_s32(high));  // NaN, from 0 · infinity, is 0
  }
  const int8x16_t codes[2] = {vcombine_s8(vqmovn_s16(q[0]), vqmovn_s16(q[1])),
                              vcombine_s8(vqmovn_s16(q[2]), vqmovn_s16(q[3]))};
  const int32_t first = vaddlvq_s8(codes[0]), both = first + vaddlvq_s8(codes[1]);
  put(at, scales.scale);
  put(at + 4 * rows, -both);
  put(at + 8 * rows, scales.scale * static_cast<float>(both));
  put(at + 12 * rows, -first);
  int32_t words[8];
  for (int half = 0; half < 2; ++half)
    vst1q_s8(reinterpret_cast<int8_t*>(words + 4 * half), codes[half]);
  for (int step = 0; step < 8; ++step) put(at + 4 * (4 + step) * rows, words[step]);
}

}  // namespace

void quantize_activations(const float* x, int64_t stride, int rows, int64_t columns,
                          uint8_t* blocks) {
  for (int64_t block = 0; block < columns / kBlockColumns; ++block)
    for (int r = 0; r < rows; ++r)
      quantize_block(x + r * stride + block * kBlockColumns, rows,
                     blocks + (block * kActivationBlockBytes * rows + 4 * r));
}

}  // namespace godwit::kernels::neon
