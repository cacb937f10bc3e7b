#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace godwit {

File::File(const std::string& path, int flags)
    : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {}

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

bool File::read(void* data, size_t size, uint64_t offset) const {
  const std::span<std::byte> whole(static_cast<std::byte*>(data), size);
  return read({&whole, 1}, offset);
}

bool File::read(std::span<const std::span<std::byte>> parts, uint64_t offset) const {
  constexpr size_t kAtOnce = 64;  // the system's limit is 1,024
  for (size_t done = 0; !parts.empty();) {
    iovec rest[kAtOnce];
    const size_t count = std::min(parts.size(), kAtOnce);
    size_t wanted = 0;
    for (size_t i = 0; i < count; ++i) {
      const auto part = parts[i].subspan(i == 0 ? done : 0);
      rest[i] = {part.data(), part.size()};
      wanted += part.size();
    }
    ssize_t n =
        wanted == 0 ? 0 : ::preadv(fd_, rest, static_cast<int>(count), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 || (n == 0 && wanted > 0)) return false;
    offset += static_cast<uint64_t>(n);
    done += static_cast<size_t>(n);
    while (!parts.empty() && done >= parts[0].size()) {
      done -= parts[0].size();
      parts = parts.subspan(1);
    }
  }
  return true;
}

bool File::write(const void* data, size_t size, uint64_t offset) const {
  const auto* from = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = ::pwrite(fd_, from, size, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    from += n, offset += static_cast<uint64_t>(n), size -= static_cast<size_t>(n);
  }
  return true;
}

uint64_t File::size() const {
  struct stat info {};
  return ::fstat(fd_, &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

void File::will_need(uint64_t offset, size_t size) const {
  ::posix_fadvise(fd_, static_cast<off_t>(offset), static_cast<off_t>(size), POSIX_FADV_WILLNEED);
}

}  // namespace godwit
