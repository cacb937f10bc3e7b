// What a model path may name, and what is said when it names nothing usable.
#include "checkpoint/model_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/checkpoint/files.h"

namespace godwit::checkpoint {
namespace {

using tensor::DType;
using ::testing::EndsWith;
using ::testing::HasSubstr;

const std::vector<float> kFloats = {1, 2, 3};

std::string error_of(const std::string& model, const std::string& mmproj = {}) {
  const auto files = open_model_files(model, mmproj);
  if (files) return "no error";
  EXPECT_EQ(files.error().message.find('\n'), std::string::npos);
  return files.error().message;
}

void put_gguf(const std::string& path, const std::string& architecture) {
  GgufWriter writer;
  writer.metadata = {{"general.architecture", architecture}};
  ASSERT_TRUE(writer.write(path));
}

// "-of-" alone makes no part of a split set.
TEST(GgufFolder, NamesThatOnlyLookSplit) {
  for (const char* name : {"king-of-hearts.gguf", "a-00002-of-x0003.gguf", "b-of-00001.gguf"}) {
    const Folder folder;
    put_gguf(folder / name, "qwen35");
    EXPECT_EQ(error_of(folder.string()), "no error") << name;
  }
  const Folder folder;
  put_gguf(folder / "a-00002-of-00003.gguf", "qwen35");
  EXPECT_THAT(error_of(folder.string()), HasSubstr("with 0 .gguf models"));
}

// A repository of GGUF files that has the configuration too.
TEST(GgufFolder, WithAConfigJson) {
  const Folder folder;
  folder.put("config.json", R"({"model_type":"x"})");
  put_gguf(folder / "a.gguf", "qwen35");
  const auto files = open_model_files(folder.string());
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_TRUE(files->is_gguf);
  put_gguf(folder / "b.gguf", "qwen35");
  EXPECT_THAT(error_of(folder.string()), HasSubstr("2 .gguf models (name one of them)"));
}

class HuggingFace : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_.put("config.json", R"({"model_type":"x"})");
    ASSERT_TRUE(write_safetensors(folder_ / "model.safetensors",
                                  {{"w", view_of(kFloats, DType::kF32, {3})}}));
  }
  std::optional<std::string> chat_template() {
    const auto files = open_model_files(folder_.string());
    EXPECT_TRUE(files) << files.error().message;
    return files->chat_template;
  }
  Folder folder_;
};

TEST_F(HuggingFace, Opens) {
  auto files = open_model_files(folder_.string());
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_FALSE(files->is_gguf);
  EXPECT_TRUE(files->tensors->find("w"));
  EXPECT_EQ(files->config.find("model_type")->as_string(), "x");
  EXPECT_FALSE(files->generation_config);
  EXPECT_EQ(files->tokenizer_json_path, "");

  folder_.put("tokenizer.json", "{}");
  folder_.put("generation_config.json", R"({"top_k":20})");
  folder_.put("preprocessor_config.json", "{}");
  folder_.put("video_preprocessor_config.json", "{}");
  files = open_model_files(folder_.string());
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_THAT(files->tokenizer_json_path, EndsWith("/tokenizer.json"));
  EXPECT_EQ(files->generation_config->find("top_k")->as_int64(), 20);
  EXPECT_TRUE(files->preprocessor_config && files->video_preprocessor_config);
}

TEST_F(HuggingFace, ChatTemplates) {
  EXPECT_EQ(chat_template(), std::nullopt);
  folder_.put("tokenizer_config.json", R"({"chat_template":"one"})");
  EXPECT_EQ(chat_template(), "one");
  folder_.put(
      "tokenizer_config.json",
      R"({"chat_template":[{"name":"tool_use","template":"tools"},{"name":"default","template":"two"}]})");
  EXPECT_EQ(chat_template(), "two");
  folder_.put("tokenizer_config.json",
              R"({"chat_template":[7,{"name":"rag","template":"three"}]})");
  EXPECT_EQ(chat_template(), "three");
  folder_.put("tokenizer_config.json", R"({"chat_template":null})");
  EXPECT_EQ(chat_template(), std::nullopt);
  folder_.put("chat_template.json", R"({"chat_template":"four"})");
  EXPECT_EQ(chat_template(), "four");
  folder_.put("chat_template.jinja", "five\n");
  EXPECT_EQ(chat_template(), "five\n");
}

TEST_F(HuggingFace, ChatTemplatesOfAnotherKind) {
  for (const char* file : {"tokenizer_config.json", "chat_template.json"}) {
    folder_.put(file, R"({"chat_template":5})");
    EXPECT_THAT(error_of(folder_.string()),
                HasSubstr(std::string(file) + ": chat_template: expected a string or a list of "
                                              "templates, found 5"));
  }
}

TEST_F(HuggingFace, Faults) {
  EXPECT_THAT(error_of(folder_ / "none"),
              HasSubstr("no such file or folder; expected a Hugging Face folder"));
  EXPECT_THAT(error_of(folder_ / "config.json"), HasSubstr("found another file"));
  EXPECT_THAT(error_of(folder_.string(), "x.gguf"), HasSubstr("no .gguf model"));
  folder_.put("generation_config.json", "[]");
  EXPECT_THAT(error_of(folder_.string()),
              HasSubstr("generation_config.json: expected a JSON object"));
  folder_.put("config.json", "{");
  EXPECT_THAT(error_of(folder_.string()), HasSubstr("config.json: malformed JSON"));
  folder_.put("config.json", "{}");
  std::filesystem::remove(folder_ / "model.safetensors");
  EXPECT_THAT(error_of(folder_.string()), HasSubstr("expected model.safetensors"));
}

