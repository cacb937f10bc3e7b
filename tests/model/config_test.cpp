// Reading configurations: every form that is accepted, and errors that name all faults at once.
#include "model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/model/memory_files.h"

namespace godwit::model {
namespace {

using testing::HasSubstr;

const char* kConfig = R"({
  "model_type": "qwen3_5", "image_token_id": 308, "video_token_id": 309, "vision_start_token_id": 305,
  "vision_end_token_id": 306, "tie_word_embeddings": true,
  "text_config": {"vocab_size": 320, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 8,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "linear_num_key_heads": 2,
    "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16, "max_position_embeddings": 4096,
    "mtp_num_hidden_layers": 1,
    "rope_parameters": {"rope_theta": 10000, "partial_rotary_factor": 0.25, "mrope_section": [2, 1, 1],
                        "mrope_interleaved": true, "rope_type": "default"}},
  "vision_config": {"depth": 3, "hidden_size": 64, "num_heads": 4, "intermediate_size": 128, "out_hidden_size": 64,
    "num_position_embeddings": 64}})";

Result<ModelConfig> read(const Json& json) {
  checkpoint::ModelFiles files;
  files.path = "some/folder/";
  files.config = json;
  return read_config(files);
}
Json parse(const std::string& text) { return *checkpoint::parse_json(text); }
Json& member(Json& json, const std::string& key) {
  for (auto& [name, value] : json.members()) {
    if (name == key) return value;
  }
  ADD_FAILURE() << key;
  return json;
}

TEST(Config, ReadsEverySize) {
  const auto config = read(parse(kConfig));
  ASSERT_TRUE(config) << config.error().message;
  const TextConfig& text = config->text;
  EXPECT_EQ(config->name, "folder");
  EXPECT_EQ(text.key_width(), 32);
  EXPECT_EQ(text.value_width(), 64);
  EXPECT_EQ(text.conv_channels(), 128);
  EXPECT_EQ(text.rope.rotary_dim, 8);
  EXPECT_EQ(text.layers[2], Mixer::kGatedDeltaNet);
  EXPECT_EQ(text.layers[3], Mixer::kGatedAttention);
  EXPECT_TRUE(text.tied_embeddings);
  EXPECT_EQ(config->vision->head_dim(), 16);
  EXPECT_EQ(config->vision->patch_values(), 1536);
  EXPECT_EQ(config->video_token, 309);
}

TEST(Config, LayerTypesGoBeforeTheInterval) {
  Json json = parse(kConfig);
  member(json, "text_config")
      .set("layer_types",
           parse(R"(["full_attention", "linear_attention", "linear_attention", "linear_attention",
                                   "linear_attention", "linear_attention", "linear_attention", "full_attention"])"));
  const auto config = read(json);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->text.layers[0], Mixer::kGatedAttention);
  EXPECT_EQ(config->text.layers[3], Mixer::kGatedDeltaNet);
}

TEST(Config, FlatTextOnlyForm) {
  Json json = parse(kConfig), flat = member(json, "text_config");
  flat.set("model_type", Json::string("qwen3_5_text"));
  flat.set("tie_word_embeddings", Json::boolean(true));
  const auto config = read(flat);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->text.hidden_size, 64);
  EXPECT_FALSE(config->vision);
}

TEST(Config, OlderSpellingOfYarn) {
  Json json = parse(kConfig);
  Json& text = member(json, "text_config");
  text.set("rope_parameters", Json());
  text.set("rope_theta", Json::integer(5000));
  text.set("rope_scaling",
           parse(R"({"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 2048})"));
  const auto config = read(json);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->text.rope.theta, 5000);
  EXPECT_EQ(config->text.rope.yarn_factor, 2);
  EXPECT_EQ(config->text.rope.yarn_original_context, 2048);
}

// Added to a configuration that has rope_parameters: its fields go over them.
TEST(Config, YarnBesideRopeParameters) {
  Json json = parse(kConfig);
  Json& text = member(json, "text_config");
  text.set("rope_scaling",
           parse(R"({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096})"));
  const auto config = read(json);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->text.rope.theta, 10000);
  EXPECT_EQ(config->text.rope.sections[0], 2);
  EXPECT_EQ(config->text.rope.yarn_factor, 4);
  EXPECT_EQ(config->text.max_context, 4 * 4096);

  text.set("rope_scaling", parse(R"({"type": "linear", "factor": 4.0})"));
  ASSERT_FALSE(read(json));
  EXPECT_THAT(read(json).error().message,
              HasSubstr("rope_type: expected default or yarn, found linear"));
  text.set("rope_scaling", parse("[]"));
  EXPECT_FALSE(read(json));
}

TEST(Config, AllFaultsAreToldInOneError) {
  Json json = parse(kConfig);
  Json& text = member(json, "text_config");
  text.set("head_dim", Json());
  text.set("hidden_size", Json::string("64"));
  text.set("linear_num_value_heads", parse("1e30"));
  const auto config = read(json);
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().message, HasSubstr("some/folder//config.json: "));
  EXPECT_THAT(config.error().message, HasSubstr("text_config.head_dim is missing"));
  EXPECT_THAT(config.error().message,
              HasSubstr("text_config.hidden_size: expected a whole number, found \"64\""));
  EXPECT_THAT(config.error().message,
              HasSubstr("linear_num_value_heads: expected a whole number, found 1e30"));
}

