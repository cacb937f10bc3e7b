// The engine from its door, with the demonstration model: answers, limits, errors, cancelling,
// counts, conversations.
#include "engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "checkpoint/tensor_source.h"
#include "tests/engine/engine_fixture.h"

namespace godwit::engine {
namespace {

using testing::HasSubstr;

checkpoint::Json weather_tool() {
  return checkpoint::parse_json(
             R"({"type": "function", "function": {"name": "get_weather", "description": "Get the weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "Name of the city"}},
    "required": ["city"]}}})")
      .value();
}

std::string long_text(int words) {
  std::string text;
  for (int i = 0; i < words; ++i) text += fmt::format("word{} ", i * 7 % 100);
  return text;
}

TEST_F(EngineTest, AnswersAndCounts) {
  const Reply reply = answer(*engine_, ask("What is the capital of France?"));
  ASSERT_EQ(reply.error, "");
  EXPECT_EQ(reply.content, "The capital of France is Paris.");
  EXPECT_EQ(reply.done.finish, FinishReason::kStop);
  const Usage& usage = reply.done.usage;
  EXPECT_EQ(
      usage.prompt_tokens,
      static_cast<int>(
          engine_->tokenize(engine_->render(ask("What is the capital of France?")).value(), true)
              .size()));
  EXPECT_EQ(usage.completion_tokens,
            static_cast<int>(engine_->tokenize(reply.content, false).size()));
  EXPECT_GT(reply.done.timings.first_token, 0);
  EXPECT_GE(reply.done.timings.decode, 0);
}

TEST_F(EngineTest, InfoAndPlanAgree) {
  const ModelInfo& info = engine_->info();
  EXPECT_EQ(info.template_name, "qwen3.5-small");
  EXPECT_EQ(info.layers, 4);
  EXPECT_EQ(info.attention_layers, 1);
  EXPECT_TRUE(info.vision);
  EXPECT_EQ(info.context, 2048);
  const auto plan = Engine::plan(nano_options());
  ASSERT_TRUE(plan.has_value()) << plan.error().message;
  EXPECT_EQ(plan->memory.total(), info.memory.total());
  EXPECT_EQ(plan->parameters, info.parameters);
}

TEST_F(EngineTest, PromptProgressRisesToTheEnd) {
  auto request = ask(long_text(400), 2);
  auto generation = engine_->submit(request).value();
  int last = -1, total = 0, events = 0;
  while (auto event = generation->next()) {
    if (event->kind != Event::Kind::kPromptProgress) continue;
    EXPECT_GT(event->done, last);
    last = event->done;
    total = event->total;
    ++events;
  }
  EXPECT_EQ(last, total);
  EXPECT_GT(total, 512);
  EXPECT_GT(events, 2) << "the first says that the request is good";
}

TEST_F(EngineTest, StopStringCutsTheContentAndIsNamed) {
  auto request = ask("What is the capital of France?");
  request.stop = {"never", " is "};
  const Reply reply = answer(*engine_, request);
  EXPECT_EQ(reply.content, "The capital of France");
  EXPECT_EQ(reply.done.finish, FinishReason::kStopString);
  EXPECT_EQ(reply.done.stop_string, " is ");
}

TEST_F(EngineTest, MaxTokensEndsTheAnswer) {
  for (int n : {0, 1, 3}) {
    const Reply reply = answer(*engine_, ask("What is the capital of France?", n));
    EXPECT_EQ(reply.done.finish, FinishReason::kLength);
    EXPECT_EQ(reply.done.usage.completion_tokens, n);
  }
}

TEST_F(EngineTest, IgnoreEndGoesOnToTheLimit) {
  auto request = ask("What is the capital of France?", 60);
  request.ignore_end = true;
  const Reply reply = answer(*engine_, request);
  EXPECT_EQ(reply.done.usage.completion_tokens, 60);
  EXPECT_EQ(reply.done.finish, FinishReason::kLength);
}

