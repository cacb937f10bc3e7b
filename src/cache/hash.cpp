#include "cache/hash.h"

#include <xxhash.h>

#include <memory>

#include "base/check.h"

namespace godwit::cache {

Hash128 hash_bytes(const void* data, size_t size) {
  const XXH128_hash_t hash = XXH3_128bits(data, size);
  return {hash.low64, hash.high64};
}
Hash128 hash_parts(std::span<const std::span<std::byte>> parts) {
  if (parts.size() == 1) return hash_bytes(parts[0].data(), parts[0].size());
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                       &XXH3_freeState);
  CHECK(state && XXH3_128bits_reset(state.get()) == XXH_OK);
  for (const auto part : parts) XXH3_128bits_update(state.get(), part.data(), part.size());
  const XXH128_hash_t hash = XXH3_128bits_digest(state.get());
  return {hash.low64, hash.high64};
}
Hash128 hash_bytes(std::string_view bytes) { return hash_bytes(bytes.data(), bytes.size()); }

}  // namespace godwit::cache
