// safetensors:
//
//   u64 n │ n bytes of JSON │ data
//           {"name": {"dtype", "shape", "data_offsets": [begin, end]}, …}
//
// Offsets count from the start of the data; tensors lie side by side and fill it, as the format's
// own implementation demands. A sharded checkpoint has an index: {"weight_map": {"name": "file",
// …}}.
#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include "base/folder.h"
#include "base/mapped_file.h"
#include "base/visible.h"
#include "checkpoint/faults.h"
#include "checkpoint/json.h"
#include "checkpoint/output_file.h"
#include "checkpoint/tensor_source.h"

namespace godwit::checkpoint {
namespace {

static_assert(std::endian::native == std::endian::little,
              "files are little-endian and mapped as they are");

using tensor::TensorView;
using Tensors = std::map<std::string, TensorView, std::less<>>;

constexpr uint64_t kMaxHeader = 100'000'000;  // the format's own limit
constexpr size_t kMaxRank = 5;

struct Entry {
  std::string name;
  const tensor::DTypeInfo* type = nullptr;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;
};

std::optional<uint64_t> natural(const Json& json) {
  const auto value = json.as_int64();
  if (!value || *value < 0) return std::nullopt;
  return static_cast<uint64_t>(*value);
}

// The types of the format that we know; block types have no place in it.
const tensor::DTypeInfo* safetensors_dtype(const Json* json) {
  if (!json || !json->is_string()) return nullptr;
  const auto* type = tensor::find_dtype(json->as_string());
  return type && type->block_size == 1 ? type : nullptr;
}

// What one entry must hold on its own; its place among the others is checked by check_layout.
std::optional<Entry> read_entry(const std::string& name, const Json& json, Faults& faults) {
  const std::string who = in_quotes(name);
  const Json *dtype = json.find("dtype"), *shape = json.find("shape"),
             *offsets = json.find("data_offsets");
  Entry entry{name, safetensors_dtype(dtype)};
  if (!entry.type) {
    faults.add("tensor {}: expected dtype F32, F16, BF16, I64, I32, I8, U8 or BOOL, found {}", who,
               !dtype               ? "none"
               : dtype->is_string() ? in_quotes(dtype->as_string())
                                    : "another kind of value");
    return std::nullopt;
  }
  if (!shape || !shape->is_array() || shape->items().size() > kMaxRank) {
    faults.add("tensor {}: expected a shape of at most {} dimensions", who, kMaxRank);
    return std::nullopt;
  }
  uint64_t elements = 1;
  for (const Json& item : shape->items()) {
    const auto dim = natural(item);
    if (!dim || __builtin_mul_overflow(elements, *dim, &elements) || elements > INT64_MAX) {
      faults.add("tensor {}: expected dimensions whose product fits 63 bits, found {}", who,
                 shape->dump().substr(0, 120));
      return std::nullopt;
    }
    entry.shape.push_back(static_cast<int64_t>(*dim));
  }
  const bool is_pair = offsets && offsets->is_array() && offsets->items().size() == 2;
  const auto begin = is_pair ? natural(offsets->items()[0]) : std::nullopt;
  const auto end = is_pair ? natural(offsets->items()[1]) : std::nullopt;
  if (!begin || !end || *begin > *end) {
    faults.add("tensor {}: expected data_offsets [begin, end], found {}", who,
               offsets ? offsets->dump().substr(0, 120) : "none");
    return std::nullopt;
  }
  entry.begin = *begin, entry.end = *end;
  const auto bytes = tensor::bytes_of(entry.type->dtype, elements);
  if (!bytes || *bytes != *end - *begin) {
    faults.add("tensor {}: {} {} needs {} bytes, found {}", who, entry.type->name, shape->dump(),
               bytes ? std::to_string(*bytes) : "too many", *end - *begin);
    return std::nullopt;
  }
  return entry;
}

// Sorted by place, each tensor begins where the one before ends, and the last ends with the file.
void check_layout(std::vector<Entry>& entries, uint64_t data_bytes, Faults& faults) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  uint64_t place = 0;
  for (const auto& entry : entries) {
    if (entry.end > data_bytes)
      faults.add("tensor {}: ends at byte {} of the data, which has {} (is the file cut short?)",
                 in_quotes(entry.name), entry.end, data_bytes);
    else if (entry.begin != place)
      faults.add("tensor {}: expected to begin at byte {} of the data, found {} ({})",
                 in_quotes(entry.name), place, entry.begin,
                 entry.begin < place ? "overlaps another" : "a gap");
    place = std::max(place, entry.end);
  }
  if (place < data_bytes) faults.add("{} bytes follow the last tensor", data_bytes - place);
}

Result<std::vector<Entry>> read_header(const MappedFile& file, uint64_t& data_start) {
  const auto bytes = file.bytes();
  uint64_t length = 0;
  if (bytes.size() < sizeof length)
    return bad_input("{}: expected a safetensors file, found {} bytes", file.path(), bytes.size());
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > kMaxHeader)
    return bad_input(
        "{}: expected a safetensors header of at most {} bytes, found {} (is it another kind of "
        "file?)",
        file.path(), kMaxHeader, length);
  if (length > bytes.size() - sizeof length)
    return bad_input("{}: expected a header of {} bytes, found {} (is the file cut short?)",
                     file.path(), length, bytes.size() - sizeof length);
  data_start = sizeof length + length;
  auto header = parse_json({reinterpret_cast<const char*>(bytes.data()) + sizeof length, length}, 8,
                           RepeatedKeys::kRefuse);
  if (!header) return in_context(file.path() + ": header", std::move(header.error()));
  if (!header->is_object()) return bad_input("{}: expected a JSON object as header", file.path());
  Faults faults;
  std::vector<Entry> entries;
  entries.reserve(header->members().size());
  for (const auto& [name, json] : header->members()) {
    if (name == "__metadata__") continue;
    if (auto entry = read_entry(name, json, faults)) entries.push_back(std::move(*entry));
  }
  if (!faults.any()) check_layout(entries, bytes.size() - data_start, faults);
  if (faults.any()) return faults.error(file.path());
  return entries;
}

