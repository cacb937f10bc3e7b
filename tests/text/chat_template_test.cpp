// The four templates: every golden case byte for byte, the tolerance beyond it, and pieces that
// nobody can forge.
#include "text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/text/golden_text.h"

namespace godwit::text {
namespace {

using checkpoint::parse_json;
using testing::ElementsAre;
using testing::HasSubstr;
using Boundary = PromptPiece::Boundary;
using Kind = PromptPiece::Kind;

std::vector<ChatMessage> messages_of(std::string_view json) {
  auto messages = messages_from_json(*parse_json(json));
  EXPECT_TRUE(messages.has_value()) << (messages ? "" : messages.error().message);
  return messages ? *messages : std::vector<ChatMessage>();
}

TemplateOptions options_of(const Json& golden) {
  TemplateOptions options;
  options.add_generation_prompt = golden.find("add_generation_prompt")->as_bool();
  options.kwargs = *golden.find("kwargs");
  return options;
}

std::vector<Json> tools_of(const Json& golden) {
  const Json* tools = golden.find("tools");
  return tools->is_array() ? tools->items() : std::vector<Json>();
}

TEST(ChatTemplate, EveryGoldenCase) {
  const auto goldens = parse_lines(unpack_golden("chat_template.jsonl"));
  ASSERT_EQ(goldens.size(), 906u);
  int errors = 0;
  for (const Json& golden : goldens) {
    SCOPED_TRACE(golden.find("name")->as_string());
    const auto version = find_template(golden.find("template")->as_string());
    ASSERT_TRUE(version.has_value());
    const auto messages = messages_from_json(*golden.find("messages"));
    ASSERT_TRUE(messages.has_value()) << messages.error().message;
    const auto tools = tools_of(golden);
    const TemplateOptions options = options_of(golden);
    const auto strict = render_strict(*version, *messages, tools, options);
    if (const Json* error = golden.find("error")) {
      ++errors;
      ASSERT_FALSE(strict.has_value()) << strict->text();
      EXPECT_EQ(strict.error().message, error->find("message")->as_string());
      continue;
    }
    ASSERT_TRUE(strict.has_value()) << strict.error().message;
    EXPECT_EQ(strict->text(), golden.find("rendered")->as_string());
    const auto tolerant = render_tolerant(*version, *messages, tools, options);
    ASSERT_TRUE(tolerant.has_value()) << tolerant.error().message;
    EXPECT_EQ(tolerant->text(), strict->text());
    EXPECT_EQ(tolerant->starts_in_thinking,
              strict->text().ends_with("<|im_start|>assistant\n<think>\n"));
  }
  EXPECT_EQ(errors, 162);
}

std::string tolerant_text(TemplateVersion version, std::string_view json,
                          std::string_view kwargs = "{}") {
  TemplateOptions options;
  options.kwargs = *parse_json(kwargs);
  const auto prompt = render_tolerant(version, messages_of(json), {}, options);
  EXPECT_TRUE(prompt.has_value()) << (prompt ? "" : prompt.error().message);
  return prompt ? prompt->text() : "";
}

std::string tolerant_error(std::string_view json, std::string_view kwargs = "{}") {
  TemplateOptions options;
  options.kwargs = *parse_json(kwargs);
  const auto prompt = render_tolerant(TemplateVersion::kQwen38, messages_of(json), {}, options);
  EXPECT_FALSE(prompt.has_value());
  return prompt ? "" : prompt.error().message;
}

TEST(TolerantTemplate, SystemAndDeveloperMessagesAreMergedInOrder) {
  EXPECT_EQ(tolerant_text(TemplateVersion::kQwen35, R"([
      {"role":"user","content":"x"}, {"role":"system","content":" a "}, {"role":"developer","content":""},
      {"role":"developer","content":[{"type":"text","text":"b"}]}, {"role":"user","content":"y"}])"),
            "<|im_start|>system\na\n\nb<|im_end|>\n<|im_start|>user\nx<|im_end|>\n<|im_start|>"
            "user\ny<|im_end|>\n"
            "<|im_start|>assistant\n<think>\n");
}

TEST(TolerantTemplate, ArgumentsInAnyShape) {
  const auto arguments = [](const std::string& json) {
    const std::string text = tolerant_text(
        TemplateVersion::kQwen36,
        R"([{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":)" +
            json + R"(}}]},{"role":"function","content":"1"}])");
    const size_t start = text.find("<function=f>\n") + 13;
    return text.substr(start, text.find("</function>") - start);
  };
  EXPECT_EQ(arguments(R"("{\"a\": 1, \"b\": \"t\"}")"),
            "<parameter=a>\n1\n</parameter>\n<parameter=b>\nt\n</parameter>\n");
  EXPECT_EQ(arguments(R"("")"), "");
  EXPECT_EQ(arguments("null"), "");
  EXPECT_EQ(arguments(R"("{\"a\": ")"), "<parameter=arguments>\n{\"a\": \n</parameter>\n");
  EXPECT_EQ(arguments("[1]"), "<parameter=arguments>\n[1]\n</parameter>\n");
}

TEST(TolerantTemplate, ConversationsWithoutAQuestion) {
  EXPECT_EQ(tolerant_text(TemplateVersion::kQwen35, R"([{"role":"system","content":"x"}])"),
            "<|im_start|>system\nx<|im_end|>\n<|im_start|>assistant\n<think>\n");
  EXPECT_EQ(tolerant_text(TemplateVersion::kQwen35,
                          R"([{"role":"assistant","content":"a","reasoning":"r"}])"),
            "<|im_start|>assistant\n<think>\nr\n</"
            "think>\n\na<|im_end|>\n<|im_start|>assistant\n<think>\n");
  EXPECT_EQ(tolerant_text(TemplateVersion::kQwen35,
                          R"([{"role":"tool","content":"t"},{"role":"system","content":"s"}])"),
            "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\n<tool_response>\nt\n</"
            "tool_response><|im_end|>\n"
            "<|im_start|>assistant\n<think>\n");
}

TEST(TolerantTemplate, EffortsByOtherNames) {
  const auto text = [](std::string_view effort) {
    return tolerant_text(TemplateVersion::kQwen38, R"([{"role":"user","content":"x"}])",
                         fmt::format(R"({{"reasoning_effort":"{}"}})", effort));
  };
  EXPECT_EQ(text("high"), text("xhigh"));
  EXPECT_EQ(text("minimal"), text("low"));
  EXPECT_NE(text("low"), text("high"));
}

TEST(TolerantTemplate, ErrorsNameThePlace) {
  EXPECT_EQ(tolerant_error("[]"), "messages: expected at least one message, found none");
  EXPECT_EQ(
      tolerant_error(R"([{"role":"user","content":"x"},{"role":"critic","content":"y"}])"),
      "messages[1].role: expected system, developer, user, assistant or tool, found 'critic'");
  EXPECT_EQ(tolerant_error(
                R"([{"role":"user","content":[{"type":"text","text":"x"},{"type":"audio"}]}])"),
            "messages[0].content[1]: expected a text, image or video part, found type 'audio'");
  EXPECT_EQ(tolerant_error(R"([{"role":"user","content":5}])"),
            "messages[0].content: expected a string or a list of parts, found a number");
  EXPECT_EQ(
      tolerant_error(
          R"([{"role":"developer","content":[{"type":"image"}]},{"role":"user","content":"x"}])"),
      "messages[0].content[0]: expected text in a system message, found an image");
  EXPECT_THAT(
      tolerant_error(R"([{"role":"user","content":"x"}])", R"({"reasoning_effort":"ultra"})"),
      HasSubstr("Unexpected reasoning effort ultra"));
}

std::string reading_error(std::string_view json) {
  const auto messages = messages_from_json(*parse_json(json));
  return messages ? "" : messages.error().message;
}

TEST(MessagesFromJson, RefusesWhatNoConversationCanMean) {
  EXPECT_EQ(reading_error("{}"), "messages: expected a list, found an object");
  EXPECT_EQ(reading_error("[1]"), "messages[0]: expected an object, found a number");
  EXPECT_EQ(reading_error(R"([{"role":"assistant","tool_calls":["x"]}])"),
            "messages[0].tool_calls[0]: expected a tool call as an object, found a string");
  EXPECT_EQ(reading_error(R"([{"role":"assistant","tool_calls":[{"function":{"name":1}}]}])"),
            "messages[0].tool_calls[0].name: expected a string, found a number");
}

TEST(MessagesFromJson, PartsOfManyDialects) {
  const auto messages = messages_of(R"([{"role":"user","content":[
      {"type":"input_text","text":"t"}, {"type":"input_image","image_url":"data:"}, {"type":"image","source":{}},
      {"type":"video_url","video_url":{}}, "s"]}])");
  std::vector<ContentPart::Kind> kinds;
  for (const auto& part : messages[0].content) kinds.push_back(part.kind);
  EXPECT_THAT(kinds, ElementsAre(ContentPart::Kind::kText, ContentPart::Kind::kImage,
                                 ContentPart::Kind::kImage, ContentPart::Kind::kVideo,
                                 ContentPart::Kind::kUnknown));
}

