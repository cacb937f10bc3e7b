// bench, quantize, eval and pull as a user meets them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "checkpoint/gguf.h"
#include "checkpoint/json.h"
#include "checkpoint/tensor_source.h"
#include "tests/cli/program.h"
#include "tests/temporary_folder.h"

namespace godwit::cli {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

const std::string kSource = GODWIT_SOURCE_DIR;
const std::string kNano = kSource + "/models/nano";

class ToolsTest : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_ / name; }

  static checkpoint::Json json_of(const std::vector<std::string>& arguments) {
    const auto result = run_program(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    auto json = checkpoint::parse_json(result.out);
    EXPECT_TRUE(json) << result.out;
    return json.value_or(checkpoint::Json());
  }
  static void expect_refused(const std::vector<std::string>& arguments, const std::string& word) {
    const auto result = run_program(arguments);
    EXPECT_EQ(result.exit_code, 2) << result.out << result.err;
    EXPECT_THAT(result.err, HasSubstr(word));
  }

  // A text that the demonstration model knows the words of.
  std::string text() const {
    std::ofstream out(path("text.txt"));
    for (int i = 0; i < 40; ++i)
      out << "The picture shows a red circle and a blue square. What is in the picture? ";
    return path("text.txt");
  }
  const TemporaryFolder folder_;
};

TEST_F(ToolsTest, BenchPrintsWhatItPromises) {
  const auto json = json_of({"bench", "-p", "16,32", "-n", "4", "-d", "0,40", "-b", "1,2", "-r",
                             "1", "--image-size", "64", "-t", "2", "--json"});
  ASSERT_TRUE(json.is_object());
  for (const char* key : {"model", "threads", "isa", "machine", "prefill", "decode"})
    ASSERT_TRUE(json.find(key)) << key;
  for (const char* key : {"read_gb_s", "int8_gmac_s", "f32_gmac_s"})
    EXPECT_GT(json.find("machine")->find(key)->as_double(), 0) << key;
  EXPECT_EQ(json.find("threads")->as_int64(), 2);
  ASSERT_EQ(json.find("prefill")->items().size(), 2u);
  EXPECT_EQ(json.find("prefill")->items()[1].find("n")->as_int64(), 32);
  ASSERT_EQ(json.find("decode")->items().size(), 4u);
  const auto& last = json.find("decode")->items()[3];
  EXPECT_EQ(last.find("context")->as_int64(), 40);
  EXPECT_EQ(last.find("batch")->as_int64(), 2);
  EXPECT_GT(last.find("gb_s")->as_double(), 0);
  EXPECT_EQ(json.find("vision")->items().size(), 1u);
}

TEST_F(ToolsTest, BenchRefusesWhatTheModelCannotDo) {
  expect_refused({"bench", "-p", "100000"}, "-p: expected 1 … 8192, found 100000");
  expect_refused({"bench", "--image-size", "33"}, "multiple of 32");
}

