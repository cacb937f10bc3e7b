// Rendered prompts to ids: the reference's ids on every golden prompt, forged markup stays text,
// boundaries, media.
#include "text/prompt_encoding.h"

#include <gmock/gmock.h>

#include "tests/text/golden_text.h"

namespace godwit::text {
namespace {

using checkpoint::parse_json;
using testing::ElementsAre;
using Boundary = PromptPiece::Boundary;
using Kind = PromptPiece::Kind;

// Added tokens that the reference would find in what people wrote.
bool quotes_a_token(const RenderedPrompt& prompt, const Tokenizer& tokenizer) {
  for (const PromptPiece& piece : prompt.pieces) {
    if (piece.kind != Kind::kQuoted) continue;
    if (tokenizer.encode(piece.text) != tokenizer.encode(piece.text, SpecialTokens::kPlain))
      return true;
  }
  return false;
}

TEST(PromptEncoding, IdsOfTheTemplateGoldens) {
  const Tokenizer& tokenizer = qwen35_tokenizer();
  int compared = 0, forged = 0;
  for (const Json& golden : parse_lines(unpack_golden("chat_template.jsonl"))) {
    const Json* ids = golden.find("ids");
    if (!ids) continue;
    SCOPED_TRACE(golden.find("name")->as_string());
    TemplateOptions options;
    options.add_generation_prompt = golden.find("add_generation_prompt")->as_bool();
    options.kwargs = *golden.find("kwargs");
    const Json* tools = golden.find("tools");
    const auto prompt =
        render_strict(*find_template(golden.find("template")->as_string()),
                      *messages_from_json(*golden.find("messages")),
                      tools->is_array() ? tools->items() : std::vector<Json>(), options);
    ASSERT_TRUE(prompt.has_value());
    const auto encoded = encode_prompt(*prompt, tokenizer);
    ASSERT_TRUE(encoded.has_value());
    if (quotes_a_token(*prompt, tokenizer)) {
      ++forged;  // the reference lets it through, we do not
      EXPECT_NE(encoded->ids, ids_of(*ids));
      EXPECT_EQ(tokenizer.encode(prompt->text()), ids_of(*ids));
      EXPECT_EQ(tokenizer.decode(encoded->ids), tokenizer.decode(ids_of(*ids)));
      continue;
    }
    ++compared;
    EXPECT_EQ(encoded->ids, ids_of(*ids));
  }
  EXPECT_EQ(compared, 135);
  EXPECT_EQ(forged, 49);
}

// The layouts that an expanded text shows: the number of pads, and the times before them. `slices`
// of each clip; without them, slices that follow one another are one clip's.
std::vector<MediaLayout> layouts_in(std::string_view text, const RenderedPrompt& prompt,
                                    std::vector<size_t> slices = {}) {
  std::vector<MediaLayout> layouts;
  const auto count_pads = [&](std::string_view pad) {
    size_t at = text.find(pad);
    int64_t count = 0;
    for (; text.substr(at).starts_with(pad); at += pad.size()) ++count;
    text.remove_prefix(at);
    return count;
  };
  const auto is_done = [&](const std::vector<double>& times) {
    if (!slices.empty()) return times.size() == slices.front();
    const size_t begin = text.rfind('<', text.find(" seconds>"));
    return !times.empty() && begin != std::string_view("<|vision_end|>").size();
  };
  for (const PromptPiece& piece : prompt.pieces) {
    if (piece.media_index < 0) continue;
    MediaLayout layout;
    if (piece.kind == Kind::kImage) layout.tokens_per_slice = count_pads("<|image_pad|>");
    while (piece.kind == Kind::kVideo && !is_done(layout.timestamps)) {
      const size_t end = text.find(" seconds>"), begin = text.rfind('<', end);
      layout.timestamps.push_back(std::stod(std::string(text.substr(begin + 1, end - begin - 1))));
      layout.tokens_per_slice = count_pads("<|video_pad|>");
    }
    if (piece.kind == Kind::kVideo && !slices.empty()) slices.erase(slices.begin());
    layouts.push_back(std::move(layout));
  }
  return layouts;
}

TEST(PromptEncoding, PromptsOfTheDemonstrationModel) {
  const auto json = read_file(GODWIT_SOURCE_DIR "/models/nano/tokenizer.json");
  ASSERT_TRUE(json.has_value());
  const auto tokenizer = Tokenizer::from_json(*json);
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  const auto lines = parse_lines(*read_file(GODWIT_SOURCE_DIR "/tests/goldens/nano/prompts.jsonl"));
  EXPECT_EQ(lines.size(), 260u);
  for (const Json& golden : lines) {
    SCOPED_TRACE(golden.find("name")->as_string());
    TemplateOptions options;
    options.kwargs.set("enable_thinking", *golden.find("enable_thinking"));
    const auto prompt =
        render_strict(TemplateVersion::kQwen35Small, *messages_from_json(*golden.find("messages")),
                      golden.find("tools")->items(), options);
    ASSERT_TRUE(prompt.has_value()) << prompt.error().message;
    const auto layouts = layouts_in(golden.find("prompt")->as_string(), *prompt);
    const auto encoded = encode_prompt(*prompt, **tokenizer, layouts);
    ASSERT_TRUE(encoded.has_value()) << encoded.error().message;
    EXPECT_EQ(encoded->ids, ids_of(*golden.find("prompt_ids")));
    EXPECT_EQ((*tokenizer)->decode(encoded->ids), golden.find("prompt")->as_string());
    EXPECT_EQ(encoded->media.size(), layouts.size());
    if (layouts.empty()) {
      EXPECT_EQ(prompt->text(), golden.find("prompt")->as_string());
    }
  }
}

// A prompt whose every byte is the template's, with its placeholders as pieces of their own.
RenderedPrompt prompt_of(std::string_view text) {
  RenderedPrompt prompt;
  int media = 0;
  const auto markup = [&](std::string_view part) {
    if (!part.empty()) prompt.pieces.push_back({Kind::kMarkup, std::string(part)});
  };
  for (;;) {
    const std::string_view end_token = "<|vision_end|>";
    const size_t begin = text.find("<|vision_start|>"), end = text.find(end_token);
    markup(text.substr(0, begin));
    if (begin == std::string_view::npos) return prompt;
    const std::string triple(text.substr(begin, end + end_token.size() - begin));
    const Kind kind = triple.find("video") == std::string::npos ? Kind::kImage : Kind::kVideo;
    prompt.pieces.push_back({kind, triple, media++});
    text.remove_prefix(end + end_token.size());
  }
}

TEST(PromptEncoding, MediaAreExpandedAsTheProcessorDoes) {
  const Tokenizer& tokenizer = qwen35_tokenizer();
  int compared = 0;
  for (const Json& golden :
       parse_lines(*read_file(GODWIT_SOURCE_DIR "/tests/goldens/text/media_prompts.jsonl"))) {
    const std::string& text = golden.find("text")->as_string();
    SCOPED_TRACE(text);
    const RenderedPrompt prompt = prompt_of(text);
    const bool is_bare = text.find("bare ") != std::string::npos;  // no template writes a pad alone
    if (golden.find("error") || is_bare) continue;
    const std::string& expanded = golden.find("expanded")->as_string();
    std::vector<size_t> slices;
    if (const Json* grids = golden.find("video_grid_thw")) {
      for (const Json& grid : grids->items()) slices.push_back(*grid.items()[0].as_int64());
    }
    const auto encoded = encode_prompt(prompt, tokenizer, layouts_in(expanded, prompt, slices));
    ASSERT_TRUE(encoded.has_value()) << encoded.error().message;
    EXPECT_EQ(encoded->ids, ids_of(*golden.find("ids")));
    EXPECT_EQ(tokenizer.decode(encoded->ids), expanded);
    for (const auto& span : encoded->media) {
      EXPECT_EQ(encoded->ids[span.begin], 248053);
      EXPECT_EQ(encoded->ids[span.end - 1], 248054);
      for (const size_t pad : span.slices)
        EXPECT_EQ(encoded->ids[pad], span.kind == Kind::kImage ? 248056 : 248057);
    }
    ++compared;
  }
  EXPECT_EQ(compared, 11);
}

std::string times(std::vector<double> timestamps) {
  RenderedPrompt prompt;
  prompt.pieces.push_back({Kind::kVideo, "<|vision_start|><|video_pad|><|vision_end|>", 0});
  const auto encoded = encode_prompt(prompt, qwen35_tokenizer(), {{1, std::move(timestamps)}});
  std::string text = encoded ? qwen35_tokenizer().decode(encoded->ids) : encoded.error().message;
  const std::string slice = "<|vision_start|><|video_pad|><|vision_end|>";
  for (size_t at; (at = text.find(slice)) != std::string::npos;) text.erase(at, slice.size());
  return text;
}

TEST(PromptEncoding, TimesAreRoundedFromTheExactValue) {
  EXPECT_EQ(times({0.25, 0.35, 0.75, 1.25, 1024.05}),
            "<0.2 seconds><0.3 seconds><0.8 seconds><1.2 seconds><1024.0 seconds>");
}

TEST(PromptEncoding, BoundariesLieWhereTheMessagesEnd) {
  const Tokenizer& tokenizer = qwen35_tokenizer();
  const auto messages = messages_from_json(*parse_json(R"([
      {"role":"system","content":"Be kind."},
      {"role":"user","content":[{"type":"text","text":"Look: "},{"type":"image"},{"type":"video"}]},
      {"role":"assistant","content":"","tool_calls":[{"name":"f"}]},
      {"role":"tool","content":"1"}, {"role":"tool","content":"2"}])"));
  const auto prompt = render_strict(TemplateVersion::kQwen35, *messages, {}, {});
  const auto encoded = encode_prompt(*prompt, tokenizer, {{5, {}}, {3, {0.25, 1.5}}});
  ASSERT_TRUE(encoded.has_value()) << encoded.error().message;
  std::vector<std::string> ends;
  for (const auto& mark : encoded->marks) {
    const auto& ids = encoded->ids;
    std::vector<int32_t> before(ids.begin() + static_cast<ptrdiff_t>(mark.token) - 2,
                                ids.begin() + static_cast<ptrdiff_t>(mark.token));
    ends.push_back(fmt::format("{} {}", mark.message_index, tokenizer.decode(before)));
  }
  EXPECT_THAT(ends, ElementsAre("-1 <|im_end|>\n", "1 <|image_pad|><|vision_end|>",
                                "1 <|video_pad|><|vision_end|>", "1 <|im_end|>\n", "2 <|im_end|>\n",
                                "3 \n</tool_response>", "4 <|im_end|>\n"));
  EXPECT_EQ(encoded->marks.back().boundary, Boundary::kGeneration);
  ASSERT_EQ(encoded->media.size(), 2u);
  EXPECT_EQ(encoded->media[0].end - encoded->media[0].begin, 7u);
  EXPECT_EQ(encoded->media[1].slices.size(), 2u);
}

TEST(PromptEncoding, BoundaryInsideATextKeepsOnlyTokensThatStay) {
  const Tokenizer& tokenizer = qwen35_tokenizer();
  RenderedPrompt prompt;
  prompt.pieces.push_back({Kind::kQuoted, "one two thr", -1, Boundary::kMessage, 0});
  prompt.pieces.push_back({Kind::kQuoted, "ee four"});
  const auto encoded = encode_prompt(prompt, tokenizer);
  EXPECT_EQ(encoded->ids, tokenizer.encode("one two three four"));
  EXPECT_EQ(encoded->marks[0].token, tokenizer.encode("one two").size());
}

TEST(PromptEncoding, LayoutsThatDoNotFitAreRefused) {
  const auto error = [](Kind kind, std::vector<MediaLayout> layouts) {
    RenderedPrompt prompt;
    prompt.pieces.push_back({kind, "<|vision_start|><|image_pad|><|vision_end|>", 1});
    const auto encoded = encode_prompt(prompt, qwen35_tokenizer(), layouts);
    return encoded ? "" : encoded.error().message;
  };
  EXPECT_EQ(error(Kind::kImage, {{4, {}}}),
            "media 1: expected a layout for each picture and clip, found 1");
  EXPECT_EQ(error(Kind::kImage, {{4, {}}, {0, {}}}),
            "media 1: expected the layout of a picture, found 0 tokens a slice and 0 slices");
  EXPECT_EQ(error(Kind::kVideo, {{4, {}}, {4, {}}}),
            "media 1: expected the layout of a clip, found 4 tokens a slice and 0 slices");
  EXPECT_EQ(error(Kind::kImage, {{4, {}}, {4, {}}}), "");
}

}  // namespace
}  // namespace godwit::text
