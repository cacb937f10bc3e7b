// The memory plan against what a process really holds: a model of 200 MB with random weights, and a
// conversation that fills its context. In a process of its own, because a peak never goes down.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "base/float16.h"
#include "checkpoint/gguf.h"
#include "tests/engine/engine_fixture.h"
#include "tests/sanitizers.h"
#include "tests/temporary_folder.h"

namespace godwit::engine {
namespace {

using checkpoint::GgufArray;
using tensor::DType;

constexpr int64_t kHidden = 1024, kLayers = 4, kInner = 8192, kHeads = 8, kKvHeads = 2;
constexpr int64_t kHeadDim = 256, kLinearHeads = 16, kLinearDim = 128, kVocabulary = 65536;

class RandomModel {
 public:
  RandomModel() {
    matrix("token_embd.weight", kVocabulary, kHidden);
    vector("output_norm.weight", {kHidden});
    for (int64_t i = 0; i < kLayers; ++i) layer("blk." + std::to_string(i) + ".", i % 4 == 3);
    const std::string head = "blk." + std::to_string(kLayers) + ".";  // the drafting head
    layer(head, true);
    matrix(head + "nextn.eh_proj.weight", kHidden, 2 * kHidden);
    for (const char* name : {"enorm", "hnorm", "shared_head_norm"})
      vector(head + "nextn." + name + ".weight", {kHidden});
    metadata();
    writer_.make = [this](size_t i, checkpoint::GgufWriter::Sink sink) { return make(i, sink); };
  }
  Status write(const std::string& path) const { return writer_.write(path); }

 private:
  void matrix(const std::string& name, int64_t rows, int64_t columns) {
    writer_.tensors.push_back({name, {nullptr, DType::kQ8_0, {rows, columns}}});
  }
  void vector(const std::string& name, const tensor::Shape& shape) {
    writer_.tensors.push_back({name, {nullptr, DType::kF32, shape}});
  }
  void layer(const std::string& p, bool attention) {
    vector(p + "attn_norm.weight", {kHidden});
    vector(p + "post_attention_norm.weight", {kHidden});
    if (attention) {
      matrix(p + "attn_q.weight", 2 * kHeads * kHeadDim, kHidden);
      matrix(p + "attn_k.weight", kKvHeads * kHeadDim, kHidden);
      matrix(p + "attn_v.weight", kKvHeads * kHeadDim, kHidden);
      matrix(p + "attn_output.weight", kHidden, kHeads * kHeadDim);
      vector(p + "attn_q_norm.weight", {kHeadDim});
      vector(p + "attn_k_norm.weight", {kHeadDim});
    } else {
      const int64_t width = kLinearHeads * kLinearDim;
      matrix(p + "attn_qkv.weight", 3 * width, kHidden);
      matrix(p + "attn_gate.weight", width, kHidden);
      vector(p + "ssm_conv1d.weight", {3 * width, 4});
      vector(p + "ssm_dt.bias", {kLinearHeads});
      vector(p + "ssm_a", {kLinearHeads});
      matrix(p + "ssm_beta.weight", kLinearHeads, kHidden);
      matrix(p + "ssm_alpha.weight", kLinearHeads, kHidden);
      vector(p + "ssm_norm.weight", {kLinearDim});
      matrix(p + "ssm_out.weight", kHidden, width);
    }
    matrix(p + "ffn_gate.weight", kInner, kHidden);
    matrix(p + "ffn_up.weight", kInner, kHidden);
    matrix(p + "ffn_down.weight", kHidden, kInner);
  }

  void metadata() {
    auto& m = writer_.metadata;
    const auto set = [&m](const std::string& key, checkpoint::GgufValue value) {
      m.emplace_back("qwen35." + key, std::move(value));
    };
    m.emplace_back("general.architecture", std::string("qwen35"));
    set("context_length", int64_t{32768});
    set("embedding_length", kHidden);
    set("block_count", kLayers + 1);
    set("nextn_predict_layers", int64_t{1});
    set("feed_forward_length", kInner);
    set("attention.head_count", kHeads);
    set("attention.head_count_kv", kKvHeads);
    set("attention.key_length", kHeadDim);
    set("attention.value_length", kHeadDim);
    set("attention.layer_norm_rms_epsilon", 1e-6);
    set("rope.freq_base", 1e7);
    set("rope.dimension_count", int64_t{64});
    set("rope.dimension_sections", GgufArray{std::vector<int64_t>{11, 11, 10, 0}});
    set("ssm.conv_kernel", int64_t{4});
    set("ssm.state_size", kLinearDim);
    set("ssm.group_count", kLinearHeads);
    set("ssm.time_step_rank", kLinearHeads);
    set("ssm.inner_size", kLinearHeads * kLinearDim);
    set("full_attention_interval", int64_t{4});
    std::vector<std::string> tokens;  // the alphabet of bytes, and words
    for (int code = 33; tokens.size() < 256; ++code) {
      if ((code > 126 && code < 161) || code == 173) continue;
      tokens.push_back(code < 128 ? std::string(1, static_cast<char>(code))
                                  : std::string{static_cast<char>(0xc0 | code >> 6),
                                                static_cast<char>(0x80 | (code & 63))});
    }
    tokens.insert(tokens.end(), {"<|im_start|>", "<|im_end|>"});
    for (int64_t i = 258; i < kVocabulary; ++i) tokens.push_back(fmt::format("w{}", i));
    m.emplace_back("tokenizer.ggml.model", std::string("gpt2"));
    m.emplace_back("tokenizer.ggml.pre", std::string("qwen35"));
    m.emplace_back("tokenizer.ggml.tokens", GgufArray{std::move(tokens)});
    std::vector<int64_t> types(kVocabulary, 1);
    types[256] = types[257] = 3;  // control
    m.emplace_back("tokenizer.ggml.token_type", GgufArray{std::move(types)});
    m.emplace_back("tokenizer.ggml.merges", GgufArray{std::vector<std::string>{}});
  }