TEST_F(EngineTest, ThinkingIsToldApartAndCanBeCapped) {
  auto request = ask("What is 17 plus 25?", 120);
  request.thinking = Thinking::kOn;
  const Reply free = answer(*engine_, request);
  ASSERT_FALSE(free.reasoning.empty());
  EXPECT_FALSE(free.content.empty());
  EXPECT_EQ(free.content.find("</think>"), std::string::npos);
  EXPECT_GT(free.done.usage.reasoning_tokens, 3);
  request.thinking_budget = 3;
  const Reply capped = answer(*engine_, request);
  EXPECT_EQ(capped.done.usage.reasoning_tokens, 3 + 1)
      << "three, and the newline that closes the thought";
  EXPECT_EQ(free.reasoning.rfind(capped.reasoning.substr(0, 3), 0), 0u);
  EXPECT_FALSE(capped.content.empty());
  request.thinking_budget = 0;
  const Reply none = answer(*engine_, request);
  EXPECT_EQ(none.reasoning, "");
  EXPECT_FALSE(none.content.empty());
  request.thinking = Thinking::kOff;
  const Reply off = answer(*engine_, request);
  EXPECT_EQ(off.reasoning, "");
  EXPECT_EQ(off.done.usage.reasoning_tokens, 0);
}

TEST_F(EngineTest, CallsATool) {
  auto request = ask("What is the weather in Paris?", 100);
  request.tools.push_back(weather_tool());
  const Reply reply = answer(*engine_, request);
  ASSERT_EQ(reply.calls.size(), 1u) << reply.content;
  EXPECT_EQ(reply.calls[0].name, "get_weather");
  EXPECT_TRUE(reply.calls[0].arguments.is_object()) << reply.arguments[0];
  EXPECT_EQ(reply.done.finish, FinishReason::kToolCalls);
}

TEST_F(EngineTest, CallsNoMoreToolsThanItMay) {
  auto request = ask("What is the weather in Paris?", 100);
  request.tools.push_back(weather_tool());
  request.max_tool_calls = 1;
  request.ignore_end = true;  // it would go on
  const Reply one = answer(*engine_, request);
  ASSERT_EQ(one.calls.size(), 1u);
  EXPECT_TRUE(one.calls[0].arguments.is_object());
  EXPECT_EQ(one.done.finish, FinishReason::kToolCalls);
  EXPECT_LT(one.done.usage.completion_tokens, 100);
  EXPECT_EQ(one.content, "");

  // What is remembered of the turn is what the template makes of it.
  text::ChatMessage said = message("assistant", "");
  said.content.clear();
  said.tool_calls = one.calls;
  request.messages.push_back(said);
  request.messages.push_back(message("tool", "Sunny, 20 degrees."));
  const std::string rendered = engine_->render(request).value();
  EXPECT_EQ(engine_->prompt_ids(request).value(), engine_->tokenize(rendered, true));
}

// The whole call comes back with the tokens of a whole call.
TEST(Engine, ACallThatIsCutIsNotRemembered) {
  auto engine = open_engine(nano_options());
  auto request = ask("What is the weather in Paris?", 100);
  request.tools.push_back(weather_tool());
  const Reply whole = answer(*engine, request);
  ASSERT_EQ(whole.calls.size(), 1u);
  auto next = request;
  next.messages.push_back(message("assistant", whole.content));
  next.messages.back().tool_calls = whole.calls;
  next.messages.push_back(message("tool", "Sunny, 20 degrees."));
  const size_t tokens = engine->prompt_ids(next).value().size();
  auto other = open_engine(nano_options());
  for (int cut = 1; cut < 4; ++cut) {
    request.max_tokens = whole.done.usage.completion_tokens - cut;
    answer(*other, request);
    EXPECT_EQ(other->prompt_ids(next).value().size(), tokens) << cut;
  }
}

// Half a call that looks whole would be run.
TEST_F(EngineTest, ACallThatIsCutStaysOpen) {
  auto request = ask("What is the weather in Paris?", 100);
  request.tools.push_back(weather_tool());
  const int whole = answer(*engine_, request).done.usage.completion_tokens;
  int cut = 0;
  for (request.max_tokens = 1; request.max_tokens < whole; ++request.max_tokens) {
    const Reply reply = answer(*engine_, request);
    EXPECT_EQ(reply.done.finish, FinishReason::kLength);
    if (reply.arguments.empty() || reply.arguments[0].ends_with('}')) continue;
    EXPECT_FALSE(checkpoint::parse_json(reply.arguments[0])) << reply.arguments[0];
    ++cut;
  }
  EXPECT_GT(cut, 3);
}

TEST_F(EngineTest, StopStringsHaveALimit) {
  GenerationRequest request = ask("Hello");
  request.stop.assign(65, "x");
  EXPECT_THAT(answer(*engine_, request).error, HasSubstr("stop: expected at most 64"));
  request.stop.assign(1, std::string(20000, 'x'));
  EXPECT_THAT(answer(*engine_, request).error, HasSubstr("found 1 of 20000"));
}

