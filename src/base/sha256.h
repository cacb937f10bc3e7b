// SHA-256 (FIPS 180-4): recognises chat templates by their text and checks downloads.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace godwit {

class Sha256 {
 public:
  void update(std::string_view bytes);
  // Ends the message; the object is not used afterwards.
  std::array<uint8_t, 32> finish();

 private:
  void compress(const uint8_t* block);  // [64]

  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> block_{};
  size_t filled_ = 0;    // of block_
  uint64_t length_ = 0;  // of the message so far, in bytes
};

std::string to_hex(const std::array<uint8_t, 32>& digest);  // lower case
std::string sha256_hex(std::string_view bytes);

}  // namespace godwit