// What is usual is more than the demonstration model's context holds.
TEST_F(ToolsTest, BenchTurnsFitTheContext) {
  const auto result = run_program({"bench", "--turns", "1", "-r", "1", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("conversations of 6553 tokens"));
}

TEST_F(ToolsTest, BenchWritesATrace) {
  const auto result =
      run_program({"bench", "-p", "16", "-n", "2", "-r", "1", "--trace", path("trace.json")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("mlp.gate_up"));
  std::ifstream file(path("trace.json"));
  const std::string trace{std::istreambuf_iterator<char>(file), {}};
  const auto json = checkpoint::parse_json(trace);
  ASSERT_TRUE(json);
  EXPECT_GT(json->find("traceEvents")->items().size(), 20u);
}

TEST_F(ToolsTest, EveryTypeGivesFiniteLogits) {
  for (const char* family : {"qwen35-tiny", "qwen35-moe"}) {
    const std::string cases = kSource + "/tests/goldens/models/" + family;
    const std::string input =
        cases + (std::string(family) == "qwen35-tiny" ? "/text-5" : "/text-65");
    for (const char* type : {"F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_K_S",
                             "Q4_0", "IQ4_XS", "IQ4_NL", "MXFP4"}) {
      SCOPED_TRACE(std::string(family) + " " + type);
      const auto made = run_program({"quantize", cases + "/model", path("m.gguf"), "--type", type});
      ASSERT_EQ(made.exit_code, 0) << made.err;
      const auto ran =
          run_program({"debug", "tensors", "-m", path("m.gguf"), "--input",
                       input + ".input.safetensors", "--output", path("t.safetensors")});
      ASSERT_EQ(ran.exit_code, 0) << ran.err;
      const auto tensors = checkpoint::open_safetensors(path("t.safetensors"));
      ASSERT_TRUE(tensors);
      const auto logits = (*tensors)->find("logits");
      ASSERT_TRUE(logits);
      for (int64_t i = 0; i < logits->shape.elements(); ++i) {
        float value;
        std::memcpy(&value, logits->data + 4 * i, 4);
        ASSERT_TRUE(std::isfinite(value)) << i;
      }
    }
  }
}

TEST_F(ToolsTest, DivergenceGrowsAsBitsShrink) {
  double previous = -1;
  for (const char* type : {"BF16", "Q8_0", "Q4_K_M"}) {
    const auto made = run_program({"quantize", kNano, path("m.gguf"), "--type", type});
    ASSERT_EQ(made.exit_code, 0) << made.err;
    const auto json = json_of({"eval", "divergence", text(), "-m", path("m.gguf"), "--reference",
                               kNano, "--context", "128", "--json"});
    const double mean = json.find("mean")->as_double();
    EXPECT_GE(mean, -1e-9) << type;
    EXPECT_GT(mean, previous) << type;
    EXPECT_LT(mean, 1) << type;
    previous = std::max(mean, 0.0);
    if (std::string(type) == "BF16") {
      EXPECT_LT(mean, 1e-6);
    }
  }
}

TEST_F(ToolsTest, PerplexityIsANumber) {
  const auto json = json_of({"eval", "perplexity", text(), "--context", "128", "--json"});
  EXPECT_GT(json.find("perplexity")->as_double(), 1);
  EXPECT_GT(json.find("tokens")->as_int64().value_or(0), 60);
  std::ofstream(path("short.txt")) << "a";
  expect_refused({"eval", "perplexity", path("short.txt")}, "expected a text of 32 tokens");
}

TEST_F(ToolsTest, ImportanceFromATextChangesTheFile) {
  for (const char* name : {"plain.gguf", "guided.gguf"}) {
    std::vector<std::string> call = {"quantize", kNano, path(name), "--type", "Q4_K_M"};
    if (std::string(name) == "guided.gguf") call.insert(call.end(), {"--imatrix", text()});
    const auto made = run_program(call);
    ASSERT_EQ(made.exit_code, 0) << made.err;
  }
  const auto plain = checkpoint::GgufFile::open(path("plain.gguf")),
             guided = checkpoint::GgufFile::open(path("guided.gguf"));
  ASSERT_TRUE(plain && guided);
  const auto a = (*plain)->find("blk.0.ffn_up.weight"), b = (*guided)->find("blk.0.ffn_up.weight");
  ASSERT_TRUE(a && b);
  ASSERT_EQ(a->bytes(), b->bytes());
  EXPECT_NE(std::memcmp(a->data, b->data, a->bytes()), 0);
}

TEST_F(ToolsTest, QuantizeRefusesNonsense) {
  expect_refused({"quantize", kNano, path("x.gguf"), "--type", "Q9"}, "--type: expected one of");
  expect_refused({"quantize", kNano, path("x.bin")}, "ends in .gguf");
  expect_refused({"quantize", kNano, path("x.gguf"), "--head", "I32"}, "--head");
  expect_refused({"quantize", path("absent"), path("x.gguf")}, "no such file");
}

TEST_F(ToolsTest, PullRefusesNamesThatAreNone) {
  for (const char* name : {"nano", "/x", "a/b/c", "../x"})
    expect_refused({"pull", name}, "expected OWNER/MODEL");
}

}  // namespace
}  // namespace godwit::cli
