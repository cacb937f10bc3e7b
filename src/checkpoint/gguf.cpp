// Reading GGUF:
//
//   "GGUF" │ u32 version │ u64 tensors │ u64 keys │ keys × {string, u32 type, value} │
//   tensors × {string name, u32 rank, u64 dims (fastest first), u32 type, u64 offset} │ pad │ data
//
// A string is u64 length and bytes; an array is u32 element type, u64 count, elements. Offsets
// count from the data's start, which is padded to general.alignment (32 unless told).
#include "checkpoint/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "base/mapped_file.h"
#include "base/visible.h"
#include "checkpoint/faults.h"

namespace godwit::checkpoint {
namespace {

static_assert(std::endian::native == std::endian::little,
              "files are little-endian and mapped as they are");

using Metadata = std::map<std::string, GgufValue, std::less<>>;

constexpr uint32_t kMaxRank = 4;

enum ValueType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};

// Types that GGUF has or had and dtype.h has not, for the error.
std::string type_name(uint32_t number) {
  static constexpr std::pair<uint32_t, const char*> kNames[] = {
      {4, "Q4_2"},      {5, "Q4_3"},     {9, "Q8_1"},   {15, "Q8_K"},     {16, "IQ2_XXS"},
      {17, "IQ2_XS"},   {18, "IQ3_XXS"}, {19, "IQ1_S"}, {21, "IQ3_S"},    {22, "IQ2_S"},
      {25, "I16"},      {28, "F64"},     {29, "IQ1_M"}, {31, "Q4_0_4_4"}, {32, "Q4_0_4_8"},
      {33, "Q4_0_8_8"}, {34, "TQ1_0"},   {35, "TQ2_0"}, {40, "NVFP4"}};
  for (const auto& [known, name] : kNames)
    if (known == number) return name;
  return fmt::format("number {}", number);
}

// Walks over bytes that may lie; every read is checked against what is left.
class Cursor {
 public:
  explicit Cursor(const MappedFile& file) : bytes_(file.bytes()), path_(file.path()) {}

  uint64_t place() const { return place_; }
  uint64_t left() const { return bytes_.size() - place_; }
  const std::string& path() const { return path_; }

  template <class T>
  Result<T> number(std::string_view what) {
    if (left() < sizeof(T)) return cut_short(what, sizeof(T));
    T value;
    std::memcpy(&value, bytes_.data() + place_, sizeof value);
    place_ += sizeof value;
    return value;
  }
  Result<std::string_view> text(std::string_view what) {
    TRY(const auto length, number<uint64_t>(what));
    if (left() < length) return cut_short(what, length);
    const std::string_view view(reinterpret_cast<const char*>(bytes_.data()) + place_, length);
    place_ += length;
    return view;
  }
  // count elements of at least `size` bytes must still fit: asked before memory is spent on them.
  Status room_for(std::string_view what, uint64_t count, uint64_t size) const {
    if (count <= left() / size) return {};
    return bad_input(
        "{}: {}: expected {} entries at byte {}, found room for {} (is the file cut short?)", path_,
        what, count, place_, left() / size);
  }

 private:
  tl::unexpected<Error> cut_short(std::string_view what, uint64_t wanted) const {
    return bad_input("{}: {}: expected {} bytes at byte {}, found {} (is the file cut short?)",
                     path_, what, wanted, place_, left());
  }

