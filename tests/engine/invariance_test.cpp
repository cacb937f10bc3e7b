// The same question gets the same greedy answer with the cache on and off, in company, after
// preemption, with other thread counts, and whole or in chunks; logits are compared through
// log-probabilities to the bit where the engine promises it.
#include <gtest/gtest.h>

#include "base/mapped_file.h"
#include "tests/engine/engine_fixture.h"

namespace godwit::engine {
namespace {

std::vector<GenerationRequest> questions() {
  std::vector<GenerationRequest> all;
  const char* texts[] = {
      "What is the capital of France?",
      "Repeat after me: blue river stone.",
      "What is 14 plus 23?",
      "The key is under the red mat. My name is Tom. I live in Oslo. Where is the key?",
      "What is the capital of Italy?",
      "Write JSON: Anna is 31 years old.",
      "How are you?",
      "Tell me something long, please, and then go on with it."};
  for (const char* text : texts) {
    all.push_back(ask(text, 60));
    all.back().logprobs = 0;
    all.back().ignore_end = true;
  }
  all[2].thinking = Thinking::kOn;
  const auto bytes = std::make_shared<const std::string>(
      read_file(GODWIT_SOURCE_DIR "/tests/goldens/nano/pictures/ocr-02.png").value());
  text::ContentPart picture;
  picture.kind = text::ContentPart::Kind::kImage;
  picture.media = std::make_shared<text::MediaBytes>(text::MediaBytes{"sign.png", bytes, {}, 2});
  all[7].messages[0].content.insert(all[7].messages[0].content.begin(), picture);
  std::string filler;
  for (int i = 0; i < 70; ++i) filler += fmt::format("item {} is {}; ", i, i * 37 % 91);
  all[3].messages[0].content[0].text = filler + all[3].messages[0].content[0].text;
  return all;
}

// Ids and log-probabilities of every token.
using Trace = std::vector<std::pair<int32_t, float>>;
Trace trace_of(const Reply& reply) {
  EXPECT_EQ(reply.error, "");
  Trace trace;
  for (const auto& token : reply.logprobs) trace.emplace_back(token.id, token.logprob);
  return trace;
}
std::vector<Trace> one_by_one(Engine& engine) {
  std::vector<Trace> traces;
  for (const auto& request : questions()) traces.push_back(trace_of(answer(engine, request)));
  return traces;
}
std::vector<Trace> together(Engine& engine) {
  std::vector<std::shared_ptr<Generation>> generations;
  for (const auto& request : questions()) generations.push_back(engine.submit(request).value());
  std::vector<Trace> traces;
  for (auto& generation : generations) traces.push_back(trace_of(collect(*generation)));
  return traces;
}
void expect_same_ids(const std::vector<Trace>& a, const std::vector<Trace>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].size(), b[i].size()) << "question " << i;
    for (size_t t = 0; t < a[i].size(); ++t) {
      ASSERT_EQ(a[i][t].first, b[i][t].first) << "question " << i << " token " << t;
      EXPECT_NEAR(a[i][t].second, b[i][t].second, 1e-3);
    }
  }
}

EngineOptions without_cache() {
  auto options = nano_options();
  options.prefix_cache = false;
  return options;
}
const std::vector<Trace>& reference() {
  static const auto* traces = new std::vector<Trace>(one_by_one(*open_engine(without_cache())));
  return *traces;
}

TEST(Invariance, TheReferenceIsNotEmpty) {
  ASSERT_EQ(reference().size(), 8u);
  for (const auto& trace : reference()) EXPECT_EQ(trace.size(), 60u);
}

TEST(Invariance, CacheOnAndHit) {
  auto engine = open_engine(nano_options());
  EXPECT_EQ(one_by_one(*engine), reference()) << "cache on, nothing in it: the same bits";
  const int64_t before = engine->stats().reused_tokens;
  EXPECT_EQ(one_by_one(*engine), reference())
      << "cache hit: snapshots lie where chunks end, so the same bits";
  EXPECT_GT(engine->stats().reused_tokens, before + 500);
}

TEST(Invariance, InCompanyOfSeven) {
  auto engine = open_engine(without_cache());
  EXPECT_EQ(together(*engine), reference()) << "companions change no bit";
}

TEST(Invariance, Threads) {
  auto options = without_cache();
  options.threads = 3;
  EXPECT_EQ(one_by_one(*open_engine(options)), reference());
}

TEST(Invariance, ChunksOfPrefill) {
  for (int chunk : {64, 128, 1024}) {
    auto options = without_cache();
    options.prefill_chunk = chunk;
    EXPECT_EQ(one_by_one(*open_engine(options)), reference()) << "chunks end on one grid";
  }
  auto options = without_cache();
  options.prefill_chunk = 17;  // below the grid: equal to rounding
  expect_same_ids(one_by_one(*open_engine(options)), reference());
}

TEST(Invariance, Preempted) {
  auto options = nano_options();
  options.context = 1024;
  options.cache_bytes = 1;
  // The least that a context of 1024 fits in, so that eight at once cannot all stay.
  const auto engine_error = Engine::open(options);
  ASSERT_FALSE(engine_error.has_value());
  const std::string& text = engine_error.error().message;  // "… needs N bytes, found 1"
  options.cache_bytes = std::stoull(text.substr(text.find("needs ") + 6));
  auto engine = open_engine(options);
  const auto traces = together(*engine);
  expect_same_ids(traces, reference());
  EXPECT_GT(engine->stats().preempted, 0);
}

}  // namespace
}  // namespace godwit::engine