TEST(GgufModel, FileFolderAndVisionPart) {
  const Folder folder;
  EXPECT_THAT(error_of(folder.string()), HasSubstr("without safetensors and with 0 .gguf models"));
  put_gguf(folder / "m-Q4_K_M.gguf", "qwen35");
  for (const auto& path : {folder.string(), folder / "m-Q4_K_M.gguf"}) {
    const auto files = open_model_files(path);
    ASSERT_TRUE(files) << files.error().message;
    EXPECT_TRUE(files->is_gguf && files->gguf);
    EXPECT_FALSE(files->mmproj);
  }
  put_gguf(folder / "mmproj-F16.gguf", "clip");
  const auto files = open_model_files(folder.string());
  ASSERT_TRUE(files) << files.error().message;
  ASSERT_TRUE(files->mmproj);
  EXPECT_THAT(error_of(folder / "mmproj-F16.gguf"), HasSubstr("expected a text model"));
  EXPECT_THAT(error_of(folder / "m-Q4_K_M.gguf", folder / "m-Q4_K_M.gguf"),
              HasSubstr("expected a vision file"));
  put_gguf(folder / "n.gguf", "qwen35");
  EXPECT_THAT(error_of(folder.string()), HasSubstr("with 2 .gguf models (name one of them)"));
}

TEST(GgufModel, TheVisionPartOfTheRightModel) {
  const Folder folder;
  for (const char* name :
       {"Qwen3.5-4B-Q4_K_M.gguf", "Qwen3.5-9B-Q8_0.gguf", "tiny.gguf", "tiny.bf16.gguf",
        "other.gguf", "Qwen3.5-4Bx-Q8_0.gguf", "tiny.IQ4_XS.gguf", "Qwen3.5-2B-Q8_0.gguf"})
    put_gguf(folder / name, "qwen35");
  for (const char* name :
       {"mmproj-Qwen3.5-4B-F16.gguf", "mmproj-Qwen3.5-4B-BF16.gguf", "Qwen3.5-9B.mmproj.gguf",
        "tiny.mmproj.gguf", "tiny.bf16.mmproj.gguf", "mmproj-Qwen3.5-2B-fp16.gguf"})
    put_gguf(folder / name, "clip");
  const auto vision = [&](const std::string& name) -> std::string {
    const auto files = open_model_files(folder / name);
    EXPECT_TRUE(files) << files.error().message;
    if (!files->mmproj) return "none";
    return std::filesystem::path(files->mmproj->description()).filename().string();
  };
  EXPECT_EQ(vision("Qwen3.5-4B-Q4_K_M.gguf"), "mmproj-Qwen3.5-4B-BF16.gguf");
  EXPECT_EQ(vision("Qwen3.5-9B-Q8_0.gguf"), "Qwen3.5-9B.mmproj.gguf");
  EXPECT_EQ(vision("tiny.gguf"), "tiny.mmproj.gguf");
  EXPECT_EQ(vision("tiny.bf16.gguf"), "tiny.bf16.mmproj.gguf");
  EXPECT_EQ(vision("tiny.IQ4_XS.gguf"), "tiny.bf16.mmproj.gguf");
  EXPECT_EQ(vision("Qwen3.5-2B-Q8_0.gguf"), "mmproj-Qwen3.5-2B-fp16.gguf");
  EXPECT_EQ(vision("other.gguf"), "none");
  EXPECT_EQ(vision("Qwen3.5-4Bx-Q8_0.gguf"), "none");  // another model
}

// Every golden file opens; the larger set too where it lies beside the project.
TEST(ModelGolden, AllFilesOpen) {
  int opened = 0;
  for (const std::string root :
       {GODWIT_SOURCE_DIR "/tests/goldens", GODWIT_SOURCE_DIR "/../shared/goldens"}) {
    std::error_code ignored;
    for (std::filesystem::directory_iterator it(root + "/gguf", ignored), end; it != end; ++it) {
      const std::string path = it->path().string();
      if (!path.ends_with(".gguf") || path.ends_with("blocks.gguf")) continue;
      const auto file = GgufFile::open(path);
      ASSERT_TRUE(file) << file.error().message;
      EXPECT_GT((*file)->names().size(), 20u);
      if (path.find("mmproj") != std::string::npos) continue;
      const auto model = open_model_files(path);
      ASSERT_TRUE(model) << model.error().message;
      EXPECT_EQ(model->gguf->strings("tokenizer.ggml.tokens")->size(), 320u);
      ++opened;
    }
    for (std::filesystem::directory_iterator it(root + "/models", ignored), end; it != end; ++it) {
      const std::string folder = (it->path() / "model").string();
      if (!std::filesystem::exists(folder)) continue;  // a family whose weights are kept as GGUF
      const auto model = open_model_files(folder);
      ASSERT_TRUE(model) << model.error().message;
      EXPECT_GT(model->tensors->names().size(), 20u);
      EXPECT_TRUE(model->generation_config);
      ++opened;
    }
  }
  EXPECT_GE(opened, 3);
}

}  // namespace
}  // namespace godwit::checkpoint