TEST_F(EngineTest, LogprobsOfEveryToken) {
  auto request = ask("What is the capital of France?");
  request.logprobs = 3;
  const Reply reply = answer(*engine_, request);
  ASSERT_EQ(static_cast<int>(reply.logprobs.size()), reply.done.usage.completion_tokens + 0);
  for (const auto& token : reply.logprobs) {
    EXPECT_LE(token.logprob, 0);
    ASSERT_EQ(token.top.size(), 3u);
    EXPECT_EQ(token.top[0].first, token.id) << "greedy takes the likeliest";
    EXPECT_FLOAT_EQ(token.top[0].second, token.logprob);
    EXPECT_GE(token.top[0].second, token.top[1].second);
  }
}

TEST_F(EngineTest, SeedsMakeAnswersRepeatable) {
  auto request = ask("Tell me something.", 30);
  request.sampling.temperature = 1.5f;
  request.sampling.top_k = 0;
  request.sampling.top_p = 1;
  request.ignore_end = true;
  request.sampling.seed = 1234;
  const Reply first = answer(*engine_, request), again = answer(*engine_, request);
  EXPECT_EQ(first.content, again.content);
  EXPECT_EQ(first.done.seed, 1234u);
  request.sampling.seed = 99;
  EXPECT_NE(answer(*engine_, request).content, first.content);
  request.sampling.seed.reset();
  const Reply drawn = answer(*engine_, request);
  request.sampling.seed = drawn.done.seed;
  EXPECT_EQ(answer(*engine_, request).content, drawn.content)
      << "the answer tells which seed was drawn";
}

TEST_F(EngineTest, AnAnswerThatHasBegunGoesOn) {
  auto request = ask("What is the capital of France?");
  const std::string whole = answer(*engine_, request).content;
  ASSERT_GT(whole.size(), 8u);
  const size_t space = whole.find(' ', 4);
  request.answer_prefix = whole.substr(0, space + 1);  // the space is the next word's
  const Reply rest = answer(*engine_, request);
  EXPECT_EQ(rest.content, whole.substr(space));
  EXPECT_TRUE(engine_->render(request).value().ends_with(whole.substr(0, space)));
  request.thinking = Thinking::kOn;
  EXPECT_NE(answer(*engine_, request).error, "");
}

TEST_F(EngineTest, RawPrompts) {
  GenerationRequest request;
  request.raw_text =
      "<|im_start|>user\nWhat is the capital of "
      "France?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";
  request.sampling.temperature = 0;
  request.max_tokens = 40;
  EXPECT_EQ(answer(*engine_, request).content, "The capital of France is Paris.");
  GenerationRequest by_ids;
  by_ids.raw_ids = engine_->tokenize(*request.raw_text, true);
  by_ids.sampling.temperature = 0;
  by_ids.max_tokens = 40;
  EXPECT_EQ(answer(*engine_, by_ids).content, "The capital of France is Paris.");
}

TEST_F(EngineTest, BadRequestsAreToldInOneLine) {
  const auto error_of = [&](const GenerationRequest& request) {
    return answer(*engine_, request).error;
  };
  EXPECT_NE(error_of({}).find("prompt"), std::string::npos);
  EXPECT_EQ(error_of(ask(long_text(3000))).find("prompt is too long: "), 0u);
  EXPECT_GT(engine_->prompt_ids(ask(long_text(3000)))->size(), 3000u);  // counted all the same
  EXPECT_NE(error_of(ask(long_text(3000))).find("2048"), std::string::npos);
  GenerationRequest ids;
  ids.raw_ids = {1, 2, 999999};
  EXPECT_NE(error_of(ids).find("999999"), std::string::npos);
  ids.raw_ids = {-1};
  EXPECT_NE(error_of(ids), "");
  ids.raw_ids = std::vector<int32_t>{};
  EXPECT_NE(error_of(ids), "");
  auto bad = ask("Hi");
  bad.sampling.top_p = 7;
  EXPECT_EQ(error_of(bad), "top_p: expected above 0 and at most 1, found 7");
  bad = ask("Hi");
  bad.messages[0].role = "stranger";
  EXPECT_NE(error_of(bad), "");
  bad = ask("Hi");
  put_first(bad, picture_of("photo.png", "no picture"));
  EXPECT_NE(error_of(bad).find("photo.png"), std::string::npos);
  EXPECT_EQ(engine_->stats().running, 0);
  EXPECT_EQ(engine_->stats().waiting, 0);
}