// One file, mapped. Writers that do not pad the header leave tensors that are not aligned to their
// elements: they are views like the others.
class SafetensorsFile {
 public:
  static Result<SafetensorsFile> open(const std::string& path) {
    SafetensorsFile result;
    TRY(result.file_, MappedFile::open(path));
    uint64_t data_start = 0;
    TRY(const auto entries, read_header(result.file_, data_start));
    const std::byte* data = result.file_.bytes().data() + data_start;
    for (const auto& entry : entries)
      result.tensors_[entry.name] = {data + entry.begin, entry.type->dtype,
                                     tensor::Shape(entry.shape)};
    return result;
  }
  const Tensors& tensors() const { return tensors_; }
  const std::string& path() const { return file_.path(); }
  void forget(std::span<const std::byte> bytes) const { file_.forget(bytes); }

 private:
  MappedFile file_;
  Tensors tensors_;
};

class Safetensors : public TensorSource {
 public:
  explicit Safetensors(std::string description) : description_(std::move(description)) {}

  // A name that an earlier file has is a fault.
  void add(SafetensorsFile file, const std::string& path, Faults& faults) {
    for (const auto& [name, view] : file.tensors())
      if (!tensors_.try_emplace(name, view).second)
        faults.add("tensor {} is in {} and in another file", in_quotes(name), path);
    files_.push_back(std::move(file));
  }
  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    names.reserve(tensors_.size());
    for (const auto& [name, view] : tensors_) names.push_back(name);
    return names;
  }
  std::optional<TensorView> find(std::string_view name) const override {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) return std::nullopt;
    return found->second;
  }
  std::string description() const override { return description_; }
  std::vector<std::string> paths() const override {
    std::vector<std::string> result;
    for (const auto& file : files_) result.push_back(file.path());
    return result;
  }
  void forget(const TensorView& view) const override {
    for (const auto& file : files_) file.forget({view.data, view.bytes()});
  }

 private:
  std::string description_;
  std::vector<SafetensorsFile> files_;
  Tensors tensors_;
};

// name → file, from an index. File names are plain: an index cannot reach out of its folder.
Result<std::map<std::string, std::string>> read_weight_map(const std::string& path) {
  TRY(const auto text, read_file(path, kMaxHeader));
  auto json = parse_json(text, 8, RepeatedKeys::kRefuse);
  if (!json) return in_context(path, std::move(json.error()));
  const Json* map = json->find("weight_map");
  if (!map || !map->is_object())
    return bad_input("{}: expected \"weight_map\" to be an object", path);
  std::map<std::string, std::string> result;
  for (const auto& [name, file] : map->members()) {
    if (!file.is_string() || file.as_string().empty() ||
        file.as_string().find('/') != std::string::npos ||
        file.as_string().find('\0') != std::string::npos)
      return bad_input("{}: weight_map: {}: expected the name of a file beside the index, found {}",
                       path, in_quotes(name),
                       file.is_string() ? in_quotes(file.as_string()) : "another kind of value");
    result[name] = file.as_string();
  }
  if (result.empty()) return bad_input("{}: \"weight_map\" is empty", path);
  return result;
}

