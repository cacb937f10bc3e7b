// XXH3 hashes: checksums of what is written to disk, and keys of content. No defence against an
// attacker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace godwit::cache {

struct Hash128 {
  uint64_t low = 0, high = 0;
  auto operator<=>(const Hash128&) const = default;
};

Hash128 hash_bytes(std::string_view bytes);
Hash128 hash_bytes(const void* data, size_t size);
// Of the bytes one after the other.
Hash128 hash_parts(std::span<const std::span<std::byte>> parts);

}  // namespace godwit::cache