  std::span<const std::byte> bytes_;
  std::string path_;
  uint64_t place_ = 0;
};

Result<int64_t> read_integer(Cursor& in, uint32_t type, std::string_view what) {
  switch (type) {
    case kU8:
      return in.number<uint8_t>(what);
    case kI8:
      return in.number<int8_t>(what);
    case kU16:
      return in.number<uint16_t>(what);
    case kI16:
      return in.number<int16_t>(what);
    case kU32:
      return in.number<uint32_t>(what);
    case kI32:
      return in.number<int32_t>(what);
    case kI64:
      return in.number<int64_t>(what);
    default:
      break;
  }
  TRY(const auto value, in.number<uint64_t>(what));
  if (value > INT64_MAX)
    return bad_input("{}: {}: expected an integer of 63 bits, found {}", in.path(), what, value);
  return static_cast<int64_t>(value);
}

Result<double> read_real(Cursor& in, uint32_t type, std::string_view what) {
  if (type == kF64) return in.number<double>(what);
  return in.number<float>(what);
}

// Bytes of an element; a string's least. 0: no such type (arrays in arrays are refused by the
// caller).
uint64_t size_of_type(uint32_t type) {
  switch (type) {
    case kU8:
    case kI8:
    case kBool:
      return 1;
    case kU16:
    case kI16:
      return 2;
    case kU32:
    case kI32:
    case kF32:
      return 4;
    case kU64:
    case kI64:
    case kF64:
    case kString:
      return 8;
    default:
      return 0;
  }
}

template <class T, class Read>
Result<GgufValue> read_items(uint64_t count, Read read) {
  std::vector<T> items;
  items.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    auto item = read();
    if (!item) return tl::unexpected<Error>(std::move(item.error()));
    items.push_back(static_cast<T>(*item));
  }
  return GgufArray{std::move(items)};
}

Result<GgufValue> read_array(Cursor& in, std::string_view what) {
  TRY(const auto type, in.number<uint32_t>(what));
  TRY(const auto count, in.number<uint64_t>(what));
  if (type == kArray)
    return bad_input("{}: {}: arrays inside arrays are not supported", in.path(), what);
  const uint64_t size = size_of_type(type);
  if (size == 0)
    return bad_input("{}: {}: expected an element type of 0 to 12, found {}", in.path(), what,
                     type);
  TRY_STATUS(in.room_for(what, count, size));
  switch (type) {
    case kString:
      return read_items<std::string>(count, [&] { return in.text(what); });
    case kBool:
      return read_items<bool>(count, [&] { return in.number<uint8_t>(what); });
    case kF32:
    case kF64:
      return read_items<double>(count, [&] { return read_real(in, type, what); });
    default:
      return read_items<int64_t>(count, [&] { return read_integer(in, type, what); });
  }
}

Result<GgufValue> read_value(Cursor& in, std::string_view what) {
  TRY(const auto type, in.number<uint32_t>(what));
  switch (type) {
    case kString: {
      TRY(const auto text, in.text(what));
      return std::string(text);
    }
    case kBool: {
      TRY(const auto flag, in.number<uint8_t>(what));
      return flag != 0;
    }
    case kF32:
    case kF64: {
      TRY(const auto real, read_real(in, type, what));
      return real;
    }
    case kArray:
      return read_array(in, what);
    default:
      break;
  }
  if (size_of_type(type) == 0)
    return bad_input("{}: {}: expected a value type of 0 to 12, found {}", in.path(), what, type);
  TRY(const auto integer, read_integer(in, type, what));
  return integer;
}

struct Header {
  uint64_t tensors = 0, keys = 0;
};

Result<Header> read_header(Cursor& in) {
  TRY(const auto magic, in.number<uint32_t>("header"));
  if (magic != 0x46554747)  // "GGUF"
    return bad_input("{}: expected a GGUF file, found other first bytes (0x{:08x})", in.path(),
                     magic);
  TRY(const auto version, in.number<uint32_t>("header"));
  if (version != 2 && version != 3)
    return bad_input("{}: expected GGUF version 2 or 3, found {}", in.path(),
                     version > 0xffff ? "a big-endian file" : std::to_string(version));
  Header header;
  TRY(header.tensors, in.number<uint64_t>("header"));
  TRY(header.keys, in.number<uint64_t>("header"));
  TRY_STATUS(in.room_for("tensors", header.tensors, 8 + 4 + 4 + 8));
  TRY_STATUS(in.room_for("metadata", header.keys, 8 + 4 + 1));
  return header;
}

Result<Metadata> read_metadata(Cursor& in, uint64_t keys) {
  Metadata metadata;
  for (uint64_t i = 0; i < keys; ++i) {
    TRY(const auto key, in.text("metadata key"));
    const std::string what = "metadata " + in_quotes(key);
    TRY(auto value, read_value(in, what));
    if (!metadata.try_emplace(std::string(key), std::move(value)).second)
      return bad_input("{}: {} occurs twice", in.path(), what);
  }
  return metadata;
}

struct TensorEntry {
  std::string name;
  uint32_t type_number = 0;
  const tensor::DTypeInfo* type = nullptr;  // null: unknown
  std::vector<int64_t> shape;               // slowest first
  uint64_t offset = 0, bytes = 0;
};

