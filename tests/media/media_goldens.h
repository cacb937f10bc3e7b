// Golden files of tests/goldens/media, and hashes as they have them.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "base/sha256.h"
#include "checkpoint/json.h"
#include "media/patches.h"
#include "media/picture.h"

namespace godwit::media {

using checkpoint::Json;

inline std::string golden_path(const std::string& name) {
  return GODWIT_SOURCE_DIR "/tests/goldens/media/" + name;
}

inline std::string golden_bytes(const std::string& name) {
  auto bytes = read_file(golden_path(name));
  EXPECT_TRUE(bytes) << bytes.error().message;
  return bytes ? *bytes : "";
}

inline std::vector<Json> golden_lines(const std::string& name) {
  std::vector<Json> lines;
  const std::string text = golden_bytes(name);
  for (size_t from = 0; from < text.size();) {
    const size_t end = text.find('\n', from);
    auto line = checkpoint::parse_json(std::string_view(text).substr(from, end - from));
    EXPECT_TRUE(line) << line.error().message;
    if (line) lines.push_back(std::move(*line));
    from = end + 1;
  }
  return lines;
}

inline const Json& at(const Json& object, std::string_view key) {
  static const Json none;
  const Json* value = object.find(key);
  EXPECT_TRUE(value) << key;
  return value ? *value : none;
}
inline bool has(const Json& object, std::string_view key) { return object.find(key) != nullptr; }
inline std::string text_at(const Json& object, std::string_view key) {
  return at(object, key).as_string();
}
inline int int_at(const Json& object, std::string_view key) {
  return static_cast<int>(at(object, key).as_int64().value());
}
inline std::vector<int> ints(const Json& array) {
  std::vector<int> values;
  for (const Json& item : array.items())
    values.push_back(static_cast<int>(item.as_int64().value()));
  return values;
}
inline Size size_of(const Json& array) { return {ints(array).at(0), ints(array).at(1)}; }
inline PixelLimits limits_of(const Json& array) {
  return {array.items().at(0).as_int64().value(), array.items().at(1).as_int64().value()};
}
inline std::vector<int> grid_of(const PatchedMedia& media) {
  return {media.grid.t, media.grid.h, media.grid.w};
}

inline std::string hash_of(const Picture& picture) {
  return sha256_hex({reinterpret_cast<const char*>(picture.rgb.data()), picture.rgb.size()});
}
inline std::string hash_of(const std::vector<float>& values) {
  return sha256_hex({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
}

}  // namespace godwit::media
