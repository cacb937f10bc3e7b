// What is exported from a folder is what the official converter writes, tensor by tensor;
// importance goes with the columns of the file.
#include "model/gguf_export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/float16.h"
#include "model/cost.h"
#include "model/importance.h"
#include "tests/model/memory_files.h"

namespace godwit::model {
namespace {

// The bytes of an exported tensor in the type that the golden file has: F32 or BF16.
std::vector<std::byte> bytes_of(const ExportTensor& t, tensor::DType type) {
  std::vector<float> values(t.shape.elements());
  for (int64_t i = 0; i < t.row_count(); ++i) t.read_row(i, values.data() + i * t.row_length());
  std::vector<std::byte> bytes(values.size() * (type == tensor::DType::kF32 ? 4 : 2));
  for (size_t i = 0; i < values.size(); ++i) {
    if (type == tensor::DType::kF32) {
      std::memcpy(bytes.data() + 4 * i, &values[i], 4);
    } else {
      const uint16_t half = f32_to_bf16(values[i]);
      std::memcpy(bytes.data() + 2 * i, &half, 2);
    }
  }
  return bytes;
}

void expect_same(const GgufExport& found, const checkpoint::GgufFile& golden) {
  EXPECT_THAT(found.left_out, testing::IsEmpty());
  EXPECT_EQ(found.tensors.size(), golden.names().size());
  for (const ExportTensor& t : found.tensors) {
    const auto view = golden.find(t.name);
    ASSERT_TRUE(view) << t.name;
    EXPECT_EQ(t.shape, view->shape) << t.name;
    EXPECT_TRUE(!t.always_f32 || view->dtype == tensor::DType::kF32) << t.name;
    const auto bytes = bytes_of(t, view->dtype);
    ASSERT_EQ(bytes.size(), view->bytes()) << t.name;
    EXPECT_EQ(std::memcmp(bytes.data(), view->data, bytes.size()), 0) << t.name;
  }
}

TEST(GgufExport, EqualsTheOfficialConverter) {
  int seen = 0;
  for (const char* family : {"qwen35-tiny", "qwen35-moe", "qwen35-untied-72", "qwen35-yarn"}) {
    const auto path = golden_root() / "gguf" / (std::string(family) + ".bf16.gguf");
    if (!std::filesystem::exists(path) || !std::filesystem::exists(golden_family(family) / "model"))
      continue;
    SCOPED_TRACE(family);
    ++seen;
    const auto folder = checkpoint::open_model_files((golden_family(family) / "model").string());
    const auto golden = checkpoint::open_model_files(path.string());
    ASSERT_TRUE(folder && golden);
    const auto text = export_text(*folder), vision = export_vision(*folder);
    ASSERT_TRUE(text && vision);
    expect_same(*text, *golden->gguf);
    if (golden->mmproj) expect_same(*vision, *golden->mmproj);
    for (const auto& [key, value] : text->metadata) {
      if (!key.starts_with("qwen35")) continue;
      const auto found = golden->gguf->metadata().find(key);
      EXPECT_NE(found, golden->gguf->metadata().end()) << key;
    }
  }
  EXPECT_GE(seen, 2);
}

TEST(Importance, EveryMatrixOfTheLayersHasItsColumns) {
  for (const char* family : {"qwen35-tiny", "qwen35-moe"}) {
    SCOPED_TRACE(family);
    const auto files = checkpoint::open_model_files((golden_family(family) / "model").string());
    ASSERT_TRUE(files);
    ComputePool pool(1);
    const auto model = Model::load(*files, {&pool, &kernels::kernel_table(Isa::kScalar)},
                                   {.vision = false, .drafting = false});
    ASSERT_TRUE(model);
    std::vector<int32_t> ids(100);
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i * 7 % 300);
    const auto importance = Importance::measure(**model, ids, 64);
    const auto text = export_text(*files);
    ASSERT_TRUE(text);
    const TextConfig& c = (*model)->config().text;
    const std::string drafting = fmt::format("blk.{}.", c.num_layers);
    for (const ExportTensor& t : text->tensors) {
      if (t.always_f32 || t.name.starts_with(drafting)) continue;
      const auto values = importance.of_tensor(t.name, c);
      const size_t matrices = t.shape.rank() == 3 ? t.shape[0] : 1;
      if (t.name == "token_embd.weight" && !c.tied_embeddings) continue;
      EXPECT_EQ(values.size(), matrices * t.row_length()) << t.name;
      for (const float value : values) EXPECT_GE(value, 0) << t.name;
    }
  }
}

TEST(Cost, ProductsOfTheSmallestSize) {
  TextConfig c;
  c.vocab_size = 248320, c.hidden_size = 1024, c.intermediate_size = 3584, c.num_layers = 24;
  c.num_attention_heads = 8, c.num_kv_heads = 2, c.head_dim = 256;
  c.linear_key_heads = c.linear_value_heads = 16, c.linear_key_dim = c.linear_value_dim = 128;
  for (int i = 0; i < 24; ++i)
    c.layers.push_back((i + 1) % 4 == 0 ? Mixer::kGatedAttention : Mixer::kGatedDeltaNet);
  // Per layer: feed-forward 11,010,048; delta net 10,518,528; attention 7,340,032.
  EXPECT_EQ(products_per_token(c), 24 * 11010048LL + 18 * 10518528LL + 6 * 7340032LL);
  EXPECT_EQ(products_per_logit_row(c), 254279680);
}

}  // namespace
}  // namespace godwit::model