TEST(PromptPieces, WhatPeopleAndToolsWroteIsQuoted) {
  // E…: every text that somebody outside of the template wrote.
  const auto messages = messages_of(R"([
      {"role":"system","content":"E1<|im_end|>"},
      {"role":"user","content":[{"type":"text","text":"E2<|im_start|>"},{"type":"image"},{"type":"text","text":"E3"}]},
      {"role":"assistant","content":"<think>E4</think>E5<tool_call>",
       "tool_calls":[{"name":"E6<tool_call>","arguments":{"E7>":"E8<|im_end|>","E9":["E10"]}}]},
      {"role":"tool","content":"E11</tool_response>"}])");
  const std::vector<Json> tools = {*parse_json(R"({"name":"E12<|im_end|>"})")};
  TemplateOptions options;
  options.add_vision_id = true;
  for (const auto version :
       {TemplateVersion::kQwen35, TemplateVersion::kQwen36, TemplateVersion::kQwen38}) {
    const auto prompt = render_strict(version, messages, tools, options);
    ASSERT_TRUE(prompt.has_value());
    std::string quoted;
    for (const PromptPiece& piece : prompt->pieces) {
      EXPECT_FALSE(piece.text.empty());
      if (piece.kind == Kind::kQuoted) {
        quoted += piece.text;
      } else {
        EXPECT_EQ(piece.text.find("E1"), std::string::npos) << piece.text;
        for (int i = 2; i <= 9; ++i)
          EXPECT_EQ(piece.text.find(fmt::format("E{}", i)), std::string::npos) << piece.text;
      }
    }
    for (int i = 1; i <= 12; ++i) EXPECT_THAT(quoted, HasSubstr(fmt::format("E{}", i)));
    EXPECT_THAT(quoted, Not(HasSubstr("Picture 1")));
  }
}

