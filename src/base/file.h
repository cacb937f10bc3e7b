// File: a descriptor that is closed with its owner; reads at a place and writes are whole or fail.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace godwit {

class File {
 public:
  // Flags as open(2) has them. A file that is made is for its owner's eyes; false: it is not open.
  File(const std::string& path, int flags);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  explicit operator bool() const { return fd_ >= 0; }

  // False if the file cannot be read, or ends before.
  bool read(void* data, size_t size, uint64_t offset) const;
  // Into one after the other.
  bool read(std::span<const std::span<std::byte>> parts, uint64_t offset) const;
  bool write(const void* data, size_t size, uint64_t offset) const;
  uint64_t size() const;                               // 0 if it cannot be told
  void will_need(uint64_t offset, size_t size) const;  // a wish: that these bytes be near soon

 private:
  const int fd_;
};

}  // namespace godwit
