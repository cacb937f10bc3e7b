// The same question gets the same greedy answer with the cache on and off, in company, after
// preemption, with other thread counts, and whole or in chunks; logits are compared through
// log-probabilities to the bit where the engine promises it.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/engine/engine_fixture.h"
#include "tests/temporary_folder.h"

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
  put_first(all[7], picture_file("tests/goldens/nano/pictures/ocr-02.png"));
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
std::vector<Trace> traces_of(const std::vector<Reply>& replies) {
  std::vector<Trace> traces;
  for (const Reply& reply : replies) traces.push_back(trace_of(reply));
  return traces;
}
std::vector<Trace> one_by_one(Engine& engine) { return traces_of(answers(engine, questions())); }
std::vector<Trace> together(Engine& engine) {
  return traces_of(answers_at_once(engine, questions()));
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

// Embeddings and scores of texts, of lengths that end within a page, at one, and in several chunks.
std::vector<GenerationRequest> measured_texts() {
  std::vector<GenerationRequest> all;
  std::string text;
  for (int i = 0; i < 250; ++i) {
    text += fmt::format("{} and ", i * 37 % 91);
    if (i != 3 && i != 40 && i != 249) continue;
    GenerationRequest request;
    request.raw_text = text;
    request.task = Task::kEmbed;
    all.push_back(request);
    request.pooling = Pooling::kLast;
    all.push_back(request);
    request.task = Task::kScore;
    all.push_back(request);
  }
  return all;
}
std::pair<std::vector<float>, Trace> values_of(const Reply& reply) {
  EXPECT_EQ(reply.error, "");
  return {reply.done.embedding, trace_of(reply)};
}

TEST(Invariance, EmbeddingsAndScoresInCompany) {
  for (const bool cached : {false, true}) {
    auto options = nano_options();
    options.prefix_cache = cached;
    options.max_sequences = 32;
    auto engine = open_engine(options);
    std::vector<std::shared_ptr<Generation>> answers, measured;
    for (const auto& request : questions()) {
      answers.push_back(engine->submit(request).value());
      if (measured.empty())
        for (const auto& other : measured_texts())
          measured.push_back(engine->submit(other).value());
    }
    for (size_t i = 0; i < answers.size(); ++i)
      EXPECT_EQ(trace_of(collect(*answers[i])), reference()[i]) << "answer " << i;
    auto alone = open_engine(without_cache());
    for (size_t i = 0; i < measured.size(); ++i) {
      const auto values = values_of(collect(*measured[i]));
      EXPECT_FALSE(values.first.empty() && values.second.empty());
      EXPECT_EQ(values, values_of(answer(*alone, measured_texts()[i]))) << "text " << i;
    }
  }
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
  auto engine = open_engine(tight());
  const auto traces = together(*engine);
  expect_same_ids(traces, reference());
  EXPECT_GT(engine->stats().preempted, 0);
}

// Embeddings and scores that are preempted are made anew.
TEST(Invariance, PreemptedTexts) {
  auto engine = open_engine(tight());
  auto alone = open_engine(without_cache());
  std::vector<std::shared_ptr<Generation>> measured;
  auto talker = questions()[3];
  talker.max_tokens = -1;
  for (int i = 0; i < 3; ++i) measured.push_back(engine->submit(talker).value());
  auto text = measured_texts().back();
  text.raw_text = text.raw_text->substr(0, 900);
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < 3; ++i) {
    text.task = i % 2 ? Task::kScore : Task::kEmbed;
    text.pooling = Pooling::kMean;
    requests.push_back(text);
    measured.push_back(engine->submit(text).value());
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    const Reply reply = collect(*measured[3 + i]);
    EXPECT_EQ(values_of(reply), values_of(answer(*alone, requests[i])));
  }
  EXPECT_GT(engine->stats().preempted, 0);
  for (auto& generation : measured) generation->cancel();
}

class EngineOnDisk : public testing::Test {
 protected:
  EngineOptions options() const {
    auto with = nano_options();
    with.cache_folder = folder_.string();
    return with;
  }
  const TemporaryFolder folder_;
};

TEST_F(EngineOnDisk, AConversationGoesOnAfterARestart) {
  auto request = questions()[7];  // with a picture
  Reply first, undisturbed;
  {
    auto engine = open_engine(options());
    first = answer(*engine, request);
  }
  request.messages.push_back(message("assistant", first.content));
  request.messages.push_back(message("user", "What is the capital of Italy?"));
  undisturbed = [&] {
    // The same two turns in one life, nothing on disk.
    auto engine = open_engine(nano_options());
    answer(*engine, questions()[7]);
    return answer(*engine, request);
  }();
  auto engine = open_engine(options());
  const Reply second = answer(*engine, request);
  EXPECT_EQ(trace_of(second), trace_of(undisturbed)) << "the same bits";
  EXPECT_GE(second.done.usage.reused_tokens,
            first.done.usage.prompt_tokens + first.done.usage.completion_tokens - 1)
      << second.done.usage.reuse_note;
  EXPECT_EQ(second.done.usage.pictures_encoded, 0);
  // The picture's rows are known even where the prefix is another.
  request.messages.insert(request.messages.begin(), message("system", "Be short."));
  EXPECT_EQ(answer(*engine, request).done.usage.pictures_encoded, 0);
}

TEST_F(EngineOnDisk, DamagedFilesAreNoHarm) {
  {
    auto engine = open_engine(options());
    EXPECT_EQ(one_by_one(*engine), reference());
  }
  int damaged = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(entry.file_size() * (damaged % 10) / 10));
    file.put('\x55');
    ++damaged;
  }
  EXPECT_GT(damaged, 10);
  auto engine = open_engine(options());
  EXPECT_EQ(one_by_one(*engine), reference());
}

TEST_F(EngineOnDisk, WhatGivesOtherBitsReadsNothingOfIt) {
  { answer(*open_engine(options()), questions()[0]); }
  auto other = options();
  other.kv_type = "f32";
  EXPECT_EQ(answer(*open_engine(other), questions()[0]).done.usage.reused_tokens, 0);
  other = options();
  other.prefill_chunk = 17;  // other places where chunks end
  EXPECT_EQ(answer(*open_engine(other), questions()[0]).done.usage.reused_tokens, 0);
  EXPECT_GT(answer(*open_engine(options()), questions()[0]).done.usage.reused_tokens, 0);
}

}  // namespace
}  // namespace godwit::engine
