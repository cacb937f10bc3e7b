// MappedFile: a read-only file in memory, paged in by the operating system when touched.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/result.h"

namespace godwit {

class MappedFile {
 public:
  // Errors: the file cannot be opened, is a directory, or cannot be mapped. An empty file maps to
  // an empty span.
  static Result<MappedFile> open(const std::string& path);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }
  // This part (nothing happens if it is not of this file) no longer counts as memory of the
  // process. It stays valid: touched again, it is read again. What is settled stays as it is.
  void forget(std::span<const std::byte> part) const;

  // Moves the next piece of the mapping into huge pages of the process's own memory, with the same
  // bytes at the same addresses; whoever reads them meanwhile notices nothing. Long streams are
  // read a few percent faster from there, but clearing and filling such pages takes longer than
  // mapping the file. False: all is moved, or the system has no memory for it. One thread at a
  // time.
  bool settle_next();

 private:
  const std::byte* data_ = nullptr;  // at a huge page's beginning
  size_t size_ = 0, settled_ = 0;
  bool settles_ = true;  // until the system refuses
  std::string path_;
};

// The whole file as a string; the same errors, and a limit on its size in bytes.
Result<std::string> read_file(const std::string& path, size_t max_bytes = size_t{1} << 30);

}  // namespace godwit