  Status make(size_t i, checkpoint::GgufWriter::Sink sink) const {
    const checkpoint::NamedTensor& tensor = writer_.tensors[i];
    std::vector<std::byte> bytes(tensor.view.bytes());
    if (tensor.view.dtype == DType::kF32) {
      const float value = tensor.name.ends_with("ssm_a") ? -0.5f : 0.5f;
      for (size_t at = 0; at < bytes.size(); at += 4) std::memcpy(&bytes[at], &value, 4);
    } else {
      const uint16_t scale = f32_to_f16(0.0003f);
      uint32_t state = 7;
      for (std::byte& byte : bytes)
        byte = static_cast<std::byte>((state = state * 1664525 + 1013904223) >> 24);
      for (size_t at = 0; at < bytes.size(); at += 34) std::memcpy(&bytes[at], &scale, 2);
    }
    return sink(bytes);
  }

  checkpoint::GgufWriter writer_;
};

// In a child: fills the context; its peak against the plan in thousandths, through the pipe.
int measure(const EngineOptions& options) {
  auto engine = open_engine(options);
  GenerationRequest request;
  const auto context = engine->info().context;
  std::vector<int32_t> ids;
  constexpr int kAnswer = 24;
  for (int64_t i = 0; i < context - kAnswer - 1; ++i)
    ids.push_back(static_cast<int32_t>(i * 7919 % 65000));
  request.raw_ids = std::move(ids);
  request.sampling.temperature = 0;
  request.max_tokens = kAnswer;
  request.ignore_end = true;
  const Reply reply = collect(*engine->submit(std::move(request)).value());
  if (!reply.error.empty() || reply.done.usage.completion_tokens != kAnswer) return -1;
  if ((engine->stats().drafted[0] > 0) != (options.draft_tokens > 0)) return -1;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int>(usage.ru_maxrss * 1024.0 / engine->info().memory.total() * 1000);
}

int measure_apart(const EngineOptions& options) {
  int ends[2];
  if (pipe(ends) != 0) return -1;
  const pid_t child = fork();
  if (child == 0) {
    const int found = measure(options);
    _exit(write(ends[1], &found, sizeof found) == sizeof found ? 0 : 1);
  }
  close(ends[1]);
  int found = -1;
  if (read(ends[0], &found, sizeof found) != sizeof found) found = -1;
  close(ends[0]);
  waitpid(child, nullptr, 0);
  return found;
}

class MemoryPlanTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TemporaryFolder>();
    ASSERT_TRUE(RandomModel().write(*folder_ / "model.gguf"));
  }
  static void TearDownTestSuite() { folder_.reset(); }
  static EngineOptions options() {
    EngineOptions options;
    options.model = *folder_ / "model.gguf";
    options.threads = 2;
    options.max_sequences = 1;
    options.prefix_cache = false;
    return options;
  }
  static void expect_true(const EngineOptions& options) {
#ifdef GODWIT_SANITIZED
    GTEST_SKIP() << "a sanitizer holds memory of its own";
#endif
    const int found = measure_apart(options);
    EXPECT_GE(found, 950) << "resident memory in thousandths of the plan";
    EXPECT_LE(found, 1050) << "resident memory in thousandths of the plan";
  }
  static inline std::unique_ptr<TemporaryFolder> folder_;
};

TEST_F(MemoryPlanTest, TrueForAFullContext) {
  EngineOptions options = this->options();
  options.context = 1024;
  expect_true(options);
}

TEST_F(MemoryPlanTest, TrueWithDrafts) {
  EngineOptions options = this->options();
  options.context = 2048;
  options.draft_tokens = 4;
  options.draft_always = true;
  expect_true(options);
  options.undo_window = 64;
  expect_true(options);
}

TEST_F(MemoryPlanTest, TrueWhereTheCacheWeighs) {
  EngineOptions options = this->options();
  options.context = 4096;
  options.kv_type = "f32";
  expect_true(options);
}

}  // namespace
}  // namespace godwit::engine
