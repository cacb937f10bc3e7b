// Binding: whatever names and layouts a checkpoint's tensors come in, the same model; and what is
// wrong, all of it, in one error.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/binder.h"
#include "tests/model/memory_files.h"
#include "tests/support/real_sizes.h"

namespace godwit::model {
namespace {

using testing::HasSubstr;

constexpr std::string_view kText = "model.language_model.";

std::vector<float> reference(const std::string& family) {
  const EditableFolder folder(family);
  const auto values = run_short_text(folder.original);
  EXPECT_TRUE(values) << values.error().message;
  return *values;
}

void expect_reference(const checkpoint::ModelFiles& files, const std::string& family) {
  const auto values = run_short_text(files);
  ASSERT_TRUE(values) << values.error().message;
  EXPECT_EQ(*values, reference(family));
}

TEST(Binding, PrefixesOfOtherClasses) {
  for (const char* prefix : {"model.", "language_model.model.", "language_model.", ""}) {
    SCOPED_TRACE(prefix);
    EditableFolder folder("qwen35-tiny");
    folder.tensors->rename([&](const std::string& name) {
      return name.starts_with(kText) ? prefix + name.substr(kText.size()) : name;
    });
    expect_reference(folder.files, "qwen35-tiny");
  }
}

TEST(Binding, TextOnlyFolder) {
  EditableFolder folder("qwen35-tiny");
  folder.tensors->rename([&](const std::string& name) {
    if (name.starts_with("model.visual.") || name.starts_with("mtp.")) return std::string();
    return name.starts_with(kText) ? "model." + name.substr(kText.size()) : name;
  });
  folder.files.config = folder.text_config();
  const auto values = run_short_text(folder.files);
  ASSERT_TRUE(values) << values.error().message;
  const std::vector<float> full = reference("qwen35-tiny");
  EXPECT_TRUE(std::equal(values->begin(), values->end(), full.begin()));
  const auto plan = Model::plan(folder.files);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->mtp_parameters, 0);
  EXPECT_THAT(plan->note, HasSubstr("drafting head"));
}

TEST(Binding, AbsentVisionTowerIsANote) {
  EditableFolder folder("qwen35-tiny");
  folder.tensors->rename(
      [](const std::string& name) { return name.starts_with("model.visual.") ? "" : name; });
  const auto plan = Model::plan(folder.files);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->vision_parameters, 0);
  EXPECT_THAT(plan->note, HasSubstr("vision tower"));
}

TEST(Binding, HeadOfItsOwnIsUsedEvenWhereTheConfigTies) {
  EditableFolder folder("qwen35-tiny");
  folder.tensors->add("lm_head.weight", tensor::DType::kF32, {320, 64},
                      std::vector<float>(320 * 64));
  const auto values = run_short_text(folder.files);
  ASSERT_TRUE(values) << values.error().message;
  EXPECT_THAT(*values, testing::Each(0.0f));
}

TEST(Binding, MissingHeadIsAnErrorWhereTheConfigDoesNotTie) {
  EditableFolder folder("qwen35-moe");
  folder.tensors->tensors.erase("lm_head.weight");
  const auto plan = Model::plan(folder.files);
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().message, HasSubstr("1 tensors are missing: lm_head.weight"));
}

TEST(Binding, ExpertsOneByOneOrStacked) {
  EditableFolder folder("qwen35-moe");
  const Json& c = folder.text_config();
  const int64_t E = *c.find("num_experts")->as_int64(),
                I = *c.find("moe_intermediate_size")->as_int64();
  const int64_t H = *c.find("hidden_size")->as_int64();
  const std::string mtp = "mtp.layers.0.mlp.experts.",
                    main = std::string(kText) + "layers.1.mlp.experts.";
  // The drafting head's single experts become stacked …
  std::vector<std::string> gate_up, down;
  for (int64_t e = 0; e < E; ++e) {
    gate_up.push_back(fmt::format("{}{}.gate_proj.weight", mtp, e));
    gate_up.push_back(fmt::format("{}{}.up_proj.weight", mtp, e));
    down.push_back(fmt::format("{}{}.down_proj.weight", mtp, e));
  }
  folder.tensors->join(mtp + "gate_up_proj", gate_up, {E, 2 * I, H});
  folder.tensors->join(mtp + "down_proj", down, {E, H, I});
  // … and a layer's stacked ones single.
  const tensor::TensorView stack = folder.tensors->tensors.at(main + "gate_up_proj");
  const tensor::TensorView downs = folder.tensors->tensors.at(main + "down_proj");
  const size_t bytes = stack.bytes() / E / 2;
  for (int64_t e = 0; e < E; ++e) {
    const std::string expert = fmt::format("{}{}.", main, e);
    folder.tensors->tensors[expert + "gate_proj.weight"] = {
        stack.data + 2 * e * bytes, stack.dtype, {I, H}};
    folder.tensors->tensors[expert + "up_proj.weight"] = {
        stack.data + (2 * e + 1) * bytes, stack.dtype, {I, H}};
    folder.tensors->tensors[expert + "down_proj.weight"] = {
        downs.data + e * bytes, downs.dtype, {H, I}};
  }
  folder.tensors->tensors.erase(main + "gate_up_proj");
  folder.tensors->tensors.erase(main + "down_proj");
  expect_reference(folder.files, "qwen35-moe");
}

