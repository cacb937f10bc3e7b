#include "server/json_fields.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/visible.h"

namespace godwit::server {
namespace {

constexpr int kMaxDepth = 64;
constexpr size_t kMaxValues = 2'000'000;
constexpr size_t kMaxNotes = 32;  // unknown fields of one request in the log

// Commas and opening brackets outside of strings: at least the number of values, less one.
size_t count_values(std::string_view text) {
  size_t count = 1;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == ',' || c == '[' || c == '{') {
      ++count;
    }
  }
  return count;
}

// The types of fields that are known and unused, as the official clients send them. What is not
// here may have any.
struct UnusedField {
  std::string_view key;
  Json::Kind kind;
};
constexpr UnusedField kUnusedFields[] = {
    {"add_special_tokens", Json::Kind::kBool},
    {"betas", Json::Kind::kArray},
    {"cache_control", Json::Kind::kObject},
    {"client_metadata", Json::Kind::kObject},
    {"context", Json::Kind::kArray},
    {"context_management", Json::Kind::kObject},
    {"detail", Json::Kind::kString},
    {"include_obfuscation", Json::Kind::kBool},
    {"inference_geo", Json::Kind::kString},
    {"low_vram", Json::Kind::kBool},
    {"main_gpu", Json::Kind::kNumber},
    {"max_tool_calls", Json::Kind::kNumber},
    {"mcp_servers", Json::Kind::kArray},
    {"media_type", Json::Kind::kString},
    {"metadata", Json::Kind::kObject},
    {"name", Json::Kind::kString},
    {"num_batch", Json::Kind::kNumber},
    {"num_ctx", Json::Kind::kNumber},
    {"num_gpu", Json::Kind::kNumber},
    {"num_keep", Json::Kind::kNumber},
    {"num_thread", Json::Kind::kNumber},
    {"numa", Json::Kind::kBool},
    {"parallel_tool_calls", Json::Kind::kBool},
    {"prompt_cache_key", Json::Kind::kString},
    {"prompt_cache_retention", Json::Kind::kString},
    {"repeat_last_n", Json::Kind::kNumber},
    {"safety_identifier", Json::Kind::kString},
    {"service_tier", Json::Kind::kString},
    {"speed", Json::Kind::kString},
    {"store", Json::Kind::kBool},
    {"stream_options", Json::Kind::kObject},
    {"template", Json::Kind::kString},
    {"truncation", Json::Kind::kString},
    {"use_mmap", Json::Kind::kBool},
    {"user", Json::Kind::kString},
    {"verbosity", Json::Kind::kString},
};

std::string_view name_of(Json::Kind kind) {
  switch (kind) {
    case Json::Kind::kNull:
      return "null";
    case Json::Kind::kBool:
      return "boolean";
    case Json::Kind::kNumber:
      return "number";
    case Json::Kind::kString:
      return "string";
    case Json::Kind::kArray:
      return "array";
    case Json::Kind::kObject:
      return "object";
  }
  return "nothing";
}

// The code unit of "\\uXXXX" at `at`; −1: something else stands there.
int escaped_unit(std::string_view text, size_t at) {
  if (at + 6 > text.size() || text[at] != '\\' || text[at + 1] != 'u') return -1;
  int unit = 0;
  const char* end = text.data() + at + 6;
  const auto read = std::from_chars(end - 4, end, unit, 16);
  return read.ptr == end && text[at + 2] != '-' ? unit : -1;
}

// "messages[3].name" → "messages[].name"
std::string without_indexes(std::string_view path) {
  std::string text;
  bool in_index = false;
  for (const char c : path) {
    if (c == ']') in_index = false;
    if (!in_index) text += c;
    if (c == '[') in_index = true;
  }
  return text;
}

}  // namespace

void replace_halves(std::string& body) {
  for (size_t at = body.find('\\'); at != std::string::npos; at = body.find('\\', at)) {
    const int unit = escaped_unit(body, at);
    const bool first = unit >= 0xD800 && unit < 0xDC00, second = unit >= 0xDC00 && unit < 0xE000;
    const int next = first ? escaped_unit(body, at + 6) : -1;
    if (next >= 0xDC00 && next < 0xE000) {
      at += 12;
      continue;
    }
    if (first || second) body.replace(at + 2, 4, "fffd");
    at += unit < 0 ? 2 : 6;
  }
}

std::string_view kind_name(const Json& json) { return name_of(json.kind()); }

Result<Json> parse_body(std::string_view body) {
  if (body.empty()) return bad_input("body: expected a JSON object, found nothing");
  if (const size_t count = count_values(body); count > kMaxValues) {
    return bad_input("body: expected at most {} values, found about {}", kMaxValues, count);
  }
  std::string repaired;
  if (body.find("\\u") != std::string_view::npos) {
    repaired = body;
    replace_halves(repaired);
    body = repaired;
  }
  auto json = checkpoint::parse_json(body, kMaxDepth);
  if (!json) return in_context("body is not valid JSON", std::move(json.error()));
  if (!json->is_object()) return bad_input("body: expected object, found {}", kind_name(*json));
  return json;
}

Fields::Fields(const Json& json, std::string path, std::shared_ptr<Notes> notes)
    : json_(&json), path_(std::move(path)), notes_(std::move(notes)) {
  if (!notes_) return;
  unread_ = &notes_->emplace_back(Unread{path_, {}});
  for (const auto& [key, unused] : json.members()) unread_->keys.push_back(key);
}

