// The loops behind machine_peak.h. Included inside an instruction set's namespace after
//   Ints, int8_step(sum, a, b) = sum + products of the bytes of a and b, kInt8Macs products a step
// and, where PEAK_ALL is defined,
//   Floats, float_step(sum, a, b) = sum + a · b;  Words, a vector of bytes that are read
// KEEP(x) stops the compiler from seeing through x: nothing is folded or left out.
//
// Twelve sums do not wait for each other: more than latency × width of any of these machines.

constexpr int kSums = 12;

int64_t multiply_int8(int64_t rounds, int32_t* total) {
  Ints sums[kSums], a[kSums], b;
  __builtin_memset(&b, 5, sizeof b);
#pragma GCC unroll 12
  for (int j = 0; j < kSums; ++j) {
    __builtin_memset(&sums[j], 0, sizeof sums[j]);
    __builtin_memset(&a[j], 3, sizeof a[j]);
  }
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < kSums; ++j) {
      KEEP(a[kVaryingOperand ? j : 0]);
      sums[j] = int8_step(sums[j], a[kVaryingOperand ? j : 0], b);
      KEEP(sums[j]);
    }
  }
  constexpr int kLanes32 = sizeof(Ints) / 4;
  uint32_t sum = 0;
  for (int j = 0; j < kSums; ++j) {
    uint32_t lanes[kLanes32];
    __builtin_memcpy(lanes, &sums[j], sizeof lanes);
    for (uint32_t lane : lanes) sum += lane;
  }
  *total = static_cast<int32_t>(sum);
  return rounds * kSums * kInt8Macs;
}

#ifdef PEAK_ALL
int64_t multiply_f32(int64_t rounds, float* total) {
  constexpr int kFloats = sizeof(Floats) / 4;
  float halves[kFloats];
  for (float& half : halves) half = 0.5f;
  Floats sums[kSums], a;
  __builtin_memcpy(&a, halves, sizeof a);
  for (int j = 0; j < kSums; ++j) __builtin_memset(&sums[j], 0, sizeof sums[j]);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < kSums; ++j) {
      sums[j] = float_step(sums[j], a, a);
      KEEP(sums[j]);
    }
  }
  float sum = 0;
  for (int j = 0; j < kSums; ++j) {
    float lanes[kFloats];
    __builtin_memcpy(lanes, &sums[j], sizeof lanes);
    for (float lane : lanes) sum += lane;
  }
  *total = sum;
  return rounds * kSums * kFloats;
}

uint64_t read_xor(const unsigned char* bytes, int64_t n) {
  Words sums[4];
  __builtin_memset(sums, 0, sizeof sums);
  constexpr int64_t kStep = sizeof(Words);
  for (int64_t i = 0; i < n; i += 4 * kStep) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      sums[j] ^= *reinterpret_cast<const Words*>(bytes + i + j * kStep);
    }
  }
  const Words all = sums[0] ^ sums[1] ^ sums[2] ^ sums[3];
  uint64_t words[kStep / 8], result = 0;
  __builtin_memcpy(words, &all, sizeof words);
  for (uint64_t word : words) result ^= word;
  return result;
}
#endif