// GGUF sums some products in another order (value heads), so it is compared with itself.
std::vector<float> gguf_reference(const std::string& family) {
  const EditableGguf gguf(family);
  return run_short_text(gguf.original).value();
}

TEST(Binding, FusedGgufTensors) {
  EditableGguf gguf("qwen35-moe");
  MemorySource& source = gguf.gguf->source;
  const int64_t H = source.tensors.at("blk.3.attn_q.weight").columns();
  const std::vector<std::string> qkv = {"blk.3.attn_q.weight", "blk.3.attn_k.weight",
                                        "blk.3.attn_v.weight"};
  int64_t rows = 0;
  for (const std::string& name : qkv) rows += source.tensors.at(name).rows();
  source.join("blk.3.attn_qkv.weight", qkv, {rows, H});
  const tensor::Shape gate = source.tensors.at("blk.0.ffn_gate_exps.weight").shape;
  source.join("blk.0.ffn_gate_up_exps.weight",
              {"blk.0.ffn_gate_exps.weight", "blk.0.ffn_up_exps.weight"},
              {gate[0], 2 * gate[1], gate[2]}, 1);
  source.tensors.at("blk.1.ffn_gate_inp_shexp.weight").shape = {H};
  const auto values = run_short_text(gguf.files);
  ASSERT_TRUE(values) << values.error().message;
  EXPECT_EQ(*values, gguf_reference("qwen35-moe"));
}

TEST(Binding, MissingAndMismatchedAreToldTogether) {
  EditableFolder folder("qwen35-tiny");
  auto& tensors = folder.tensors->tensors;
  tensors.erase("model.language_model.layers.2.linear_attn.A_log");
  tensors.erase("mtp.norm.weight");
  tensors.at("model.language_model.layers.3.self_attn.q_proj.weight").shape = {64, 256};
  tensors.at("model.visual.blocks.0.attn.qkv.bias").dtype = tensor::DType::kI64;
  const auto plan = Model::plan(folder.files);
  ASSERT_FALSE(plan);
  EXPECT_EQ(
      plan.error().message,
      "edited: 2 tensors are missing: layers.2.linear_attn.A_log, mtp.norm.weight; 2 tensors do "
      "not fit: "
      "model.language_model.layers.3.self_attn.q_proj.weight: expected [256, 64], found [64, 256], "
      "model.visual.blocks.0.attn.qkv.bias: expected real numbers, found I64");
  ComputePool pool(1);
  EXPECT_FALSE(Model::load(folder.files, {&pool, &kernels::kernel_table(Isa::kScalar)}));
}

TEST(Binding, ManyMissingAreCounted) {
  EditableFolder folder("qwen35-tiny");
  folder.tensors->tensors.clear();
  const auto plan = Model::plan(folder.files);
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().message, HasSubstr("tensors are missing: embed_tokens.weight, "));
  EXPECT_THAT(plan.error().message, HasSubstr(" more"));
  EXPECT_LT(plan.error().message.size(), 1000u);
}

TEST(Binding, UnknownTensorsAreANote) {
  EditableFolder folder("qwen35-tiny");
  folder.tensors->add("model.language_model.value_head.weight", tensor::DType::kF32, {2},
                      std::vector<float>{1, 2});
  // A second tensor that would have the same name once its prefix is gone
  folder.tensors->add("norm.weight", tensor::DType::kF32, {64}, std::vector<float>(64));
  const auto plan = Model::plan(folder.files);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_THAT(plan->note, HasSubstr("2 tensors are not part of the model"));
  EXPECT_THAT(plan->note, HasSubstr("value_head.weight"));
  EXPECT_THAT(Model::plan(folder.original)->note, testing::IsEmpty());
}