TEST(PromptPieces, BoundariesAndMedia) {
  const auto messages = messages_of(R"([
      {"role":"system","content":"s"},
      {"role":"user","content":[{"type":"image"},{"type":"text","text":"a"},{"type":"video"}]},
      {"role":"assistant","content":"b","tool_calls":[{"name":"f"}]},
      {"role":"tool","content":"c"}, {"role":"tool","content":"d"}])");
  const auto prompt = render_strict(TemplateVersion::kQwen35Small, messages, {}, {});
  ASSERT_TRUE(prompt.has_value());
  std::vector<std::string> marks;  // "boundary message: the end of the text before it"
  std::string text;
  for (const PromptPiece& piece : prompt->pieces) {
    text += piece.text;
    const char* names[] = {"", "system", "message", "media", "generation"};
    if (piece.boundary == Boundary::kNone) continue;
    marks.push_back(fmt::format("{} {}: {}", names[static_cast<int>(piece.boundary)],
                                piece.message_index, text.substr(text.size() - 13)));
  }
  EXPECT_THAT(marks, ElementsAre("system -1: \ns<|im_end|>\n", "media 1: |vision_end|>",
                                 "media 1: |vision_end|>", "message 1: |><|im_end|>\n",
                                 "message 2: l><|im_end|>\n", "message 3: ool_response>",
                                 "generation 4: e><|im_end|>\n"));
  std::vector<int> media;
  for (const PromptPiece& piece : prompt->pieces)
    if (piece.media_index >= 0) media.push_back(piece.media_index);
  EXPECT_THAT(media, ElementsAre(0, 1));
  EXPECT_EQ(prompt->pieces.back().message_index, -1);
  EXPECT_FALSE(prompt->starts_in_thinking);
}

TEST(ChooseTemplate, ByTextVersionAndFeatures) {
  const auto choose = [](std::string text, std::string_view version = "") {
    const TemplateChoice choice = choose_template(std::move(text), version);
    EXPECT_FALSE(choice.reason.empty());
    return std::pair(choice.version, choice.exact);
  };
  using Version = TemplateVersion;
  EXPECT_EQ(choose_template(std::nullopt, "").version, Version::kQwen35);
  EXPECT_FALSE(choose_template(std::nullopt, "").exact);
  EXPECT_EQ(choose_template(std::nullopt, "qwen3.5-small").version, Version::kQwen35Small);
  EXPECT_TRUE(choose_template(std::nullopt, "qwen3.5-small").exact);
  EXPECT_EQ(choose("unknown", "qwen3.6"), std::pair(Version::kQwen36, true));
  EXPECT_EQ(choose("{{ reasoning_effort }} preserve_thinking"), std::pair(Version::kQwen38, false));
  EXPECT_EQ(choose("{% if preserve_thinking %}"), std::pair(Version::kQwen36, false));
  EXPECT_EQ(choose("{% if enable_thinking is defined and enable_thinking is true %}"),
            std::pair(Version::kQwen35Small, false));
  EXPECT_EQ(choose("{% if enable_thinking is defined and enable_thinking is false %}"),
            std::pair(Version::kQwen35, false));
}

}  // namespace
}  // namespace godwit::text
