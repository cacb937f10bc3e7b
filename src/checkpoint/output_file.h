// OutputFile: a file that appears under its name only when it is whole. Until commit() it is
// `path.part`, and without commit() it is removed. A device or a pipe is written to as it is, and
// what a link names is replaced, not the link.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace godwit::checkpoint {

class OutputFile {
 public:
  static Result<OutputFile> create(const std::string& path);
  OutputFile(OutputFile&& other) noexcept = default;
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile();

  Status write(std::span<const std::byte> bytes);
  Status write(std::string_view text) { return write(std::as_bytes(std::span(text))); }
  Status pad_to(uint64_t alignment);  // zeros up to the next multiple
  Status sync();                      // what was written is on the disk
  uint64_t size() const { return size_; }
  Status commit();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  OutputFile(std::string path, bool whole) : path_(std::move(path)), whole_(whole) {}
  std::string part() const { return path_ + ".part"; }

  std::string path_;
  bool whole_;  // by way of part()
  std::unique_ptr<std::FILE, Close> file_;
  uint64_t size_ = 0;
};

}  // namespace godwit::checkpoint