TEST(Binding, PartsThatAreNotWanted) {
  const EditableFolder folder("qwen35-tiny");
  const auto plan = Model::plan(folder.files, {.vision = false, .drafting = false});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->vision_parameters + plan->mtp_parameters, 0);
  EXPECT_EQ(plan->note, "");
}

TEST(Binding, Fp8IsRefused) {
  EditableFolder folder("qwen35-tiny");
  folder.tensors->add("model.language_model.layers.0.mlp.up_proj.weight_scale_inv",
                      tensor::DType::kF32, {1}, std::vector<float>{1});
  const auto plan = Model::plan(folder.files);
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().message, HasSubstr("FP8 weights with block scales are not supported"));
}

TEST(Binding, PlanIsTrue) {
  ComputePool pool(1);
  for (const char* family : {"qwen35-tiny", "qwen35-moe"}) {
    const EditableFolder folder(family);
    const auto plan = Model::plan(folder.files);
    ASSERT_TRUE(plan);
    const auto model = Model::load(folder.files, {&pool, &kernels::kernel_table(Isa::kScalar)});
    ASSERT_TRUE(model);
    EXPECT_EQ(plan->packed_bytes, (*model)->weights().packed_bytes) << family;
  }
}

TEST(Binding, GgufNames) {
  TextConfig config;
  config.num_layers = 2;
  config.mtp_layers = 1;
  config.layers = {Mixer::kGatedDeltaNet, Mixer::kGatedAttention};
  const auto name = [&](std::string_view gguf) { return translate_gguf_name(gguf, config); };
  EXPECT_EQ(name("blk.0.attn_qkv.weight"), "layers.0.linear_attn.in_proj_qkv.weight");
  EXPECT_EQ(name("blk.1.attn_qkv.weight"), "layers.1.self_attn.qkv_proj.weight");
  EXPECT_EQ(name("blk.2.attn_qkv.weight"), "mtp.layers.0.self_attn.qkv_proj.weight");
  EXPECT_EQ(name("blk.2.nextn.eh_proj.weight"), "mtp.fc.weight");
  EXPECT_EQ(name("v.blk.11.ffn_up.bias"), "visual.blocks.11.mlp.linear_fc1.bias");
  for (const char* unknown : {"blk.1.nextn.eh_proj.weight", "blk.3.attn_q.weight",
                              "blk.-1.attn_q.weight", "blk.", "blk.99999999999.attn_q.weight",
                              "blk.1", "v.blk.0.", "v.blk.0.ln1", "rope_freqs.weight", ""}) {
    EXPECT_EQ(name(unknown), "") << unknown;
  }
}

// ---- The eight sizes, from headers alone

class RealSize : public testing::TestWithParam<tests::RealSize> {};

TEST_P(RealSize, PlanHasThePublishedCounts) {
  const tests::RealSize& size = GetParam();
  checkpoint::ModelFiles files;
  files.path = size.name;
  files.config = *checkpoint::parse_json(size.config);
  auto source = std::make_unique<MemorySource>();
  for (const tests::RealTensor& t : size.tensors)
    source->tensors[t.name] = {nullptr, t.dtype, t.shape};
  files.tensors = std::move(source);
  const auto plan = Model::plan(files);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->text_parameters, size.text_parameters);
  EXPECT_EQ(plan->mtp_parameters, size.mtp_parameters);
  EXPECT_EQ(plan->vision_parameters, size.vision_parameters);
  EXPECT_EQ(plan->tensors, size.tensor_count);
  EXPECT_EQ(plan->stored_bytes, static_cast<size_t>(size.total_bytes));
  EXPECT_EQ(plan->note, "");
  EXPECT_NEAR(double(plan->packed_bytes) / double(size.total_bytes), 1,
              0.35);  // untied embeddings stay mapped
}

INSTANTIATE_TEST_SUITE_P(All, RealSize, testing::ValuesIn(tests::real_sizes()),
                         [](const auto& size) {
                           std::string name = size.param.name;
                           for (char& c : name) {
                             if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
                           }
                           return name;
                         });

}  // namespace
}  // namespace godwit::model