TEST_F(EngineTest, CancelEndsWithinAStep) {
  auto request = ask("Hello", -1);
  request.ignore_end = true;
  auto generation = engine_->submit(request).value();
  std::atomic<int> notified{0};
  generation->on_event([&] { ++notified; });
  while (auto event = generation->next()) {
    if (event->kind == Event::Kind::kContent) break;
  }
  generation->cancel();
  const int64_t before = engine_->stats().generated_tokens;
  Event last;
  while (auto event = generation->next()) last = *event;
  EXPECT_EQ(last.kind, Event::Kind::kDone);
  EXPECT_EQ(last.finish, FinishReason::kCancelled);
  EXPECT_LE(engine_->stats().generated_tokens - before, 1) << "that of the step under way";
  EXPECT_GT(notified, 0);
  EXPECT_FALSE(generation->next()) << "nothing after the end";
}

// A conversation of many turns costs only what is new in each.
TEST_F(EngineTest, TheNextTurnReusesAllBeforeIt) {
  GenerationRequest request = ask("My favourite colour is green. " + long_text(60));
  int known = 0;
  for (int turn = 0; turn < 5; ++turn) {
    const Reply reply = answer(*engine_, request);
    ASSERT_EQ(reply.error, "");
    const Usage& usage = reply.done.usage;
    // All but the end token (never computed) and what is new.
    EXPECT_GE(usage.reused_tokens, known) << "turn " << turn << ": " << usage.reuse_note;
    if (turn > 0) {
      EXPECT_EQ(usage.reuse_note, "");
    }
    known = usage.prompt_tokens + usage.completion_tokens - 1;
    request.messages.push_back(message("assistant", reply.content));
    request.messages.push_back(message("user", "What is the capital of France?"));
  }
}

TEST_F(EngineTest, TheSameHoldsWhenTheClientDropsTheReasoning) {
  GenerationRequest request = ask("What is 12 plus 30?", 200);
  request.thinking = Thinking::kOn;
  const Reply first = answer(*engine_, request);
  ASSERT_FALSE(first.reasoning.empty());
  request.messages.push_back(message("assistant", first.content));
  request.messages.push_back(message("user", "And 11 plus 20?"));
  const Reply second = answer(*engine_, request);
  EXPECT_GE(second.done.usage.reused_tokens,
            first.done.usage.prompt_tokens + first.done.usage.completion_tokens - 1);
}

// The client has the text before the stop string, and nothing of the thought.
TEST_F(EngineTest, TheSameHoldsAfterAStopString) {
  GenerationRequest request = ask("What is 13 plus 30?", 200);
  request.thinking = Thinking::kOn;
  const Reply whole = answer(*engine_, request);
  ASSERT_GT(whole.content.size(), 1u);
  request.stop = {whole.content.substr(whole.content.size() / 2)};
  for (const int most : {1, 8}) {
    auto options = nano_options();
    options.max_sequences = most;
    auto engine = open_engine(options);
    const Reply first = answer(*engine, request);
    ASSERT_EQ(first.done.finish, FinishReason::kStopString);
    ASSERT_FALSE(first.reasoning.empty() || first.content.empty());
    GenerationRequest next = request;
    next.stop.clear();
    next.messages.push_back(message("assistant", first.content));
    next.messages.push_back(message("user", "And 11 plus 20?"));
    const Usage usage = answer(*engine, next).done.usage;
    EXPECT_EQ(usage.reuse_note.find("by the client"), std::string::npos) << usage.reuse_note;
    if (most > 1) continue;  // where several run, nothing is taken back
    EXPECT_GT(usage.reused_tokens,
              first.done.usage.prompt_tokens + first.done.usage.reasoning_tokens);
    EXPECT_EQ(usage.reuse_note, "");
  }
}

TEST_F(EngineTest, TheSameHoldsAfterAStreamWasClosed) {
  GenerationRequest request = ask("What is 14 plus 31?", 300);
  request.thinking = Thinking::kOn;
  request.ignore_end = true;
  auto generation = engine_->submit(request).value();
  Reply first;
  while (auto event = generation->next()) {
    first.reasoning += event->kind == Event::Kind::kReasoning ? event->text : "";
    if (event->kind == Event::Kind::kContent) first.content += event->text;
    if (!first.content.empty() && event->kind == Event::Kind::kContent) generation->cancel();
    first.done = *event;
  }
  ASSERT_EQ(first.done.finish, FinishReason::kCancelled);
  ASSERT_FALSE(first.reasoning.empty() || first.content.empty());
  request.ignore_end = false;
  request.messages.push_back(message("assistant", first.content));
  request.messages.push_back(message("user", "And 11 plus 20?"));
  const Reply second = answer(*engine_, request);
  EXPECT_GE(second.done.usage.reused_tokens,
            first.done.usage.prompt_tokens + first.done.usage.reasoning_tokens)
      << second.done.usage.reuse_note;
}

