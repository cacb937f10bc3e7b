#include "cache/hash.h"

namespace godwit::cache {

Hash128 hash_parts(std::span<const std::span<std::byte>> parts) {
  if (parts.size() == 1) return hash_bytes(parts[0].data(), parts[0].size());
  Hasher hasher;
  for (const auto part : parts) hasher.add(part.data(), part.size());
  return hasher.finish();
}

}  // namespace godwit::cache
