// Writing GGUF version 3; the layout is drawn in gguf.cpp.
#include <algorithm>
#include <cmath>
#include <set>

#include "base/check.h"
#include "checkpoint/gguf.h"
#include "checkpoint/output_file.h"

namespace godwit::checkpoint {
namespace {

constexpr uint64_t kAlignment = 32;

enum ValueType : uint32_t {
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kI64 = 11
};

uint64_t padded(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

class Header {
 public:
  template <class T>
  void number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void text(std::string_view text) {
    number<uint64_t>(text.size());
    bytes_.append(text);
  }

  void value(bool flag) {
    number<uint32_t>(kBool);
    number<uint8_t>(flag);
  }
  void value(int64_t integer) {
    if (integer >= 0 && integer <= UINT32_MAX) {
      number<uint32_t>(kU32);
      number(static_cast<uint32_t>(integer));
    } else if (integer >= INT32_MIN && integer < 0) {
      number<uint32_t>(kI32);
      number(static_cast<int32_t>(integer));
    } else {
      number<uint32_t>(kI64);
      number(integer);
    }
  }
  void value(double real) {
    number<uint32_t>(kF32);
    number(static_cast<float>(real));
  }
  void value(const std::string& string) {
    number<uint32_t>(kString);
    text(string);
  }
  void value(const GgufArray& array) {
    number<uint32_t>(kArray);
    std::visit([&](const auto& array_items) { items(array_items); }, array.items);
  }

  const std::string& bytes() const { return bytes_; }

 private:
  void items(const std::vector<int64_t>& items) {
    const bool is_narrow = std::all_of(items.begin(), items.end(),
                                       [](int64_t x) { return x >= INT32_MIN && x <= INT32_MAX; });
    start_array(is_narrow ? kI32 : kI64, items.size());
    for (const int64_t item : items) is_narrow ? number(static_cast<int32_t>(item)) : number(item);
  }
  void items(const std::vector<double>& items) {
    start_array(kF32, items.size());
    for (const double item : items) number(static_cast<float>(item));
  }
  void items(const std::vector<bool>& items) {
    start_array(kBool, items.size());
    for (const bool item : items) number<uint8_t>(item);
  }
  void items(const std::vector<std::string>& items) {
    start_array(kString, items.size());
    for (const auto& item : items) text(item);
  }
  void start_array(ValueType type, size_t count) {
    number<uint32_t>(type);
    number<uint64_t>(count);
  }

  std::string bytes_;
};

bool is_container_key(std::string_view key) {
  return key == "general.alignment" || key.starts_with("split.");
}

}  // namespace

Status GgufWriter::write(const std::string& path) const {
  Header header;
  header.number<uint32_t>(0x46554747);  // "GGUF"
  header.number<uint32_t>(3);
  header.number<uint64_t>(tensors.size());
  header.number<uint64_t>(std::count_if(metadata.begin(), metadata.end(), [](const auto& entry) {
    return !is_container_key(entry.first);
  }));
  for (const auto& [key, value] : metadata) {
    if (is_container_key(key)) continue;
    header.text(key);
    std::visit([&](const auto& v) { header.value(v); }, value);
  }
  std::set<std::string_view> names;
  uint64_t offset = 0;
  for (const auto& [name, view] : tensors) {
    CHECK_MSG(static_cast<uint32_t>(view.dtype) < 100, "GGUF has no such type");
    CHECK_MSG(names.insert(name).second, "two tensors of one name");
    header.text(name);
    header.number<uint32_t>(view.shape.rank());
    for (int i = view.shape.rank(); i-- > 0;) header.number<uint64_t>(view.shape[i]);
    header.number<uint32_t>(static_cast<uint32_t>(view.dtype));
    header.number<uint64_t>(offset);
    offset += padded(view.bytes());
  }
  TRY(auto file, OutputFile::create(path));
  TRY_STATUS(file.write(header.bytes()));
  TRY_STATUS(file.pad_to(kAlignment));
  for (size_t i = 0; i < tensors.size(); ++i) {
    const tensor::TensorView& view = tensors[i].view;
    if (view.data) {
      TRY_STATUS(file.write({view.data, view.bytes()}));
    } else {
      size_t written = 0;
      TRY_STATUS(make(i, [&](std::span<const std::byte> piece) {
        written += piece.size();
        return file.write(piece);
      }));
      CHECK(written == view.bytes());
    }
    TRY_STATUS(file.pad_to(kAlignment));
  }
  return file.commit();
}

}  // namespace godwit::checkpoint
