#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>

#include "base/resident.h"

namespace godwit {
namespace {

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

// Opens a regular file and tells its size.
Result<size_t> open_regular(const std::string& path, Descriptor& file) {
  file.fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file.fd < 0) return bad_input("{}: cannot open: {}", path, std::strerror(errno));
  struct stat info {};
  if (::fstat(file.fd, &info) != 0) return failed("{}: {}", path, std::strerror(errno));
  if (S_ISDIR(info.st_mode)) return bad_input("{}: expected a file, found a folder", path);
  return static_cast<size_t>(info.st_size);
}

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kPiece = 8 * kHugePage;  // settled at once: some ten milliseconds

// Addresses without memory that begin at a huge page's beginning; null: there are none.
std::byte* reserve(size_t bytes) {
  const size_t padded = bytes + kHugePage;
  void* all =
      ::mmap(nullptr, padded, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (all == MAP_FAILED) return nullptr;
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE)),
               used = (bytes + page - 1) / page * page,
               before = -reinterpret_cast<uintptr_t>(all) % kHugePage;
  auto* first = static_cast<std::byte*>(all) + before;
  if (before > 0) ::munmap(all, before);
  ::munmap(first + used, padded - before - used);
  return first;
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::string& path) {
  Descriptor file;
  TRY(const size_t size, open_regular(path, file));
  MappedFile mapped;
  mapped.path_ = path;
  if (size == 0) return mapped;
  std::byte* data = reserve(size);
  if (!data || ::mmap(data, size, PROT_READ, MAP_PRIVATE | MAP_FIXED, file.fd, 0) == MAP_FAILED) {
    const int error = errno;
    if (data) ::munmap(data, size);
    return failed("{}: cannot map {} bytes: {}", path, size, std::strerror(error));
  }
  mapped.data_ = data;
  mapped.size_ = size;
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(settled_, other.settled_);
  std::swap(settles_, other.settles_);
  std::swap(path_, other.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::forget(std::span<const std::byte> part) const {
  const std::less_equal<const std::byte*> before;
  const std::byte* end = part.data() + part.size();
  if (part.empty() || !before(data_, part.data()) || !before(end, data_ + size_)) return;
  const auto first = static_cast<size_t>(part.data() - data_);
  if (first >= settled_) drop_mapped(part);  // what is settled is in no file any more
}

bool MappedFile::settle_next() {
#if defined(MADV_HUGEPAGE)
  if (!settles_ || settled_ >= size_) return false;
  const size_t bytes = std::min(kPiece, size_ - settled_);
  std::byte* memory = reserve(bytes);
  if (!memory) return false;
  auto* place = const_cast<std::byte*>(data_) + settled_;
  if (::mprotect(memory, bytes, PROT_READ | PROT_WRITE) == 0) {
    ::madvise(memory, bytes, MADV_HUGEPAGE);
    std::memcpy(memory, place, bytes);
    ::mprotect(memory, bytes, PROT_READ);
    if (::mremap(memory, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, place) == place) {
      settled_ += bytes;
      return settled_ < size_;
    }
  }
  ::munmap(memory, bytes);
  settles_ = false;  // as good as it gets
#endif
  return false;
}

Result<std::string> read_file(const std::string& path, size_t max_bytes) {
  Descriptor file;
  TRY(const size_t size, open_regular(path, file));
  if (size > max_bytes)
    return bad_input("{}: expected at most {} bytes, found {}", path, max_bytes, size);
  std::string text;
  char buffer[1 << 16];
  for (;;) {  // the size is a hint only: pipes and /proc have none
    const ssize_t got = ::read(file.fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed("{}: cannot read: {}", path, std::strerror(errno));
    if (got == 0) return text;
    if (text.size() + got > max_bytes)
      return bad_input("{}: larger than {} bytes", path, max_bytes);
    text.append(buffer, got);
  }
}

}  // namespace godwit
