// XXH3 hashes (hash.cpp is the library's only user): checksums of what is written to disk, and keys
// of content. No defence against an attacker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace godwit {

struct Hash128 {
  uint64_t low = 0, high = 0;
  auto operator<=>(const Hash128&) const = default;
};

Hash128 hash_bytes(std::string_view bytes);
Hash128 hash_bytes(const void* data, size_t size);

// Of bytes that come one after the other.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;
  void add(const void* data, size_t size);
  Hash128 finish() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace godwit