// dims × type = bytes, with every product checked.
Result<uint64_t> tensor_bytes(const std::string& where, const tensor::DTypeInfo& type,
                              const std::vector<int64_t>& shape) {
  uint64_t elements = 1;
  for (const int64_t dim : shape)
    if (__builtin_mul_overflow(elements, static_cast<uint64_t>(dim), &elements) ||
        elements > INT64_MAX)
      return bad_input("{}: expected dimensions whose product fits 63 bits", where);
  const int64_t columns = shape.empty() ? 1 : shape.back();
  if (columns % type.block_size != 0)
    return bad_input("{}: expected rows of a multiple of {} values for {}, found {}", where,
                     type.block_size, type.name, columns);
  const auto bytes = tensor::bytes_of(type.dtype, elements);
  if (!bytes) return bad_input("{}: expected a size that fits 64 bits", where);
  return *bytes;
}

Result<TensorEntry> read_tensor(Cursor& in) {
  TRY(const auto name, in.text("tensor name"));
  TensorEntry entry{std::string(name)};
  const std::string what = "tensor " + in_quotes(name);
  const std::string where = in.path() + ": " + what;
  TRY(const auto rank, in.number<uint32_t>(what));
  if (rank > kMaxRank)
    return bad_input("{}: expected at most {} dimensions, found {}", where, kMaxRank, rank);
  for (uint32_t i = 0; i < rank; ++i) {
    TRY(const auto dim, in.number<uint64_t>(what));
    if (dim > INT64_MAX)
      return bad_input("{}: expected a dimension below 2^63, found {}", where, dim);
    entry.shape.insert(entry.shape.begin(), static_cast<int64_t>(dim));
  }
  TRY(entry.type_number, in.number<uint32_t>(what));
  TRY(entry.offset, in.number<uint64_t>(what));
  entry.type = tensor::find_dtype_by_gguf_number(entry.type_number);
  if (entry.type) {
    TRY(entry.bytes, tensor_bytes(where, *entry.type, entry.shape));
  }
  return entry;
}

// One file of a set.
struct Part {
  MappedFile file;
  Metadata metadata;
  std::vector<TensorEntry> tensors;
  uint64_t data_start = 0;
};

Result<int64_t> metadata_integer(const Part& part, std::string_view key, int64_t fallback) {
  const auto found = part.metadata.find(key);
  if (found == part.metadata.end()) return fallback;
  if (const auto* value = std::get_if<int64_t>(&found->second)) return *value;
  return bad_input("{}: metadata {}: expected an integer", part.file.path(), in_quotes(key));
}

// Where the data begin. The format wants an alignment of 8 or more.
Result<uint64_t> find_data_start(const Part& part, uint64_t place) {
  constexpr int64_t kLargest = 1 << 30;
  TRY(const int64_t alignment, metadata_integer(part, "general.alignment", 32));
  if (alignment < 8 || alignment > kLargest ||
      !std::has_single_bit(static_cast<uint64_t>(alignment)))
    return bad_input("{}: general.alignment: expected a power of two from 8 to 2^30, found {}",
                     part.file.path(), alignment);
  const uint64_t mask = static_cast<uint64_t>(alignment) - 1;
  for (const auto& tensor : part.tensors)
    if (tensor.offset & mask)
      return bad_input("{}: tensor {}: expected an offset of a multiple of {}, found {}",
                       part.file.path(), in_quotes(tensor.name), alignment, tensor.offset);
  return (place + mask) & ~mask;
}

// Every tensor lies inside the data, and none over another.
Status check_layout(const Part& part) {
  if (part.tensors.empty()) return {};
  const uint64_t file_bytes = part.file.bytes().size();
  const uint64_t data_bytes = file_bytes > part.data_start ? file_bytes - part.data_start : 0;
  std::vector<const TensorEntry*> order;
  for (const auto& tensor : part.tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](auto* a, auto* b) {
    return std::tie(a->offset, a->bytes) < std::tie(b->offset, b->bytes);
  });
  Faults faults;
  const TensorEntry* before = nullptr;
  for (const auto* tensor : order) {
    if (tensor->offset > data_bytes || tensor->bytes > data_bytes - tensor->offset)
      faults.add(
          "tensor {}: expected {} bytes at {} of the data, which has {} (is the file cut short?)",
          in_quotes(tensor->name), tensor->bytes, tensor->offset, data_bytes);
    else if (before && before->offset + before->bytes > tensor->offset)
      faults.add("tensor {} overlaps tensor {}", in_quotes(tensor->name), in_quotes(before->name));
    else
      before = tensor;
  }
  if (faults.any()) return faults.error(part.file.path());
  return {};
}