struct BadField {
  const char *object, *key, *value, *message;
};
class BadConfig : public testing::TestWithParam<BadField> {};
TEST_P(BadConfig, IsRefused) {
  const BadField& bad = GetParam();
  Json json = parse(kConfig);
  Json& object = *bad.object ? member(json, bad.object) : json;
  object.set(bad.key, parse(bad.value));
  const auto config = read(json);
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().message, HasSubstr(bad.message));
}
INSTANTIATE_TEST_SUITE_P(
    Fields, BadConfig,
    testing::Values(
        BadField{"", "model_type", "\"llama\"",
                 "model_type: expected qwen3_5 or qwen3_5_moe, found llama"},
        BadField{"", "quantization_config", R"({"quant_method": "gptq"})",
                 "gptq weights are not supported"},
        BadField{"", "vision_start_token_id", "null", "vision_start_token_id is missing"},
        BadField{"text_config", "hidden_size", "0", "hidden_size: expected 1 … 1048576, found 0"},
        BadField{"text_config", "vocab_size", "1000000000000", "vocab_size: expected 1 … 16777216"},
        BadField{"text_config", "num_hidden_layers", "-3",
                 "num_hidden_layers: expected 1 … 1024, found -3"},
        BadField{"text_config", "num_key_value_heads", "3",
                 "expected a multiple of num_key_value_heads (3), found 4"},
        BadField{"text_config", "linear_num_key_heads", "3",
                 "expected a multiple of linear_num_key_heads (3), found 4"},
        BadField{"text_config", "linear_conv_kernel_dim", "5",
                 "linear_conv_kernel_dim: expected 4 … 4, found 5"},
        BadField{"text_config", "layer_types", "[\"full_attention\"]",
                 "layer_types: expected a list of 8 names"},
        BadField{"text_config", "full_attention_interval", "0",
                 "full_attention_interval: expected 1 or more"},
        BadField{"text_config", "hidden_act", "\"gelu\"", "hidden_act: expected silu, found gelu"},
        BadField{"text_config", "attn_output_gate", "false", "attn_output_gate: expected true"},
        BadField{"text_config", "mtp_num_hidden_layers", "2",
                 "mtp_num_hidden_layers: expected 0 … 1, found 2"},
        BadField{"text_config", "rms_norm_eps", "-1", "rms_norm_eps"},
        BadField{"text_config", "num_experts", "8", "num_experts_per_tok is missing"},
        BadField{"text_config", "rope_parameters", R"({"rope_type": "longrope"})",
                 "expected default or yarn, found longrope"},
        BadField{"text_config", "rope_parameters", R"({"mrope_section": [2, 2, 1]})",
                 "three numbers with the sum 4"},
        BadField{"text_config", "rope_parameters", R"({"mrope_section": [-1, 4, 1]})",
                 "three numbers with the sum 4"},
        BadField{"text_config", "rope_parameters", R"({"rope_type": "yarn", "factor": 4})",
                 "original_max_position_embeddings is missing"},
        BadField{"text_config", "rope_parameters", R"({"partial_rotary_factor": 7})",
                 "partial_rotary_factor"},
        BadField{"vision_config", "deepstack_visual_indexes", "[5]",
                 "deepstack_visual_indexes: expected []"},
        BadField{"vision_config", "num_heads", "5",
                 "vision hidden_size: expected heads (5) of a multiple of 4"},
        BadField{"vision_config", "num_heads", "0", "vision num_heads: expected 1 … 4096, found 0"},
        BadField{"vision_config", "out_hidden_size", "32",
                 "vision out_hidden_size: expected 64, found 32"},
        BadField{"vision_config", "num_position_embeddings", "60", "expected a square, found 60"}));

TEST(Config, GgufMetadataGivesTheSameSizes) {
  const EditableFolder folder("qwen35-moe");
  const EditableGguf gguf("qwen35-moe");
  const auto a = read_config(folder.files), b = read_config(gguf.files);
  ASSERT_TRUE(a) << a.error().message;
  ASSERT_TRUE(b) << b.error().message;
  EXPECT_TRUE(b->gguf);
  EXPECT_EQ(a->text.vocab_size, b->text.vocab_size);
  EXPECT_EQ(a->text.layers, b->text.layers);
  EXPECT_EQ(a->text.conv_channels(), b->text.conv_channels());
  EXPECT_EQ(a->text.linear_value_dim, b->text.linear_value_dim);
  EXPECT_EQ(a->text.experts_per_token, b->text.experts_per_token);
  EXPECT_EQ(a->text.shared_expert_intermediate, b->text.shared_expert_intermediate);
  EXPECT_EQ(a->text.mtp_layers, b->text.mtp_layers);
  EXPECT_EQ(a->text.tied_embeddings, b->text.tied_embeddings);
  EXPECT_EQ(a->text.rope.sections[2], b->text.rope.sections[2]);
  EXPECT_EQ(a->text.max_context, b->text.max_context);
}

TEST(Config, GgufFaults) {
  EditableGguf gguf("qwen35-moe");
  gguf.gguf->values["qwen35moe.ssm.inner_size"] = int64_t{129};
  gguf.gguf->values.erase("qwen35moe.expert_used_count");
  gguf.gguf->values["qwen35moe.embedding_length"] = std::string("wide");
  const auto config = read_config(gguf.files);
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().message,
              HasSubstr("ssm.inner_size: expected a multiple of time_step_rank (8), found 129"));
  EXPECT_THAT(config.error().message, HasSubstr("expert_used_count"));
  EXPECT_THAT(config.error().message, HasSubstr("embedding_length"));
  gguf.gguf->values["general.architecture"] = std::string("llama");
  EXPECT_THAT(read_config(gguf.files).error().message,
              HasSubstr("expected qwen35 or qwen35moe, found llama"));
}

}  // namespace
}  // namespace godwit::model
