#include "base/resident.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace godwit {
namespace {

bool advise(std::span<const std::byte> bytes, int advice) {
  if (bytes.empty()) return true;
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data()), first = begin / page * page;
  return ::madvise(reinterpret_cast<void*>(first), begin - first + bytes.size(), advice) == 0;
}

}  // namespace

bool make_resident(std::span<const std::byte> bytes) { return advise(bytes, MADV_POPULATE_WRITE); }
void will_need(std::span<const std::byte> bytes) { advise(bytes, MADV_WILLNEED); }
void drop_mapped(std::span<const std::byte> bytes) { advise(bytes, MADV_DONTNEED); }

}  // namespace godwit