TEST_F(EngineTest, TheSameHoldsWhenArgumentsAreWrittenAnew) {
  GenerationRequest request = ask("What is the weather in Rome?", 100);
  request.tools.push_back(weather_tool());
  const Reply first = answer(*engine_, request);
  ASSERT_EQ(first.calls.size(), 1u);
  auto turn = message("assistant", first.content);
  turn.tool_calls.push_back(
      {"call_1", first.calls[0].name, checkpoint::Json::string(first.calls[0].arguments.dump())});
  request.messages.push_back(turn);
  request.messages.push_back(message("tool", R"({"weather": "sunny"})"));
  const Reply second = answer(*engine_, request);
  EXPECT_GE(second.done.usage.reused_tokens,
            first.done.usage.prompt_tokens + first.done.usage.completion_tokens - 1)
      << second.done.usage.reuse_note;
}

TEST(Engine, ALongAnswerHasSnapshotsOnItsWay) {
  auto options = nano_options();
  options.context = 4096;
  auto engine = open_engine(options);
  GenerationRequest request = ask("Tell me something long.", 2200);
  request.ignore_end = true;
  request.parse_output = false;
  request.logprobs = 0;
  const Reply first = answer(*engine, request);
  ASSERT_EQ(first.logprobs.size(), 2200u);
  // Its text again, changed 100 tokens before the end: further back than can be undone.
  GenerationRequest edited;
  edited.raw_ids = engine->tokenize(engine->render(request).value(), true);
  const int prompt = static_cast<int>(edited.raw_ids->size());
  ASSERT_EQ(prompt, first.done.usage.prompt_tokens);
  for (int i = 0; i < 2100; ++i) edited.raw_ids->push_back(first.logprobs[i].id);
  edited.max_tokens = 1;
  const Reply second = answer(*engine, edited);
  EXPECT_GE(second.done.usage.reused_tokens, prompt + 2048) << second.done.usage.reuse_note;
}

TEST_F(EngineTest, AMissIsExplained) {
  GenerationRequest request = ask("One. " + long_text(50));
  request.messages.push_back(message("assistant", "Yes."));
  request.messages.push_back(message("user", "Two. " + long_text(80)));
  answer(*engine_, request);
  request.messages[2] = message("user", "Two. " + long_text(70) + "but other words");
  const Reply reply = answer(*engine_, request);
  EXPECT_GT(reply.done.usage.reused_tokens, 100);
  EXPECT_EQ(reply.done.usage.reuse_note.rfind("diverged at message 3 (user) after ", 0), 0u)
      << reply.done.usage.reuse_note;
  EXPECT_NE(reply.done.usage.reuse_note.find("nearest snapshot at"), std::string::npos);
}

TEST_F(EngineTest, TextThatIsContinuedAgainIsReadOnce) {
  GenerationRequest request;
  request.raw_text = long_text(60);
  request.sampling.temperature = 0;
  request.max_tokens = 8;
  const Reply first = answer(*engine_, request);
  const int known = first.done.usage.prompt_tokens - 1;
  const Reply again = answer(*engine_, request);
  EXPECT_EQ(again.done.usage.reused_tokens, known) << again.done.usage.reuse_note;
  EXPECT_EQ(again.content, first.content);
  request.raw_text = *request.raw_text + " and more of it";
  EXPECT_GE(answer(*engine_, request).done.usage.reused_tokens, known);
}

TEST_F(EngineTest, APlaceWhereOthersPartedEarnsASnapshot) {
  const std::string common = "Long beginning. " + long_text(150);
  int reused = 0;
  for (int i = 0; i < 4; ++i)
    reused =
        answer(*engine_, ask(common + fmt::format("q{} and so on", i), 4)).done.usage.reused_tokens;
  EXPECT_GT(reused, 250);
}

