#include "base/hash.h"

#define XXH_INLINE_ALL  // headers alone: nothing to link, nor to cross-compile
#include <xxhash.h>

#include "base/check.h"

namespace godwit {
namespace {

Hash128 from_xxh(const XXH128_hash_t& hash) { return {hash.low64, hash.high64}; }

}  // namespace

Hash128 hash_bytes(const void* data, size_t size) { return from_xxh(XXH3_128bits(data, size)); }
Hash128 hash_bytes(std::string_view bytes) { return hash_bytes(bytes.data(), bytes.size()); }

struct Hasher::State {
  XXH3_state_t* xxh = XXH3_createState();
  ~State() { XXH3_freeState(xxh); }
};

Hasher::Hasher() : state_(std::make_unique<State>()) {
  CHECK(state_->xxh && XXH3_128bits_reset(state_->xxh) == XXH_OK);
}
Hasher::~Hasher() = default;

void Hasher::add(const void* data, size_t size) { XXH3_128bits_update(state_->xxh, data, size); }
Hash128 Hasher::finish() const { return from_xxh(XXH3_128bits_digest(state_->xxh)); }

}  // namespace godwit
