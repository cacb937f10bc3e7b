// What the checkpoint tests share: a folder to put files in, raw bytes written by hand, and small
// tensors.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tensor/view.h"
#include "tests/temporary_folder.h"

namespace godwit::checkpoint {

class Folder : public TemporaryFolder {
 public:
  // Writes a file and gives its path. A new file each time: ext4 writes one that was truncated to
  // the disk at once.
  std::string put(const std::string& name, const std::string& bytes) const {
    std::filesystem::remove(*this / name);
    std::ofstream(*this / name, std::ios::binary) << bytes;
    return *this / name;
  }
};

inline std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Little-endian bytes, put together by hand.
struct Bytes {
  std::string data;
  template <class T>
  Bytes& number(T value) {
    data.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& raw(std::string_view text) {
    data.append(text);
    return *this;
  }
  Bytes& text(std::string_view text) { return number<uint64_t>(text.size()).raw(text); }
  Bytes& pad(size_t alignment) {
    data.append((alignment - data.size() % alignment) % alignment, '\0');
    return *this;
  }
};

template <class T>
tensor::TensorView view_of(const std::vector<T>& values, tensor::DType dtype, tensor::Shape shape) {
  return {reinterpret_cast<const std::byte*>(values.data()), dtype, shape};
}

inline bool same_bytes(const tensor::TensorView& a, const tensor::TensorView& b) {
  return a.dtype == b.dtype && a.shape == b.shape && std::memcmp(a.data, b.data, a.bytes()) == 0;
}

// One line that names the file.
inline void expect_clear(const std::string& message, const std::string& path) {
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  EXPECT_NE(message.find(path), std::string::npos) << message;
  EXPECT_LT(message.size(), 2500u) << message;
}

}  // namespace godwit::checkpoint