Result<std::unique_ptr<TensorSource>> open_one(const std::string& path) {
  TRY(auto file, SafetensorsFile::open(path));
  auto source = std::make_unique<Safetensors>(path);
  Faults faults;
  source->add(std::move(file), path, faults);
  return source;
}

Result<std::unique_ptr<TensorSource>> open_sharded(const std::string& index) {
  TRY(const auto weight_map, read_weight_map(index));
  std::set<std::string> shards;
  for (const auto& [name, shard] : weight_map) shards.insert(shard);
  const auto folder = std::filesystem::path(index).parent_path();
  auto source = std::make_unique<Safetensors>(fmt::format("{} ({} files)", index, shards.size()));
  Faults faults;
  for (const auto& shard : shards) {
    const std::string path = (folder / shard).string();
    auto file = SafetensorsFile::open(path);
    if (!file) {
      faults.add("{}", file.error().message);
      continue;
    }
    for (const auto& [name, in_shard] : weight_map)
      if (in_shard == shard && !file->tensors().contains(name))
        faults.add("tensor {} is not in {}, where the index has it", in_quotes(name), path);
    source->add(std::move(*file), path, faults);
  }
  if (faults.any()) return faults.error(index);
  return source;
}

}  // namespace

Result<std::unique_ptr<TensorSource>> open_safetensors(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (!fs::is_directory(path, ignored))
    return path.ends_with(".json") ? open_sharded(path) : open_one(path);
  const fs::path folder(path);
  for (const char* name : {"model.safetensors.index.json", "model.safetensors"})
    if (fs::exists(folder / name, ignored)) return open_safetensors((folder / name).string());
  std::vector<std::string> found;
  for_each_entry(path, [&](const fs::directory_entry& entry) {
    if (entry.path().extension() == ".safetensors") found.push_back(entry.path().string());
  });
  if (found.size() == 1) return open_one(found[0]);
  return bad_input(
      "{}: expected model.safetensors, model.safetensors.index.json or one .safetensors file, "
      "found {}",
      path, found.empty() ? "none" : std::to_string(found.size()));
}

Status write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                         const std::vector<std::pair<std::string, std::string>>& metadata) {
  // The widest elements first: then every tensor is aligned to its own.
  std::vector<const NamedTensor*> order;
  for (const auto& tensor : tensors) order.push_back(&tensor);
  const auto width = [](const NamedTensor* t) {
    return tensor::dtype_info(t->view.dtype).block_bytes;
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](auto* a, auto* b) { return width(a) > width(b); });

  Json header = Json::object();
  if (!metadata.empty()) {
    Json texts = Json::object();
    for (const auto& [key, value] : metadata) texts.set(key, Json::string(value));
    header.set("__metadata__", std::move(texts));
  }
  std::set<std::string_view> names;
  int64_t place = 0;
  for (const auto* tensor : order) {
    CHECK_MSG(tensor::dtype_info(tensor->view.dtype).block_size == 1,
              "safetensors has no block types");
    CHECK_MSG(names.insert(tensor->name).second, "two tensors of one name");
    Json shape = Json::array();
    for (int i = 0; i < tensor->view.shape.rank(); ++i)
      shape.items().push_back(Json::integer(tensor->view.shape[i]));
    const auto end = place + static_cast<int64_t>(tensor->view.bytes());
    header.members().emplace_back(
        tensor->name,
        Json::object(
            {{"dtype", Json::string(std::string(tensor::dtype_info(tensor->view.dtype).name))},
             {"shape", std::move(shape)},
             {"data_offsets", Json::array({Json::integer(place), Json::integer(end)})}}));
    place = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t length = text.size();

  TRY(auto file, OutputFile::create(path));
  TRY_STATUS(file.write(std::as_bytes(std::span(&length, 1))));
  TRY_STATUS(file.write(text));
  for (const auto* tensor : order)
    TRY_STATUS(file.write({tensor->view.data, tensor->view.bytes()}));
  return file.commit();
}

}  // namespace godwit::checkpoint