Status check_types(const Part& part) {
  Faults faults;
  for (const auto& tensor : part.tensors)
    if (!tensor.type)
      faults.add("tensor {} has type {}, which is not supported", in_quotes(tensor.name),
                 type_name(tensor.type_number));
  if (faults.any()) return faults.error(part.file.path());
  return {};
}

Result<Part> open_part(const std::string& path, UnknownTypes unknown) {
  Part part;
  TRY(part.file, MappedFile::open(path));
  Cursor in(part.file);
  TRY(const auto header, read_header(in));
  TRY(part.metadata, read_metadata(in, header.keys));
  TRY_STATUS(in.room_for("tensors", header.tensors, 8 + 4 + 4 + 8));
  part.tensors.reserve(header.tensors);
  for (uint64_t i = 0; i < header.tensors; ++i) {
    TRY(auto entry, read_tensor(in));
    part.tensors.push_back(std::move(entry));
  }
  if (unknown == UnknownTypes::kRefuse) TRY_STATUS(check_types(part));
  TRY(part.data_start, find_data_start(part, in.place()));
  TRY_STATUS(check_layout(part));
  return part;
}

std::string split_suffix(int64_t no, int64_t count) {
  return fmt::format("-{:05}-of-{:05}.gguf", no + 1, count);
}

// All files of the set that PATH is one of, in order.
Result<std::vector<Part>> open_parts(const std::string& path, UnknownTypes unknown) {
  std::vector<Part> parts;
  TRY(auto given, open_part(path, unknown));
  TRY(const int64_t count, metadata_integer(given, "split.count", 1));
  TRY(const int64_t no, metadata_integer(given, "split.no", 0));
  TRY(const int64_t tensors, metadata_integer(given, "split.tensors.count", -1));
  if (count <= 1) {
    parts.push_back(std::move(given));
    return parts;
  }
  const std::string suffix = split_suffix(no, count);
  if (no < 0 || no >= count || count > 99999 || !path.ends_with(suffix))
    return bad_input("{}: file {} of {} of a split set: expected a name that ends in '{}'", path,
                     no + 1, count, suffix);
  const std::string prefix = path.substr(0, path.size() - suffix.size());
  size_t found = 0;
  for (int64_t i = 0; i < count; ++i) {
    const std::string part_path = prefix + split_suffix(i, count);
    if (i == no) {
      parts.push_back(std::move(given));
    } else {
      TRY(auto part, open_part(part_path, unknown));
      parts.push_back(std::move(part));
    }
    TRY(const int64_t part_no, metadata_integer(parts.back(), "split.no", 0));
    TRY(const int64_t part_count, metadata_integer(parts.back(), "split.count", 1));
    if (part_no != i || part_count != count)
      return bad_input("{}: expected file {} of {} of a split set, found {} of {}", part_path,
                       i + 1, count, part_no + 1, part_count);
    found += parts.back().tensors.size();
  }
  if (tensors >= 0 && found != static_cast<size_t>(tensors))
    return bad_input("{}: the split set has {} tensors, expected {}", path, found, tensors);
  return parts;
}

class OpenGguf : public GgufFile {
 public:
  static Result<std::unique_ptr<GgufFile>> create(const std::string& path,
                                                  std::vector<Part> parts) {
    auto gguf = std::make_unique<OpenGguf>();
    gguf->description_ =
        parts.size() == 1 ? path : fmt::format("{} ({} files)", path, parts.size());
    for (const auto& part : parts) {
      for (const auto& tensor : part.tensors) {
        // A tensor of an unknown type is left out, but its name is taken all the same.
        tensor::TensorView view;
        if (tensor.type)
          view = {part.file.bytes().data() + (tensor.bytes ? part.data_start + tensor.offset : 0),
                  tensor.type->dtype, tensor::Shape(tensor.shape)};
        if (!gguf->tensors_.try_emplace(tensor.name, view).second)
          return bad_input("{}: tensor {} occurs twice", part.file.path(), in_quotes(tensor.name));
      }
    }
    std::erase_if(gguf->tensors_, [](const auto& entry) { return !entry.second; });
    gguf->parts_ = std::move(parts);
    return gguf;
  }

