// Which sent turns say the same as a generated one, and what is remembered.
#include "engine/turn_memory.h"

#include <gtest/gtest.h>

#include "engine/conventions.h"

namespace godwit::engine {
namespace {

text::ChatMessage sent(const std::string& content) {
  text::ChatMessage message;
  message.role = "assistant";
  text::ContentPart part;
  part.text = content;
  message.content.push_back(part);
  return message;
}
text::ToolCall call(const std::string& name, const std::string& arguments) {
  return {"", name, checkpoint::parse_json(arguments).value()};
}

const text::Tokenizer& tokenizer() {
  static const auto* one =
      open_tokenizer(checkpoint::open_model_files(GODWIT_SOURCE_DIR "/models/nano", "").value())
          .value()
          .release();
  return *one;
}
std::vector<int32_t> ids(const std::string& text) {
  return tokenizer().encode(text, text::SpecialTokens::kRecognise);
}

TEST(SaysTheSame, ContentButForWhiteSpaceAround) {
  const text::ParsedMessage generated{.content = "Hello there"};
  EXPECT_TRUE(says_the_same(generated, sent("Hello there")));
  EXPECT_TRUE(says_the_same(generated, sent("\nHello there  ")));
  EXPECT_FALSE(says_the_same(generated, sent("Hello  there")));
  EXPECT_FALSE(says_the_same(generated, sent("")));
}

TEST(SaysTheSame, ReasoningMayBeLeftOutButNotChanged) {
  const text::ParsedMessage generated{.reasoning_content = "Two and two.", .content = "4"};
  auto message = sent("4");
  EXPECT_TRUE(says_the_same(generated, message));
  message.reasoning_content = "Two and two.\n";
  EXPECT_TRUE(says_the_same(generated, message));
  message.reasoning_content = "";
  EXPECT_TRUE(says_the_same(generated, message));
  message.reasoning_content = "Something else";
  EXPECT_FALSE(says_the_same(generated, message));
  EXPECT_TRUE(says_the_same(generated, sent("<think>\nTwo and two.\n</think>\n\n4")));
  EXPECT_FALSE(says_the_same(generated, sent("<think>\nThree.\n</think>\n\n4")));
}

TEST(SaysTheSame, ArgumentsAreComparedAsValues) {
  const text::ParsedMessage generated{.tool_calls = {call("sum", R"({"a": 1, "b": [true, "x"]})")}};
  auto message = sent("");
  EXPECT_FALSE(says_the_same(generated, message));
  message.tool_calls = {call("sum", R"({"b":[true,"x"],"a":1})")};
  EXPECT_TRUE(says_the_same(generated, message));
  message.tool_calls[0].arguments = checkpoint::Json::string(R"({"a":1,"b":[true,"x"]})");
  EXPECT_TRUE(says_the_same(generated, message)) << "as a string";
  message.tool_calls[0].arguments = checkpoint::Json::string("no json");
  EXPECT_FALSE(says_the_same(generated, message));
  message.tool_calls = {call("sum", R"({"a": 2, "b": [true, "x"]})")};
  EXPECT_FALSE(says_the_same(generated, message));
  message.tool_calls = {call("add", R"({"a": 1, "b": [true, "x"]})")};
  EXPECT_FALSE(says_the_same(generated, message));
}

TEST(Difference, IsNamed) {
  const text::ParsedMessage generated{.reasoning_content = "Two and two.", .content = "4"};
  auto message = sent("4");
  EXPECT_EQ(difference(generated, message), "reasoning removed by the client");
  message.reasoning_content = "Three.";
  EXPECT_EQ(difference(generated, message), "reasoning changed by the client");
  message.reasoning_content = "Two and two.";
  EXPECT_EQ(difference(generated, message), "");
  message.tool_calls = {call("add", "{}")};
  EXPECT_EQ(difference(generated, message), "tool calls changed by the client");
  EXPECT_EQ(difference(generated, sent("5")), "text changed by the client");
  TurnMemory memory;
  EXPECT_EQ(memory.difference({1, 1}, message), std::nullopt);
  memory.remember({1, 1}, {generated, {1, 2}});
  EXPECT_EQ(memory.difference({1, 1}, sent("4")), "reasoning removed by the client");
}

TEST(BeginsSo, TextThatIsCutShort) {
  const text::ParsedMessage generated{.reasoning_content = "Two and two.",
                                      .content = "It is 4.\n\nSure.",
                                      .tool_calls = {call("f", "{}")}};
  for (const char* text : {"It is 4.\n\nSure.", "It is 4.", "It is 4.\n", "I"})
    EXPECT_TRUE(begins_so(generated, sent(text))) << text;
  for (const char* text : {"", " ", "It is 5", "It is 4.\n\nSure. Why"})
    EXPECT_FALSE(begins_so(generated, sent(text))) << text;
  auto message = sent("It is");
  message.reasoning_content = "Two and two.";
  EXPECT_TRUE(begins_so(generated, message));
  message.reasoning_content = "Three.";
  EXPECT_FALSE(begins_so(generated, message));
  message = sent("It is");
  message.tool_calls = {call("f", "{}")};
  EXPECT_FALSE(begins_so(generated, message));
  EXPECT_EQ(difference(generated, sent("It is")), "text cut short by the client");
}

TEST(CutTurn, KeepsTheTokensAndEncodesTheRest) {
  const std::string prompt = "<|im_start|>assistant\n<think>\nHm.\n</think>";
  const auto turn = ids(prompt + "\n\nThe capital of France is Paris.\n<|im_end|>\n");
  const auto cut = [&](const std::string& said) {
    auto found = cut_turn(turn, said, tokenizer());
    EXPECT_TRUE(found) << said;
    return found.value_or(CutTurn{});
  };
  const auto whole = cut("The capital of France is Paris.");
  EXPECT_EQ(tokenizer().decode(whole.tokens),
            prompt + "\n\nThe capital of France is Paris.<|im_end|>\n");
  const auto within = cut("The capital of Fra");
  EXPECT_EQ(tokenizer().decode(within.tokens), prompt + "\n\nThe capital of Fra<|im_end|>\n");
  ASSERT_LT(within.kept, whole.kept);
  ASSERT_GT(within.kept, ids(prompt).size());
  for (size_t i = 0; i < within.kept; ++i) EXPECT_EQ(within.tokens[i], turn[i]);
  EXPECT_FALSE(cut_turn(turn, "The capital of Spain", tokenizer()));
  EXPECT_FALSE(cut_turn(turn, "", tokenizer()));
  EXPECT_FALSE(cut_turn(ids("<|im_start|>assistant\n<think>\nHm."), "Hm", tokenizer()))
      << "still in the thought";
}

TEST(TurnMemory, ACutTurnIsFound) {
  TurnMemory memory;
  const cache::Hash128 here{1, 2};
  const std::string prompt = "<|im_start|>assistant\n<think>\n\n</think>\n\n";
  memory.remember(here, {{.content = "One, two, three."}, ids(prompt + "One, two, three.")});
  const auto tokens = memory.find(here, sent("One, two"), tokenizer());
  ASSERT_TRUE(tokens);
  EXPECT_EQ(tokenizer().decode(*tokens), prompt + "One, two<|im_end|>\n");
  EXPECT_FALSE(memory.find(here, sent("One, too"), tokenizer()));
}

TEST(TurnMemory, FindsByWhatStandsBeforeAndForgetsTheOldest) {
  TurnMemory memory(2 * 570);
  const cache::Hash128 here{1, 2}, there{3, 4};
  memory.remember(here, {{.content = "a"}, std::vector<int32_t>(40, 1)});
  memory.remember(here, {{.content = "b"}, std::vector<int32_t>(40, 2)});
  EXPECT_EQ(memory.find(here, sent("a"), tokenizer())->front(), 1);
  EXPECT_EQ(memory.find(here, sent("b"), tokenizer())->front(), 2);
  EXPECT_FALSE(memory.find(there, sent("a"), tokenizer()));
  memory.remember(there, {{.content = "c"}, std::vector<int32_t>(40, 3)});
  EXPECT_FALSE(memory.find(here, sent("a"), tokenizer()));
  EXPECT_TRUE(memory.find(here, sent("b"), tokenizer()));
  // Said again it is kept once, and is the newest.
  for (int i = 0; i < 5; ++i)
    memory.remember(here, {{.content = "b"}, std::vector<int32_t>(40, 2)});
  EXPECT_TRUE(memory.find(there, sent("c"), tokenizer()));
  memory.remember(there, {{.content = "d"}, std::vector<int32_t>(40, 5)});
  EXPECT_TRUE(memory.find(here, sent("b"), tokenizer()));
  EXPECT_FALSE(memory.find(there, sent("c"), tokenizer()));
  // The newest of those that say the same.
  memory.remember(there, {{.content = "d"}, std::vector<int32_t>(5, 4)});
  EXPECT_EQ(memory.find(there, sent("d"), tokenizer())->front(), 4);
}

}  // namespace
}  // namespace godwit::engine
