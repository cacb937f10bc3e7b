// Where the golden models are: the selection that is kept in tests/goldens, or, where the project's
// shared folder lies beside the clone, all of them there.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

namespace godwit::model {

inline std::filesystem::path golden_root() {
  const std::filesystem::path source = GODWIT_SOURCE_DIR, shared = source / "../shared/goldens";
  return std::filesystem::exists(shared / "models") ? shared : source / "tests/goldens";
}
inline std::filesystem::path golden_family(const std::string& family) {
  return golden_root() / "models" / family;
}

// Names of the cases of a family, sorted.
inline std::vector<std::string> golden_cases(const std::string& family) {
  std::vector<std::string> names;
  if (!std::filesystem::exists(golden_family(family))) return names;
  for (const auto& entry : std::filesystem::directory_iterator(golden_family(family))) {
    const std::string name = entry.path().filename().string(), ending = ".input.safetensors";
    if (name.ends_with(ending)) names.push_back(name.substr(0, name.size() - ending.size()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

// What `-m` would name: the family's folder, and its GGUF files.
inline std::vector<std::string> golden_models(const std::string& family) {
  const std::filesystem::path gguf = golden_root() / "gguf";
  std::vector<std::string> models;
  for (const auto& path : {golden_family(family) / "model", gguf / (family + ".gguf"),
                           gguf / (family + ".bf16.gguf")}) {
    if (std::filesystem::exists(path)) models.push_back(path.string());
  }
  return models;
}

}  // namespace godwit::model
