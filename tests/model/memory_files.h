// Checkpoints in memory: copies of a golden model whose tensors and configuration a test may
// change.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/compute_pool.h"
#include "checkpoint/model_folder.h"
#include "model/model.h"
#include "model/tensor_dump.h"
#include "tests/model/golden_files.h"

namespace godwit::model {

using checkpoint::Json;

class MemorySource : public checkpoint::TensorSource {
 public:
  std::map<std::string, tensor::TensorView, std::less<>> tensors;

  std::vector<std::string> names() const override {
    std::vector<std::string> result;
    for (const auto& [name, view] : tensors) result.push_back(name);
    return result;
  }
  std::optional<tensor::TensorView> find(std::string_view name) const override {
    const auto found = tensors.find(name);
    return found == tensors.end() ? std::nullopt : std::optional(found->second);
  }
  std::string description() const override { return "memory"; }

  // Keeps a copy of the bytes.
  template <class T>
  void add(const std::string& name, tensor::DType dtype, const tensor::Shape& shape,
           const std::vector<T>& values) {
    std::vector<std::byte>& bytes = owned_.emplace_back(values.size() * sizeof(T));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    tensors[name] = {bytes.data(), dtype, shape};
  }
  // The tensors one after the other along their first dimension but one (`axis` 1) or the first
  // (0), as fused or stacked ones are.
  void join(const std::string& name, const std::vector<std::string>& parts,
            const tensor::Shape& shape, int axis = 0) {
    std::vector<std::byte>& bytes = owned_.emplace_back();
    const int64_t blocks = axis == 0 ? 1 : shape[0];
    for (int64_t block = 0; block < blocks; ++block) {
      for (const std::string& part : parts) {
        const tensor::TensorView& view = tensors.at(part);
        const size_t size = view.bytes() / blocks;
        bytes.insert(bytes.end(), view.data + block * size, view.data + (block + 1) * size);
      }
    }
    const tensor::DType dtype = tensors.at(parts[0]).dtype;
    for (const std::string& part : parts) tensors.erase(part);
    tensors[name] = {bytes.data(), dtype, shape};
    ASSERT_EQ(tensors[name].bytes(), bytes.size());
  }
  // Renames every tensor; an empty name drops it.
  template <class F>
  void rename(const F& new_name) {
    std::map<std::string, tensor::TensorView, std::less<>> renamed;
    for (const auto& [name, view] : tensors) {
      if (const std::string to = new_name(name); !to.empty()) renamed[to] = view;
    }
    tensors = std::move(renamed);
  }

 private:
  std::deque<std::vector<std::byte>> owned_;
};

class MemoryGguf : public checkpoint::GgufFile {
 public:
  MemorySource source;
  std::map<std::string, checkpoint::GgufValue, std::less<>> values;

  std::vector<std::string> names() const override { return source.names(); }
  std::optional<tensor::TensorView> find(std::string_view name) const override {
    return source.find(name);
  }
  std::string description() const override { return "memory"; }
  const std::map<std::string, checkpoint::GgufValue, std::less<>>& metadata() const override {
    return values;
  }
};

// A golden model, or "nano", whose parts may be changed. Tensors that are not are those of the
// mapped file.
struct EditableFolder {
  explicit EditableFolder(const std::string& family) {
    const std::filesystem::path nano = GODWIT_SOURCE_DIR "/models/nano";
    auto opened = checkpoint::open_model_files(
        (family == "nano" ? nano : golden_family(family) / "model").string());
    if (!opened) throw std::runtime_error(opened.error().message);
    original = std::move(*opened);
    auto memory = std::make_unique<MemorySource>();
    for (const std::string& name : original.tensors->names())
      memory->tensors[name] = *original.tensors->find(name);
    tensors = memory.get();
    files.path = "edited";
    files.config = original.config;
    files.tensors = std::move(memory);
  }
  Json& text_config() {
    for (auto& [key, value] : files.config.members()) {
      if (key == "text_config") return value;
    }
    return files.config;
  }
  checkpoint::ModelFiles original, files;
  MemorySource* tensors = nullptr;
};

struct EditableGguf {
  explicit EditableGguf(const std::string& family) {
    auto opened =
        checkpoint::open_model_files((golden_root() / "gguf" / (family + ".bf16.gguf")).string());
    if (!opened) throw std::runtime_error(opened.error().message);
    original = std::move(*opened);
    auto memory = std::make_unique<MemoryGguf>();
    for (const std::string& name : original.gguf->names())
      memory->source.tensors[name] = *original.gguf->find(name);
    memory->values = original.gguf->metadata();
    gguf = memory.get();
    files.path = "edited.gguf";
    files.is_gguf = true;
    files.gguf = std::move(memory);
  }
  checkpoint::ModelFiles original, files;
  MemoryGguf* gguf = nullptr;
};

// What a short text gives, drafting head included, as one vector to compare bit for bit.
inline Result<std::vector<float>> run_short_text(const checkpoint::ModelFiles& files) {
  ComputePool pool(1);
  TRY(const auto model, Model::load(files, {&pool, &kernels::kernel_table(Isa::kScalar)}));
  MemorySource input;
  input.add("input_ids", tensor::DType::kI64, {7}, std::vector<int64_t>{5, 17, 200, 3, 44, 120, 9});
  TRY(const TensorDump dump, dump_tensors(*model, input, {.generate = 2}));
  std::vector<float> values;
  for (const char* name : {"logits", "greedy_logits", "mtp.logits", "mtp.draft_logits"}) {
    const auto found = dump.tensors.find(name);
    if (found != dump.tensors.end())
      values.insert(values.end(), found->second.values.begin(), found->second.values.end());
  }
  return values;
}

}  // namespace godwit::model
