// TensorSource: named tensors of a checkpoint, wherever they are stored (safetensors shards, GGUF
// files).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tensor/view.h"

namespace godwit::checkpoint {

class TensorSource {
 public:
  virtual ~TensorSource() = default;
  virtual std::vector<std::string> names() const = 0;  // sorted
  // A view into mapped memory that lives as long as the source; nullopt if there is no such tensor.
  // Its bytes lie where the file has them, aligned to nothing: whoever reads copies elements out.
  virtual std::optional<tensor::TensorView> find(std::string_view name) const = 0;
  virtual std::string description() const = 0;  // for messages: path(s)
  virtual std::vector<std::string> paths() const {
    return {};
  }  // of the files; empty: not in files
  // The view's bytes will hardly be read again: mapped pages of them need not stay in memory.
  virtual void forget(const tensor::TensorView&) const {}
};

// One file or, given model.safetensors.index.json or a folder, its shards by weight_map. Header
// checked: length, offsets in range, no overlap, no gap that hides data is required, dtype × shape
// = bytes. Every fault of a file is told in one error.
Result<std::unique_ptr<TensorSource>> open_safetensors(const std::string& path);

// Writing, for `debug` verbs and tests. F32, I64, U8, BF16, …; metadata under "__metadata__".
struct NamedTensor {
  std::string name;
  tensor::TensorView view;
};
Status write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                         const std::vector<std::pair<std::string, std::string>>& metadata = {});

}  // namespace godwit::checkpoint
