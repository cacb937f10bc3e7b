// What lies where:
//
//   folder/  config.json · generation_config.json · (video_)preprocessor_config.json ·
//            tokenizer.json · tokenizer_config.json · chat_template.jinja | chat_template.json ·
//            model*.safetensors[.index.json]
//   folder/  NAME.gguf (or NAME-00001-of-0000N.gguf …) · *mmproj*.gguf
#include "checkpoint/model_folder.h"

#include <algorithm>
#include <filesystem>
#include <regex>
#include <vector>

#include "base/folder.h"
#include "base/mapped_file.h"
#include "base/visible.h"

namespace godwit::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxJson = 64 << 20;
constexpr const char* kNeeded =
    "a Hugging Face folder (config.json and safetensors) or a .gguf file";

bool file_exists(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

Result<Json> read_json(const fs::path& path) {
  TRY(const auto text, read_file(path.string(), kMaxJson));
  auto json = parse_json(text);
  if (!json) return in_context(path.string(), std::move(json.error()));
  if (!json->is_object()) return bad_input("{}: expected a JSON object", path.string());
  return json;
}

Status read_optional_json(const fs::path& path, std::optional<Json>& into) {
  if (!file_exists(path)) return {};
  TRY(into, read_json(path));
  return {};
}

// A string, or a list of {"name", "template"}, of which "default" is meant, or else the first.
Result<std::optional<std::string>> template_of(const Json& json, const fs::path& file) {
  const Json* entry = json.find("chat_template");
  std::optional<std::string> first;
  if (!entry || entry->is_null()) return first;
  if (entry->is_string()) return entry->as_string();
  if (!entry->is_array())
    return bad_input("{}: chat_template: expected a string or a list of templates, found {}",
                     file.string(), entry->dump().substr(0, 60));
  for (const Json& item : entry->items()) {
    const Json *name = item.find("name"), *text = item.find("template");
    if (!text || !text->is_string()) continue;
    if (name && name->is_string() && name->as_string() == "default") return text->as_string();
    if (!first) first = text->as_string();
  }
  return first;
}

Status read_chat_template(const fs::path& folder, ModelFiles& files) {
  if (const auto path = folder / "chat_template.jinja"; file_exists(path)) {
    TRY(files.chat_template, read_file(path.string(), kMaxJson));
    return {};
  }
  if (const auto path = folder / "chat_template.json"; file_exists(path)) {
    TRY(const auto json, read_json(path));
    TRY(files.chat_template, template_of(json, path));
  }
  if (!files.chat_template && files.tokenizer_config) {
    TRY(files.chat_template,
        template_of(*files.tokenizer_config, folder / "tokenizer_config.json"));
  }
  return {};
}

Status read_text_files(const fs::path& folder, ModelFiles& files) {
  TRY_STATUS(read_optional_json(folder / "tokenizer_config.json", files.tokenizer_config));
  TRY_STATUS(read_chat_template(folder, files));
  if (const auto path = folder / "tokenizer.json"; file_exists(path))
    files.tokenizer_json_path = path.string();
  return {};
}

Result<ModelFiles> open_hugging_face(const fs::path& folder) {
  ModelFiles files;
  files.path = folder.string();
  TRY(files.config, read_json(folder / "config.json"));
  TRY(files.tensors, open_safetensors(folder.string()));
  TRY_STATUS(read_optional_json(folder / "generation_config.json", files.generation_config));
  TRY_STATUS(read_optional_json(folder / "preprocessor_config.json", files.preprocessor_config));
  TRY_STATUS(read_optional_json(folder / "video_preprocessor_config.json",
                                files.video_preprocessor_config));
  TRY_STATUS(read_text_files(folder, files));
  return files;
}

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

// What stands between the parts of a file's name.
bool is_mark(char c) { return c == '-' || c == '.' || c == '_'; }

// The name in small letters without ".gguf" and, for vision files, without "mmproj" and the marks
// around it.
std::string stem_of(const fs::path& path) {
  std::string stem = lower(path.stem().string());
  if (const size_t place = stem.find("mmproj"); place != std::string::npos) {
    stem.erase(place, 6);
    if (place > 0 && is_mark(stem[place - 1]))
      stem.erase(place - 1, 1);
    else if (place < stem.size() && is_mark(stem[place]))
      stem.erase(place, 1);
  }
  return stem;
}

// Without the type of the weights at its end: "qwen3.5-4b-q4_k_m" → "qwen3.5-4b", "bf16" → "".
std::string without_type(const std::string& stem) {
  static const std::regex kType("(^|[-._])(bf16|fp?16|fp?32|mxfp4|i?q[0-9][a-z0-9_]*)$");
  return std::regex_replace(stem, kType, "");
}

// "qwen3.5-4b-q4_0" is of the model "qwen3.5-4b", "qwen3.5-4bx" is not.
bool is_of_model(std::string_view stem, std::string_view model) {
  if (!stem.starts_with(model)) return false;
  const std::string_view rest = stem.substr(model.size());
  return rest.empty() || is_mark(rest[0]);
}

// NAME-00002-of-00003.gguf and so on: the files of a split set after its first.
bool is_later_part(std::string_view name) {
  constexpr std::string_view kShape = "-00000-of-00000.gguf";
  if (name.size() < kShape.size()) return false;
  const std::string_view end = name.substr(name.size() - kShape.size());
  for (size_t i = 0; i < end.size(); ++i) {
    const bool is_digit = end[i] >= '0' && end[i] <= '9';
    if (kShape[i] == '0' ? !is_digit : end[i] != kShape[i]) return false;
  }
  return end.substr(1, 5) != "00001";
}

struct GgufNames {
  std::vector<fs::path> text, vision;  // sorted; of a split set only the first file
};

GgufNames list_gguf(const fs::path& folder) {
  GgufNames names;
  for_each_entry(folder.string(), [&](const fs::directory_entry& entry) {
    const std::string name = lower(entry.path().filename().string());
    if (!name.ends_with(".gguf")) return;
    if (name.find("mmproj") != std::string::npos) {
      names.vision.push_back(entry.path());
    } else if (!is_later_part(name)) {
      names.text.push_back(entry.path());
    }
  });
  std::sort(names.text.begin(), names.text.end());
  std::sort(names.vision.begin(), names.vision.end());
  return names;
}

bool holds_safetensors(const fs::path& folder) {
  bool found = false;
  for_each_entry(folder.string(), [&](const fs::directory_entry& entry) {
    const std::string name = entry.path().filename().string();
    found |= name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json");
  });
  return found;
}

// Repositories of .gguf files may have the config.json of the model that they were made from.
bool holds_only_gguf(const fs::path& folder) {
  return !holds_safetensors(folder) && !list_gguf(folder).text.empty();
}

// The vision file beside a text file: of the same name; else that of the longest model's name that
// the text's begins with; else one that names no model ("mmproj-F16.gguf"). Of equals the first:
// bf16, f16, f32.
std::string find_mmproj(const fs::path& text) {
  const std::string stem = stem_of(text);
  fs::path best;
  size_t best_score = 0;
  const auto folder = text.parent_path();
  for (const auto& candidate : list_gguf(folder.empty() ? fs::path(".") : folder).vision) {
    const std::string name = stem_of(candidate), key = without_type(name);
    size_t score = 0;
    if (name == stem)
      score = 100000;
    else if (key.empty())
      score = 1;
    else if (is_of_model(stem, key))
      score = 2 + key.size();
    if (score > best_score) best_score = score, best = candidate;
  }
  return best.string();
}

Result<std::unique_ptr<GgufFile>> open_vision(const std::string& path) {
  TRY(auto file, GgufFile::open(path));
  TRY(const auto architecture, file->text("general.architecture"));
  if (architecture != "clip")
    return bad_input("{}: expected a vision file (general.architecture clip), found {}", path,
                     in_quotes(architecture));
  return file;
}

Result<ModelFiles> open_gguf(const std::string& path, const std::string& mmproj) {
  ModelFiles files;
  files.path = path;
  files.is_gguf = true;
  TRY(files.gguf, GgufFile::open(path));
  TRY(const auto architecture, files.gguf->text("general.architecture"));
  if (architecture == "clip")
    return bad_input("{}: expected a text model, found its vision part (general.architecture clip)",
                     path);
  const std::string vision = mmproj.empty() ? find_mmproj(path) : mmproj;
  if (!vision.empty()) {
    TRY(files.mmproj, open_vision(vision));
  }
  return files;
}

}  // namespace

