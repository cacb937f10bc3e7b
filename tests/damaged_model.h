// Copies of the demonstration model in which something is wrong.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/mapped_file.h"

namespace godwit {

// The first value of a BF16 tensor is NaN. `folder` is made anew.
inline std::string nano_with_nan(const std::filesystem::path& folder, const std::string& tensor) {
  const std::string nano = GODWIT_SOURCE_DIR "/models/nano";
  std::filesystem::remove_all(folder);
  std::filesystem::copy(nano, folder);
  std::string bytes = read_file(nano + "/model.safetensors").value();
  uint64_t header_bytes = 0, begin = 0;
  std::memcpy(&header_bytes, bytes.data(), 8);
  const size_t entry = bytes.find('"' + tensor + '"');
  const size_t offsets = bytes.find("\"data_offsets\":[", entry);
  if (entry == bytes.npos || offsets == bytes.npos ||
      std::sscanf(bytes.c_str() + offsets, "\"data_offsets\":[%lu,", &begin) != 1) {
    ADD_FAILURE() << "no tensor " << tensor;
    return {};
  }
  const uint16_t nan = 0x7fc0;
  std::memcpy(bytes.data() + 8 + header_bytes + begin, &nan, sizeof nan);
  std::ofstream(folder / "model.safetensors", std::ios::binary) << bytes;
  return folder.string();
}

}  // namespace godwit
