// Random numbers by counter: the number at (seed, position) is a function of both alone, so an
// answer can be drawn again whatever ran beside it. SplitMix64's mixing function (Steele, Lea,
// Flood 2014), twice.
#pragma once

#include <cstdint>

namespace godwit::engine {

inline uint64_t mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// In [0, 1), 53 bits.
inline double uniform_at(uint64_t seed, uint64_t position) {
  return static_cast<double>(mix64(mix64(seed) ^ mix64(~position)) >> 11) * 0x1p-53;
}

}  // namespace godwit::engine
