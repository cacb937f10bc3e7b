// The loops behind machine_peak.h. Included inside an instruction set's namespace after
//   Ints, int8_step(sum, a, b) = sum + products of the bytes of a and b, kInt8Macs products a step
// and, where PEAK_ALL is defined,
//   Floats, float_step(sum, a, b) = sum + a · b;  Words, a vector of bytes that are read
// KEEP(x) stops the compiler from seeing through x: nothing is folded or left out.
//
// Twelve sums do not wait for each other: more than latency × width of any of these machines.

constexpr int kSums = 12;

// The sums are single variables whose address nobody takes: as an array they would lie on the stack,
// and the loop would measure its stores. Each STEP(s) is one product of two vectors.
#define TWELVE_STEPS                                                          \
  STEP(s0) STEP(s1) STEP(s2) STEP(s3) STEP(s4) STEP(s5) STEP(s6) STEP(s7) STEP(s8) STEP(s9) \
  STEP(s10) STEP(s11)

int64_t multiply_int8(int64_t rounds, int32_t* total) {
  Ints a, b, zero;
  __builtin_memset(&a, 3, sizeof a);
  __builtin_memset(&b, 5, sizeof b);
  __builtin_memset(&zero, 0, sizeof zero);
  Ints s0 = zero, s1 = zero, s2 = zero, s3 = zero, s4 = zero, s5 = zero;
  Ints s6 = zero, s7 = zero, s8 = zero, s9 = zero, s10 = zero, s11 = zero;
  Ints x = a, y = b;
#define STEP(s)                  \
  if (kVaryingOperand) KEEP(x);  \
  s = int8_step(s, x, y);        \
  KEEP(s);
  for (int64_t i = 0; i < rounds; ++i) {
    TWELVE_STEPS
  }
#undef STEP
  const Ints sums[kSums] = {s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11};
  uint32_t lanes[sizeof sums / 4], sum = 0;
  __builtin_memcpy(lanes, sums, sizeof lanes);
  for (uint32_t lane : lanes) sum += lane;
  *total = static_cast<int32_t>(sum);
  return rounds * kSums * kInt8Macs;
}

#ifdef PEAK_ALL
int64_t multiply_f32(int64_t rounds, float* total) {
  constexpr int kFloats = sizeof(Floats) / 4;
  float halves[kFloats], zeros[kFloats] = {};
  for (float& half : halves) half = 0.5f;
  Floats a, zero;
  __builtin_memcpy(&a, halves, sizeof a);
  __builtin_memcpy(&zero, zeros, sizeof zero);
  Floats s0 = zero, s1 = zero, s2 = zero, s3 = zero, s4 = zero, s5 = zero;
  Floats s6 = zero, s7 = zero, s8 = zero, s9 = zero, s10 = zero, s11 = zero;
  const Floats x = a;
#define STEP(s)               \
  s = float_step(s, x, x);    \
  KEEP(s);
  for (int64_t i = 0; i < rounds; ++i) {
    TWELVE_STEPS
  }
#undef STEP
  const Floats sums[kSums] = {s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11};
  float lanes[sizeof sums / 4], sum = 0;
  __builtin_memcpy(lanes, sums, sizeof lanes);
  for (float lane : lanes) sum += lane;
  *total = sum;
  return rounds * kSums * kFloats;
}

uint64_t read_xor(const unsigned char* bytes, int64_t n) {
  Words s0, s1, s2, s3;
  __builtin_memset(&s0, 0, sizeof s0);
  s1 = s2 = s3 = s0;
  constexpr int64_t kStep = sizeof(Words);
  for (int64_t i = 0; i < n; i += 4 * kStep) {
    const Words* words_here = reinterpret_cast<const Words*>(bytes + i);
    s0 ^= words_here[0];
    s1 ^= words_here[1];
    s2 ^= words_here[2];
    s3 ^= words_here[3];
  }
  const Words all = s0 ^ s1 ^ s2 ^ s3;
  uint64_t words[kStep / 8], result = 0;
  __builtin_memcpy(words, &all, sizeof words);
  for (uint64_t word : words) result ^= word;
  return result;
}
#endif
#undef TWELVE_STEPS
