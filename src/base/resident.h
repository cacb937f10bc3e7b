// Memory that is found and cleared by the system before it is needed.
//
// Otherwise that is done at the first write: at some 20 GB/s at best, at less than 1 GB/s in a
// virtual machine whose host has to find the memory too.
#pragma once

#include <cstddef>
#include <span>

namespace godwit {

// Bytes stay as they are. False: this system cannot (Linux before 5.14), or has no memory left.
bool make_resident(std::span<const std::byte> bytes);

}  // namespace godwit
