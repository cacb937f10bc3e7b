// Drafting changes no answer: ids and log-probabilities are those of the engine that drafts
// nothing, to the bit.
#include <gtest/gtest.h>

#include <array>
#include <random>

#include "engine/draft_policy.h"
#include "tests/engine/engine_fixture.h"

namespace godwit::engine {
namespace {

using Trace = std::vector<std::pair<int32_t, float>>;

GenerationRequest with_picture(const std::string& question) {
  auto request = ask(question, 60);
  put_first(request, picture_file("tests/goldens/nano/pictures/ocr-02.png"));
  return request;
}

// Every way in which an answer is chosen and ends.
std::vector<GenerationRequest> questions() {
  std::vector<GenerationRequest> all;
  std::string filler;
  for (int i = 0; i < 70; ++i) filler += fmt::format("item {} is {}; ", i, i * 37 % 91);
  for (const std::string& text :
       {std::string("What is the capital of France?"), std::string("Write JSON: Anna is 31."),
        filler + "Which items are there?"}) {
    all.push_back(ask(text, 60));  // to its own end
    all.push_back(ask(text, 90));
    all.back().ignore_end = true;
    for (const uint64_t seed : {1, 2}) {
      all.push_back(ask(text, 60));
      all.back().ignore_end = true;
      all.back().sampling.temperature = seed == 1 ? 1.0f : 0.6f;
      all.back().sampling.seed = seed;
    }
  }
  all.push_back(with_picture("Which text do you see?"));
  all.push_back(with_picture("Describe the picture."));
  all.back().sampling.temperature = 1.0f;
  all.back().sampling.seed = 5;
  all.back().ignore_end = true;
  auto penalised = ask("Repeat after me: blue river stone blue river stone.", 60);
  penalised.ignore_end = true;
  penalised.sampling.repetition_penalty = 1.2f;
  penalised.sampling.frequency_penalty = 0.3f;
  penalised.sampling.presence_penalty = 0.5f;
  penalised.sampling.logit_bias = {{300, 2.0f}, {2047, 1.0f}};
  all.push_back(penalised);
  penalised.sampling.top_k = 0;
  penalised.sampling.top_p = 0.9f;
  penalised.sampling.temperature = 0.8f;
  penalised.sampling.seed = 9;
  all.push_back(penalised);
  for (const int budget : {0, 3, 17}) {
    auto thinking = ask("What is 14 plus 23?", 60);
    thinking.thinking = Thinking::kOn;
    thinking.thinking_budget = budget;
    all.push_back(thinking);
  }
  auto stopped = ask("Repeat after me: blue river stone.", 60);
  stopped.stop = {"river"};
  all.push_back(stopped);
  for (const int length : {1, 2, 3, 5, 6}) {
    all.push_back(ask("How are you?", length));
    all.back().ignore_end = true;
  }
  for (auto& request : all) request.logprobs = 2;
  return all;
}

struct Answer {
  Trace trace;
  std::vector<std::vector<std::pair<int32_t, float>>> alternatives;
  std::string reasoning, content, stop_string;
  FinishReason finish;
  bool operator==(const Answer&) const = default;
};
Answer answer_of(const Reply& reply) {
  EXPECT_EQ(reply.error, "");
  Answer answer{{}, {}, reply.reasoning, reply.content, reply.done.stop_string, reply.done.finish};
  for (const auto& token : reply.logprobs) {
    answer.trace.emplace_back(token.id, token.logprob);
    answer.alternatives.push_back(token.top);
  }
  return answer;
}
std::vector<Answer> answers_of(const std::vector<Reply>& replies) {
  std::vector<Answer> all;
  for (const Reply& reply : replies) all.push_back(answer_of(reply));
  return all;
}
std::vector<Answer> one_by_one(Engine& engine) { return answers_of(answers(engine, questions())); }
std::vector<Answer> together(Engine& engine) {
  return answers_of(answers_at_once(engine, questions()));
}
EngineOptions drafting(int tokens) {
  auto options = nano_options();
  options.prefix_cache = false;
  options.draft_tokens = tokens;
  options.draft_always = tokens > 0;
  return options;
}
const std::vector<Answer>& reference() {
  static const auto* answers = new std::vector<Answer>(one_by_one(*open_engine(drafting(0))));
  return *answers;
}
void expect_reference(const std::vector<Answer>& answers) {
  ASSERT_EQ(answers.size(), reference().size());
  for (size_t i = 0; i < answers.size(); ++i)
    EXPECT_EQ(answers[i], reference()[i]) << "question " << i << ": " << answers[i].content
                                          << " instead of " << reference()[i].content;
}

TEST(Drafts, ChangeNoAnswer) {
  for (int drafts = 1; drafts <= kMaxDrafts; ++drafts) {
    for (const int threads : {1, 2}) {
      auto options = drafting(drafts);
      options.threads = threads;
      auto engine = open_engine(options);
      expect_reference(one_by_one(*engine));
      const EngineStats stats = engine->stats();
      for (int p = 0; p < kMaxDrafts; ++p) {
        if (p < drafts) {  // the third and fourth are seldom right
          EXPECT_GE(stats.drafts_accepted[p], (std::array{150, 60, 10, 2})[p]) << "draft " << p;
          EXPECT_GT(stats.drafted[p], stats.drafts_accepted[p] + 100) << "draft " << p;
        } else {
          EXPECT_EQ(stats.drafted[p], 0);
        }
      }
    }
  }
}

TEST(Drafts, ThoseThatPayAreTheSame) {
  auto options = drafting(kMaxDrafts);
  options.draft_always = false;
  auto engine = open_engine(options);
  expect_reference(one_by_one(*engine));
  EXPECT_GT(engine->stats().drafted[0], 0);
}

// Up to eight sequences with as many drafts as a step has room for, beside prompts that are read.
TEST(Drafts, InCompany) {
  for (const int sequences : {2, 4, 8}) {
    auto options = drafting(kMaxDrafts);
    options.max_sequences = sequences;
    auto engine = open_engine(options);
    expect_reference(together(*engine));
    // Eight leave no room for drafts until some are done.
    EXPECT_GT(engine->stats().drafts_accepted[0], sequences == 8 ? 0 : 20);
  }
}

TEST(Drafts, BesideEmbeddingsAndScores) {
  auto alone = open_engine(drafting(0)), engine = open_engine(drafting(3));
  const auto talker = questions()[1];
  GenerationRequest embed, score;
  embed.task = Task::kEmbed;
  embed.raw_text = score.raw_text = "The key is under the red mat. My name is Tom.";
  score.task = Task::kScore;
  score.logprobs = 1;
  const auto first = engine->submit(talker).value();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(answer(*engine, embed).done.embedding, answer(*alone, embed).done.embedding);
    EXPECT_EQ(answer_of(answer(*engine, score)), answer_of(answer(*alone, score)));
  }
  EXPECT_EQ(answer_of(collect(*first)), reference()[1]);
}

// With prefixes kept: pages are shared, and the last conversation's are gone on from.
TEST(Drafts, OverAKeptPrefix) {
  for (const int sequences : {1, 4}) {
    auto options = drafting(3);
    options.prefix_cache = true;
    options.max_sequences = sequences;
    auto engine = open_engine(options);
    for (int round = 0; round < 2; ++round) expect_reference(one_by_one(*engine));
    EXPECT_GT(engine->stats().reused_tokens, 500);
    EXPECT_GT(engine->stats().drafts_accepted[0], 300);
  }
}

TEST(Drafts, WhenPreemptedAndCancelled) {
  auto options = tight();
  options.draft_tokens = 3;
  options.draft_always = true;
  auto engine = open_engine(options);
  auto talker = ask("Tell me something long, please, and then go on with it.", 900);
  talker.ignore_end = true;
  std::vector<std::shared_ptr<Generation>> others;
  for (int i = 0; i < 3; ++i) others.push_back(engine->submit(talker).value());
  auto same = talker;
  same.max_tokens = 200;
  same.logprobs = 2;
  const Answer found = answer_of(answer(*engine, same));
  for (auto& other : others) collect(*other);
  EXPECT_GT(engine->stats().preempted, 0);
  const Answer expected = answer_of(answer(*open_engine(drafting(0)), same));
  EXPECT_EQ(found.content, expected.content);
  EXPECT_GT(engine->stats().drafts_accepted[0], 100);

  for (int i = 0; i < 20; ++i) {
    const auto cancelled = engine->submit(talker).value();
    for (int event = 0; event < 2 + i; ++event) cancelled->next();
    cancelled->cancel();
    collect(*cancelled);
  }
  EXPECT_EQ(answer_of(answer(*engine, same)).content, expected.content);
}

// It goes on from what another with the same answer left: nothing of the token before is computed
// again, so the drafting head has nothing to go on from.
TEST(Drafts, PreemptedAndAllIsKnown) {
  auto options = tight();
  options.draft_tokens = 3;
  options.draft_always = true;
  options.undo_window = 1024;
  auto engine = open_engine(options);
  auto talker = ask("Tell me something long, please, and then go on with it.", 700);
  talker.ignore_end = true;
  const Answer expected = answer_of(answer(*open_engine(drafting(0)), talker));
  // Who is preempted when depends on when each arrives.
  for (int round = 0; round < 10 && engine->stats().undone_positions == 0; ++round) {
    std::vector<std::shared_ptr<Generation>> all;
    for (int i = 0; i < 3; ++i) all.push_back(engine->submit(talker).value());
    for (auto& generation : all)
      EXPECT_EQ(answer_of(collect(*generation)).content, expected.content);
  }
  EXPECT_GT(engine->stats().preempted, 0);
  EXPECT_GT(engine->stats().undone_positions, 0);
}

TEST(Drafts, ARequestMayWantFewer) {
  auto engine = open_engine(drafting(4));
  auto request = questions()[1];
  for (const int wanted : {0, 2}) {
    const EngineStats before = engine->stats();
    request.draft_tokens = wanted;
    const Reply reply = answer(*engine, request);
    EXPECT_EQ(answer_of(reply), reference()[1]);
    const EngineStats stats = engine->stats();
    EXPECT_EQ(stats.drafted[0] > before.drafted[0], wanted > 0);
    EXPECT_EQ(stats.drafted[2], before.drafted[2]);
    EXPECT_EQ(reply.done.usage.drafted_tokens,
              stats.drafted[0] + stats.drafted[1] - before.drafted[0] - before.drafted[1]);
    EXPECT_EQ(reply.done.usage.accepted_drafts,
              stats.drafts_accepted[0] + stats.drafts_accepted[1] - before.drafts_accepted[0] -
                  before.drafts_accepted[1]);
  }
}

// Random weights: drafts are hardly ever right, and drawn from 290 tokens sometimes are.
TEST(Drafts, OfATinyModel) {
  auto options = drafting(0);
  options.model = GODWIT_SOURCE_DIR "/tests/goldens/gguf/qwen35-tiny.bf16.gguf";
  options.context = 512;
  auto plain = open_engine(options);
  options.draft_tokens = 4;
  options.draft_always = true;
  options.threads = 2;
  auto engine = open_engine(options);
  GenerationRequest request;
  request.max_tokens = 300;
  request.ignore_end = true;
  request.logprobs = 2;
  request.parse_output = false;
  for (int i = 0; i < 4; ++i) {
    request.raw_ids = std::vector<int32_t>();
    for (int t = 0; t < 20 + 61 * i; ++t) request.raw_ids->push_back((t * 31 + i * 7) % 250);
    request.max_tokens = 300 - 61 * i;
    request.sampling.temperature = i % 2 ? 0.7f : 0.0f;
    request.sampling.seed = i;
    EXPECT_EQ(answer_of(answer(*engine, request)), answer_of(answer(*plain, request)));
  }
  EXPECT_GT(engine->stats().drafts_accepted[0], 0);
}

TEST(Drafts, WhatCannotBeIsSaid) {
  auto options = drafting(5);
  EXPECT_EQ(Engine::open(options).error().message, "draft tokens: expected 0 to 4, found 5");
}

// ---- How many pay

DraftCosts costs_of(double one_more_row, double draft) {
  DraftCosts costs;
  for (int i = 0; i < 4; ++i)
    for (int64_t rows = 1; rows <= kDraftRows; ++rows)
      costs.add_step(rows, 1 + one_more_row * static_cast<double>(rows - 1));
  costs.add_draft(draft);
  return costs;
}
// Drafts are right with this chance after those before them; tokens a step and the steps' seconds.
struct Outcome {
  double seconds = 0, tokens = 0, drafted = 0;
};
Outcome simulate(double chance, double one_more_row, double draft, int steps) {
  const DraftCosts costs = costs_of(one_more_row, draft);
  DraftPolicy policy;
  Outcome outcome;
  std::mt19937 random(7);
  for (int step = 0; step < steps; ++step) {
    const int k = policy.choose(costs, 1, kMaxDrafts);
    int right = 0;
    while (right < k && random() < chance * 4294967296.0) ++right;
    policy.record(k, right);
    outcome.seconds += 1 + one_more_row * k + draft * k;
    outcome.tokens += 1 + right;
    outcome.drafted += k;
  }
  return outcome;
}

TEST(DraftPolicy, DraftsThatAreNeverRightCostNextToNothing) {
  const Outcome outcome = simulate(0, 0.1, 0.3, 2000);
  EXPECT_GT(outcome.drafted, 0) << "it is tried";
  EXPECT_LT(outcome.seconds / outcome.tokens, 1.01);
}

TEST(DraftPolicy, AsManyAsPay) {
  // 1.9 tokens in 1.15; 1 + 0.9 + … + 0.9⁴ = 4.1 in 1.6.
  EXPECT_GT(simulate(0.9, 0.1, 0.05, 2000).drafted, 2000 * 3.5);
  EXPECT_LT(simulate(0.9, 0.1, 0.05, 2000).seconds / simulate(0.9, 0.1, 0.05, 2000).tokens, 0.43);
  // One of 1.6 tokens in 1.3 pays, a second, right in 0.36, for 0.3 more does not.
  const Outcome one = simulate(0.6, 0.1, 0.2, 2000);
  EXPECT_GT(one.drafted, 2000 * 0.7);
  EXPECT_LT(one.drafted, 2000 * 1.4);
  // Too dear, whatever they are.
  EXPECT_LT(simulate(0.9, 0.9, 0.3, 2000).drafted, 2000 * 0.1);
}

TEST(DraftPolicy, ComesBackWhenTheTextCanBeForeseen) {
  const DraftCosts costs = costs_of(0.1, 0.1);
  DraftPolicy policy;
  for (int step = 0; step < 5000; ++step) policy.record(policy.choose(costs, 1, 4), 0);
  int drafted = 0;
  for (int step = 0; step < 1500; ++step) {
    const int k = policy.choose(costs, 1, 4);
    policy.record(k, k);
    drafted += step >= 1000 ? k : 0;
  }
  EXPECT_GT(drafted, 500 * 3);
}

TEST(DraftPolicy, MeasuresPlainStepsFirst) {
  DraftCosts costs;
  DraftPolicy policy;
  for (int step = 0; step < 4; ++step) {
    EXPECT_EQ(policy.choose(costs, 1, 4), 0);
    costs.add_step(1, 1);
  }
  EXPECT_GT(policy.choose(costs, 1, 4), 0);
}

TEST(DraftPolicy, NeverRightIsSeenSoon) {
  const DraftCosts costs = costs_of(0.1, 0.12);
  DraftPolicy policy;
  int drafted = 0;
  for (int step = 0; step < 100; ++step) {
    const int k = policy.choose(costs, 1, 4);
    policy.record(k, 0);
    drafted += k;
  }
  EXPECT_GT(drafted, 0);
  EXPECT_LE(drafted, 16);
}

TEST(DraftPolicy, AFullStepHasNoRoom) {
  DraftPolicy policy;
  EXPECT_EQ(policy.choose(costs_of(0, 0), 8, 0), 0);
}

}  // namespace
}  // namespace godwit::engine