TEST_F(EngineTest, LookupsAreCountedByTheirReason) {
  auto engine = open_engine(nano_options());
  const auto counts = [&] {
    const EngineStats s = engine->stats();
    return std::vector<int64_t>{s.reuse_whole, s.reuse_unknown, s.reuse_diverged,
                                s.reuse_no_snapshot};
  };
  GenerationRequest request;
  request.raw_text = long_text(100);
  request.max_tokens = 2;
  request.ignore_end = true;
  request.sampling.temperature = 0;
  answer(*engine, request);
  EXPECT_EQ(counts(), (std::vector<int64_t>{0, 1, 0, 0}));
  const std::string whole = *request.raw_text;
  request.raw_text = "Another beginning.";
  answer(*engine, request);
  EXPECT_EQ(counts(), (std::vector<int64_t>{0, 2, 0, 0}));
  request.raw_text = whole.substr(0, whole.size() / 2) + "other words";
  answer(*engine, request);
  EXPECT_EQ(counts(), (std::vector<int64_t>{0, 2, 0, 1}));
  auto chat = ask("Hello");
  const Reply reply = answer(*engine, chat);
  EXPECT_EQ(counts()[1], 3);
  chat.messages.push_back(message("assistant", reply.content));
  chat.messages.push_back(message("user", "And now?"));
  answer(*engine, chat);
  EXPECT_EQ(counts(), (std::vector<int64_t>{1, 3, 0, 1}));
  answer(*engine, ask("Good day"));
  EXPECT_EQ(counts(), (std::vector<int64_t>{1, 3, 1, 1})) << "the first tokens of the template";
}

// The end of the last answer is taken back: the same bits as if it had never been.
class EngineUndo : public testing::TestWithParam<int> {};  // drafts
INSTANTIATE_TEST_SUITE_P(Drafts, EngineUndo, testing::Values(0, 3));

TEST_P(EngineUndo, AnEditedAnswerGoesOnFromWhereItDiffers) {
  auto options = nano_options();
  options.max_sequences = 1;
  options.draft_tokens = GetParam();
  options.draft_always = true;
  auto engine = open_engine(options);
  GenerationRequest request;
  request.raw_text = "Once upon a time there was a small house. " + long_text(40);
  request.sampling.temperature = 0;
  request.max_tokens = 100;
  request.ignore_end = true;
  request.logprobs = 0;
  const Reply first = answer(*engine, request);
  std::vector<int32_t> ids = engine->tokenize(*request.raw_text, true);
  const auto prompt = static_cast<int>(ids.size());
  for (const auto& token : first.logprobs) ids.push_back(token.id);
  for (int kept : {95, 60, 37}) {
    // As it was up to there, then the same token again: what follows must be what followed.
    GenerationRequest edited = request;
    edited.raw_text.reset();
    edited.raw_ids.emplace(ids.begin(), ids.begin() + prompt + kept);
    edited.max_tokens = 100 - kept;
    const int64_t before = engine->stats().undone_positions;
    const Reply reply = answer(*engine, edited);
    EXPECT_EQ(reply.done.usage.reused_tokens, prompt + kept - 1) << reply.done.usage.reuse_note;
    EXPECT_EQ(engine->stats().undone_positions - before, 99 - (kept - 1));
    ASSERT_EQ(reply.logprobs.size(), first.logprobs.size() - kept);
    for (size_t i = 0; i < reply.logprobs.size(); ++i) {
      EXPECT_EQ(reply.logprobs[i].id, first.logprobs[kept + i].id);
      EXPECT_EQ(reply.logprobs[i].logprob, first.logprobs[kept + i].logprob) << "to the bit";
    }
  }
  // Another token: the same as without any cache. Further back than the log: from a snapshot.
  for (int kept : {80, 5}) {
    GenerationRequest edited = request;
    edited.raw_text.reset();
    edited.raw_ids.emplace(ids.begin(), ids.begin() + prompt + kept);
    edited.raw_ids->push_back(ids[0]);
    edited.max_tokens = 10;
    const Reply reply = answer(*engine, edited);
    EXPECT_GT(reply.done.usage.reused_tokens, kept == 80 ? prompt + 79 : 0);
    auto fresh = options;
    fresh.prefix_cache = false;
    const Reply alone = answer(*open_engine(fresh), edited);
    for (size_t i = 0; i < alone.logprobs.size(); ++i)
      EXPECT_EQ(reply.logprobs[i].id, alone.logprobs[i].id) << i;
    answer(*engine, request);
  }
}

