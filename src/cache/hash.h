// The hashes that caches are kept under (base/hash.h).
#pragma once

#include <span>

#include "base/hash.h"

namespace godwit::cache {

using godwit::Hash128;
using godwit::hash_bytes;
// Of the bytes one after the other.
Hash128 hash_parts(std::span<const std::span<std::byte>> parts);

}  // namespace godwit::cache