  const Metadata& metadata() const override { return parts_.front().metadata; }
  std::string description() const override { return description_; }
  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    names.reserve(tensors_.size());
    for (const auto& [name, view] : tensors_) names.push_back(name);
    return names;
  }
  std::optional<tensor::TensorView> find(std::string_view name) const override {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) return std::nullopt;
    return found->second;
  }
  std::vector<std::string> paths() const override {
    std::vector<std::string> result;
    for (const auto& part : parts_) result.push_back(part.file.path());
    return result;
  }
  void forget(const tensor::TensorView& view) const override {
    for (const auto& part : parts_) part.file.forget({view.data, view.bytes()});
  }

 private:
  std::string description_;
  std::vector<Part> parts_;
  std::map<std::string, tensor::TensorView, std::less<>> tensors_;
};

std::string kind_of(const GgufValue& value) {
  static constexpr const char* kNames[] = {"a bool", "an integer", "a real", "a string"};
  if (const auto* array = std::get_if<GgufArray>(&value)) {
    static constexpr const char* kArrays[] = {"integers", "reals", "bools", "strings"};
    return fmt::format("an array of {}", kArrays[array->items.index()]);
  }
  return kNames[value.index()];
}

template <class T>
Result<T> value_of(const GgufFile& file, std::string_view key, const char* expected) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end())
    return bad_input("{}: metadata {} is missing, expected {}", file.description(), in_quotes(key),
                     expected);
  if (const auto* value = std::get_if<T>(&found->second)) return *value;
  return bad_input("{}: metadata {}: expected {}, found {}", file.description(), in_quotes(key),
                   expected, kind_of(found->second));
}

template <class T>
const std::vector<T>* items_of(const GgufFile& file, std::string_view key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) return nullptr;
  const auto* array = std::get_if<GgufArray>(&found->second);
  return array ? std::get_if<std::vector<T>>(&array->items) : nullptr;
}

bool has(const GgufFile& file, std::string_view key) {
  return file.metadata().find(key) != file.metadata().end();
}

}  // namespace

Result<std::unique_ptr<GgufFile>> GgufFile::open(const std::string& path, UnknownTypes unknown) {
  TRY(auto parts, open_parts(path, unknown));
  return OpenGguf::create(path, std::move(parts));
}

Result<int64_t> GgufFile::integer(std::string_view key) const {
  return value_of<int64_t>(*this, key, "an integer");
}
Result<int64_t> GgufFile::integer_or(std::string_view key, int64_t fallback) const {
  if (!has(*this, key)) return fallback;
  return integer(key);
}
Result<double> GgufFile::real(std::string_view key) const {
  const auto found = metadata().find(key);
  if (found != metadata().end())
    if (const auto* value = std::get_if<int64_t>(&found->second))
      return static_cast<double>(*value);
  return value_of<double>(*this, key, "a real");
}
Result<double> GgufFile::real_or(std::string_view key, double fallback) const {
  if (!has(*this, key)) return fallback;
  return real(key);
}
Result<std::string> GgufFile::text(std::string_view key) const {
  return value_of<std::string>(*this, key, "a string");
}
Result<std::string> GgufFile::text_or(std::string_view key, std::string fallback) const {
  if (!has(*this, key)) return fallback;
  return text(key);
}
Result<bool> GgufFile::flag_or(std::string_view key, bool fallback) const {
  if (!has(*this, key)) return fallback;
  return value_of<bool>(*this, key, "a bool");
}
const std::vector<std::string>* GgufFile::strings(std::string_view key) const {
  return items_of<std::string>(*this, key);
}
const std::vector<int64_t>* GgufFile::integers(std::string_view key) const {
  return items_of<int64_t>(*this, key);
}
const std::vector<bool>* GgufFile::flags(std::string_view key) const {
  return items_of<bool>(*this, key);
}

}  // namespace godwit::checkpoint