std::vector<float> embed(Engine& engine, const std::string& text, Pooling pooling) {
  GenerationRequest request;
  request.raw_text = text;
  request.task = Task::kEmbed;
  request.pooling = pooling;
  return answer(engine, request).done.embedding;
}
double dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

TEST_F(EngineTest, EmbeddingsAreUnitVectorsOfTheText) {
  for (Pooling pooling : {Pooling::kMean, Pooling::kLast}) {
    const auto a = embed(*engine_, "The red ball is on the table.", pooling);
    ASSERT_EQ(static_cast<int>(a.size()), engine_->info().hidden);
    EXPECT_NEAR(dot(a, a), 1, 1e-5);
    EXPECT_EQ(a, embed(*engine_, "The red ball is on the table.", pooling));
    EXPECT_GT(dot(a, embed(*engine_, "The blue ball is on the table.", pooling)),
              dot(a, embed(*engine_, R"({"name": "Tom", "age": 5})", pooling)));
  }
  // In chunks as in one piece.
  const auto whole = embed(*engine_, long_text(300), Pooling::kMean);
  auto options = nano_options();
  options.prefill_chunk = 64;
  auto chunked = open_engine(options);
  EXPECT_NEAR(dot(whole, embed(*chunked, long_text(300), Pooling::kMean)), 1, 1e-5);
}

TEST_F(EngineTest, EmbeddingsOfPictures) {
  const auto embed_picture = [&](const char* file, Pooling pooling) {
    GenerationRequest request;
    request.task = Task::kEmbed;
    request.pooling = pooling;
    request.template_options.add_generation_prompt = false;
    request.messages.push_back(message("user", ""));
    put_first(request, picture_file(std::string("tests/goldens/nano/pictures/") + file));
    const Reply reply = answer(*engine_, request);
    EXPECT_EQ(reply.error, "");
    EXPECT_EQ(reply.done.usage.vision_tokens > 0, true);
    EXPECT_EQ(reply.done.usage.completion_tokens, 0);
    EXPECT_GT(reply.done.timings.prefill, 0);
    return reply.done.embedding;
  };
  for (Pooling pooling : {Pooling::kMean, Pooling::kLast}) {
    const auto a = embed_picture("ocr-01.png", pooling), b = embed_picture("ocr-02.png", pooling);
    ASSERT_EQ(static_cast<int>(a.size()), engine_->info().hidden);
    EXPECT_NEAR(dot(a, a), 1, 1e-5);
    EXPECT_EQ(a, embed_picture("ocr-01.png", pooling));
    EXPECT_LT(dot(a, b), 0.9999) << "another picture is another vector";
  }
}

TEST(Scores, AreTheLogSoftmaxOfTheReferencesLogits) {
  const std::string goldens = GODWIT_SOURCE_DIR "/tests/goldens/";
  const auto open = [&](const char* file) {
    return checkpoint::open_safetensors(goldens + "models/qwen35-tiny/" + file).value();
  };
  const auto input = open("text-5.input.safetensors"),
             expected = open("text-5.expected.safetensors");
  const auto ids = input->find("input_ids").value(), logits = expected->find("logits").value();
  const int64_t n = ids.shape.elements(), vocabulary = logits.shape.elements() / n;
  EngineOptions options;
  options.model = goldens + "gguf/qwen35-tiny.bf16.gguf";
  options.threads = 1;
  options.kv_type = "f32";
  auto engine = open_engine(options);
  GenerationRequest request;
  request.task = Task::kScore;
  request.logprobs = 1;
  request.raw_ids.emplace();
  for (int64_t i = 0; i < n; ++i)
    request.raw_ids->push_back(static_cast<int32_t>(reinterpret_cast<const int64_t*>(ids.data)[i]));
  const Reply reply = answer(*engine, request);
  ASSERT_EQ(reply.error, "");
  const auto& scores = reply.done.logprobs;
  ASSERT_EQ(static_cast<int64_t>(scores.size()), n - 1);
  for (int64_t i = 0; i + 1 < n; ++i) {
    const float* row = reinterpret_cast<const float*>(logits.data) + i * vocabulary;
    double sum = 0;
    for (int64_t v = 0; v < vocabulary; ++v) sum += std::exp(static_cast<double>(row[v]));
    const int32_t next = (*request.raw_ids)[i + 1];
    EXPECT_EQ(scores[i].id, next);
    EXPECT_NEAR(scores[i].logprob, row[next] - std::log(sum), 2e-4);
    const auto best = std::max_element(row, row + vocabulary);
    ASSERT_EQ(scores[i].top.size(), 1u);
    EXPECT_EQ(scores[i].top[0].first, best - row);
  }
}