Result<ModelFiles> open_model_files(const std::string& model, const std::string& mmproj) {
  std::error_code ignored;
  if (!file_exists(model))
    return bad_input("{}: no such file or folder; expected {}", model, kNeeded);
  if (!fs::is_directory(model, ignored)) {
    if (lower(model).ends_with(".gguf")) return open_gguf(model, mmproj);
    return bad_input("{}: expected {}, found another file", model, kNeeded);
  }
  if (file_exists(fs::path(model) / "config.json") && !holds_only_gguf(model)) {
    if (!mmproj.empty())
      return bad_input("{}: a vision file is given, but this folder is no .gguf model", model);
    return open_hugging_face(model);
  }
  const auto found = list_gguf(model);
  if (found.text.size() == 1) return open_gguf(found.text[0].string(), mmproj);
  if (found.text.empty() && holds_safetensors(model))
    return bad_input("{}: expected config.json beside the .safetensors files, found none", model);
  return bad_input("{}: expected {}, found a folder without safetensors and with {} .gguf models{}",
                   model, kNeeded, found.text.size(),
                   found.text.empty() ? "" : " (name one of them)");
}

Result<ModelFiles> open_text_files(const std::string& model) {
  if (!file_exists(fs::path(model) / "tokenizer.json")) return open_model_files(model);
  ModelFiles files;
  files.path = model;
  TRY_STATUS(read_text_files(model, files));
  return files;
}

}  // namespace godwit::checkpoint
