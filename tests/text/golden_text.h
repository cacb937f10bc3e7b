// Golden files of tests/goldens/text, some of them packed with xz.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "checkpoint/json.h"
#include "text/tokenizer.h"

namespace godwit::text {

inline std::string golden_path(const std::string& name) {
  return GODWIT_SOURCE_DIR "/tests/goldens/text/" + name;
}

// NAME.xz, unpacked by the program xz.
inline std::string unpack_golden(const std::string& name) {
  const std::string command = "xz -dc '" + golden_path(name) + ".xz'";
  std::string out;
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return out;
  char buffer[1 << 16];
  while (const size_t n = fread(buffer, 1, sizeof buffer, pipe)) out.append(buffer, n);
  EXPECT_EQ(pclose(pipe), 0) << command;
  return out;
}

inline std::vector<checkpoint::Json> parse_lines(std::string_view text) {
  std::vector<checkpoint::Json> out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    auto line = checkpoint::parse_json(text.substr(0, end));
    EXPECT_TRUE(line) << line.error().message;
    if (line) out.push_back(std::move(*line));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

inline std::vector<int32_t> ids_of(const checkpoint::Json& array) {
  std::vector<int32_t> out;
  for (const auto& id : array.items()) out.push_back(static_cast<int32_t>(*id.as_int64()));
  return out;
}

// The tokenizer of all Qwen3.5 models: 248,077 ids. Read once for a test program.
inline const Tokenizer& qwen35_tokenizer() {
  static const std::unique_ptr<Tokenizer> tokenizer = [] {
    auto read = Tokenizer::from_json(unpack_golden("tokenizer.json"));
    EXPECT_TRUE(read) << read.error().message;
    return read ? std::move(*read) : nullptr;
  }();
  return *tokenizer;
}

}  // namespace godwit::text