Result<Fields> Fields::of(const Json& json, std::string path) {
  if (!json.is_object())
    return bad_input("{}: expected object, found {}", path.empty() ? "body" : path,
                     kind_name(json));
  const bool is_told = log_enabled(LogLevel::kInfo);
  return Fields(json, std::move(path), is_told ? std::make_shared<Notes>() : nullptr);
}

Result<Fields> Fields::open(const Json& json, std::string path) const {
  if (!json.is_object()) return bad_input("{}: expected object, found {}", path, kind_name(json));
  return Fields(json, std::move(path), notes_);
}

std::string Fields::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

const Json* Fields::find(std::string_view key) {
  if (unread_) std::erase(unread_->keys, key);
  const Json* found = json_->find(key);
  return found && !found->is_null() ? found : nullptr;
}

tl::unexpected<Error> Fields::wrong(std::string_view key, std::string_view expected) const {
  const Json* found = json_->find(key);
  const std::string_view what = found ? kind_name(*found) : "nothing";
  if (found && found->is_number() && expected != "string" && found->literal().size() < 40)
    return bad_input("{}: expected {}, found {}", path_of(key), expected, found->literal());
  return bad_input("{}: expected {}, found {}", path_of(key), expected, what);
}

Status Fields::read(std::string_view key, bool& target) {
  const Json* found = find(key);
  if (!found) return {};
  if (!found->is_bool()) return wrong(key, "boolean");
  target = found->as_bool();
  return {};
}

Status Fields::read(std::string_view key, std::string& target) {
  const Json* found = find(key);
  if (!found) return {};
  if (!found->is_string()) return wrong(key, "string");
  target = found->as_string();
  return {};
}

Status Fields::read(std::string_view key, int& target, int least, int most) {
  const Json* found = find(key);
  if (!found) return {};
  // 5.0 is an integer too: some languages write every number so.
  const double number = found->is_number() ? found->as_double() : 0.5;
  if (number != static_cast<double>(static_cast<int64_t>(std::clamp(number, -1e15, 1e15))))
    return wrong(key, "integer");
  if (number < least || number > most)
    return wrong(key, fmt::format("integer from {} to {}", least, most));
  target = static_cast<int>(number);
  return {};
}

Status Fields::read(std::string_view key, double& target, double least, double most) {
  const Json* found = find(key);
  if (!found) return {};
  if (!found->is_number()) return wrong(key, "number");
  const double number = found->as_double();
  if (!(number >= least && number <= most))
    return wrong(key, fmt::format("number from {} to {}", least, most));
  target = number;
  return {};
}

Status Fields::read(std::string_view key, float& target, double least, double most) {
  double number = target;
  TRY_STATUS(read(key, number, least, most));
  target = static_cast<float>(number);
  return {};
}

Status Fields::read(std::string_view key, uint64_t& target) {
  const Json* found = find(key);
  if (!found) return {};
  const auto number = found->as_int64();
  if (!number) return wrong(key, "integer");
  target = static_cast<uint64_t>(*number);
  return {};
}

Status Fields::read(std::string_view key, std::vector<std::string>& target) {
  const Json* found = find(key);
  if (!found) return {};
  if (found->is_string()) {
    target = {found->as_string()};
    return {};
  }
  if (!found->is_array()) return wrong(key, "string or array of strings");
  target.clear();
  for (size_t i = 0; i < found->items().size(); ++i) {
    const Json& item = found->items()[i];
    if (!item.is_string())
      return bad_input("{}[{}]: expected string, found {}", path_of(key), i, kind_name(item));
    target.push_back(item.as_string());
  }
  return {};
}

Result<std::string> Fields::require_string(std::string_view key) {
  const Json* found = find(key);
  if (!found || !found->is_string()) return wrong(key, "string");
  return found->as_string();
}

Result<const Json*> Fields::find_list(std::string_view key) {
  const Json* found = find(key);
  if (found && !found->is_array()) return wrong(key, "array");
  return found;
}

Result<const Json*> Fields::find_map(std::string_view key) {
  const Json* found = find(key);
  if (found && !found->is_object()) return wrong(key, "object");
  return found;
}

Result<std::optional<Fields>> Fields::find_object(std::string_view key) {
  const Json* found = find(key);
  if (!found) return std::optional<Fields>();
  TRY(Fields fields, open(*found, path_of(key)));
  return std::optional<Fields>(std::move(fields));
}

Result<std::vector<Fields>> Fields::find_objects(std::string_view key) {
  TRY(const Json* list, find_list(key));
  std::vector<Fields> objects;
  for (size_t i = 0; list && i < list->items().size(); ++i) {
    TRY(Fields fields, open(list->items()[i], fmt::format("{}[{}]", path_of(key), i)));
    objects.push_back(std::move(fields));
  }
  return objects;
}

Status Fields::ignore(std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    const Json* found = find(key);
    const auto* known = std::find_if(std::begin(kUnusedFields), std::end(kUnusedFields),
                                     [&](const UnusedField& field) { return field.key == key; });
    if (found && known != std::end(kUnusedFields) && found->kind() != known->kind)
      return wrong(key, name_of(known->kind));
  }
  return {};
}

void Fields::ignore_rest() {
  if (unread_) unread_->keys.clear();
}

void Fields::note_unknown(std::string_view route) const {
  if (!notes_) return;
  std::set<std::string> told;
  for (const Unread& object : *notes_) {
    for (const std::string& key : object.keys) {
      const std::string path = object.path.empty() ? key : fmt::format("{}.{}", object.path, key);
      if (told.size() >= kMaxNotes || !told.insert(without_indexes(path)).second) continue;
      log_info("{}: unknown field {} is ignored", route, in_quotes(path));
    }
  }
}

}  // namespace godwit::server
