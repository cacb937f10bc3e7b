#include "checkpoint/output_file.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace godwit::checkpoint {

Result<OutputFile> OutputFile::create(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::path target = fs::canonical(path, ignored);  // empty: nothing is there yet
  const bool whole = target.empty() || fs::is_regular_file(target, ignored);
  OutputFile output(target.empty() ? path : target.string(), whole);
  output.file_.reset(std::fopen((whole ? output.part() : output.path_).c_str(), "wbe"));
  if (!output.file_) return failed("{}: cannot write: {}", path, std::strerror(errno));
  return output;
}

OutputFile::~OutputFile() {
  if (!file_) return;  // committed, or moved away
  file_.reset();
  if (whole_) std::remove(part().c_str());
}

Status OutputFile::write(std::span<const std::byte> bytes) {
  if (!bytes.empty() && std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size())
    return failed("{}: cannot write: {}", path_, std::strerror(errno));
  size_ += bytes.size();
  return {};
}

Status OutputFile::pad_to(uint64_t alignment) {
  const std::string zeros((alignment - size_ % alignment) % alignment, '\0');
  return write(zeros);
}

Status OutputFile::sync() {
  if (std::fflush(file_.get()) == 0 && ::fdatasync(::fileno(file_.get())) == 0) return {};
  return failed("{}: cannot write: {}", path_, std::strerror(errno));
}

Status OutputFile::commit() {
  const bool closed = std::fclose(file_.release()) == 0;
  if (closed && (!whole_ || std::rename(part().c_str(), path_.c_str()) == 0)) return {};
  const int reason = errno;
  if (whole_) std::remove(part().c_str());
  return failed("{}: cannot write: {}", path_, std::strerror(reason));
}

}  // namespace godwit::checkpoint
