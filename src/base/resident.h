// What the system is asked to do with the pages that hold some bytes, ahead of their use or after
// it.
#pragma once

#include <cstddef>
#include <span>

namespace godwit {

// Memory is found and cleared now. Otherwise that is done at the first write: at some 20 GB/s at
// best, at less than 1 GB/s in a virtual machine whose host has to find the memory too. Bytes stay
// as they are. False: this system cannot (Linux before 5.14), or has no memory left.
bool make_resident(std::span<const std::byte> bytes);

// Mapped bytes that will soon be read: the system starts to fetch them. A wish.
void will_need(std::span<const std::byte> bytes);

// Mapped bytes that need not stay: touched again, they are read from their file again. Memory
// without a file would be lost. A wish.
void drop_mapped(std::span<const std::byte> bytes);

}  // namespace godwit