TEST_F(EngineTest, ScoresAreTheLogprobsOfGreedyAnswers) {
  auto request = ask(long_text(60) + "What is the capital of France?");
  request.logprobs = 0;
  const Reply generated = answer(*engine_, request);
  const auto prompt = engine_->tokenize(engine_->render(request).value(), true);
  GenerationRequest score;
  score.task = Task::kScore;
  score.raw_ids = prompt;
  for (const auto& token : generated.logprobs) score.raw_ids->push_back(token.id);
  for (int from : {1, static_cast<int>(prompt.size())}) {
    score.score_from = from;
    const auto scores = answer(*engine_, score).done.logprobs;
    ASSERT_EQ(scores.size(), score.raw_ids->size() - from);
    const size_t skip = prompt.size() - from;
    for (size_t i = 0; i < generated.logprobs.size(); ++i) {
      EXPECT_EQ(scores[skip + i].id, generated.logprobs[i].id);
      EXPECT_NEAR(scores[skip + i].logprob, generated.logprobs[i].logprob, 2e-3);
    }
  }
  // Its beginning is known now.
  const Reply again = answer(*engine_, score);
  EXPECT_EQ(again.done.usage.reused_tokens, static_cast<int>(prompt.size()) - 1);
  EXPECT_EQ(again.done.usage.reuse_note, "");
  score.score_from = 0;
  EXPECT_NE(answer(*engine_, score).error, "");
  score.score_from = static_cast<int>(score.raw_ids->size());
  EXPECT_NE(answer(*engine_, score).error, "");
}

TEST(EngineQueue, RefusesHonestlyWhenFull) {
  auto options = nano_options();
  options.queue_limit = 3;
  options.max_sequences = 1;
  auto engine = open_engine(options);
  std::vector<std::shared_ptr<Generation>> accepted;
  int refused = 0;
  for (int i = 0; i < 20; ++i) {
    auto request = ask("Hello", 400);
    request.ignore_end = true;
    auto generation = engine->submit(request);
    if (generation) {
      accepted.push_back(*generation);
    } else {
      EXPECT_EQ(generation.error().kind, ErrorKind::kFailed);
      EXPECT_NE(generation.error().message.find("queue"), std::string::npos);
      ++refused;
    }
  }
  EXPECT_GT(refused, 10);
  EXPECT_GE(accepted.size(), 3u);
  for (auto& generation : accepted) generation->cancel();
  for (auto& generation : accepted)
    EXPECT_EQ(collect(*generation).done.finish, FinishReason::kCancelled);
  EXPECT_EQ(engine->stats().refused, refused);
}

TEST(EngineQueue, ClosingEndsEveryRequest) {
  std::vector<std::shared_ptr<Generation>> generations;
  {
    auto engine = open_engine(nano_options());
    for (int i = 0; i < 12; ++i) {
      auto request = ask("Hello", -1);
      request.ignore_end = true;
      generations.push_back(engine->submit(request).value());
    }
  }
  for (auto& generation : generations) {
    EXPECT_EQ(collect(*generation).error, "the engine is closing");
    generation->cancel();  // harmless now
  }
}

TEST(EngineOptions, WrongOnesAreNamed) {
  const auto error_of = [](auto change) {
    auto options = nano_options();
    change(options);
    auto engine = Engine::open(options);
    return engine ? std::string() : engine.error().message;
  };
  EXPECT_NE(error_of([](auto& o) { o.model = "/nowhere/at/all"; }).find("/nowhere/at/all"),
            std::string::npos);
  EXPECT_EQ(error_of([](auto& o) { o.kv_type = "q3"; }),
            "kv type: expected f32, f16, bf16 or q8, found q3");
  EXPECT_EQ(error_of([](auto& o) { o.context = 100000; }),
            "context: expected 1 to 8192, found 100000");
  EXPECT_EQ(error_of([](auto& o) { o.threads = -1; }), "threads: expected 0 to 1024, found -1");
  EXPECT_NE(
      error_of([](auto& o) { o.cache_bytes = 1000; }).find("cache: a context of 2048 tokens needs"),
      std::string::npos);
  EXPECT_NE(error_of([](auto& o) { o.history = "none"; }), "");
}

}  // namespace
}  // namespace godwit::engine
