// The demonstration model from picture files to answers: on its fixed prompts the ids are the
// reference's, and the greedy answers too, but for near ties.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/mapped_file.h"
#include "checkpoint/model_folder.h"
#include "engine/prepare.h"
#include "media/load.h"
#include "tests/engine/engine_fixture.h"

namespace godwit::engine {
namespace {

const std::string kFolder = GODWIT_SOURCE_DIR "/tests/goldens/nano/";

// Fills in the bytes of pictures and clips, which messages_from_json only counts.
void load_media(const checkpoint::Json& line, std::vector<text::ChatMessage>& messages) {
  const auto& sources = line.find("messages")->items();
  for (size_t m = 0; m < messages.size(); ++m) {
    const auto* content = sources[m].find("content");
    if (!content || !content->is_array()) continue;
    for (size_t i = 0; i < messages[m].content.size(); ++i) {
      text::ContentPart& part = messages[m].content[i];
      if (part.kind == text::ContentPart::Kind::kText) continue;
      const bool is_picture = part.kind == text::ContentPart::Kind::kImage;
      const auto& item = content->items()[i];
      const std::string path = kFolder + item.find(is_picture ? "image" : "video")->as_string();
      const auto file = is_picture ? media::load_picture_file(path)
                                   : media::load_video_path(path, item.find("fps")->as_double());
      ASSERT_TRUE(file.has_value()) << file.error().message;
      part.media = std::make_shared<text::MediaBytes>(
          text::MediaBytes{file->name, file->bytes, file->frames, file->frames_per_second});
    }
  }
}

GenerationRequest request_of(const checkpoint::Json& line) {
  GenerationRequest request;
  request.messages = text::messages_from_json(*line.find("messages")).value();
  load_media(line, request.messages);
  request.tools = line.find("tools")->items();
  const auto* thinking = line.find("enable_thinking");
  if (thinking && thinking->is_bool())
    request.thinking = thinking->as_bool() ? Thinking::kOn : Thinking::kOff;
  request.sampling.temperature = 0;
  request.max_tokens = 160;
  request.logprobs = 0;
  return request;
}

std::vector<int32_t> ids_of(const checkpoint::Json& array) {
  std::vector<int32_t> ids;
  for (const auto& item : array.items()) ids.push_back(static_cast<int32_t>(*item.as_int64()));
  return ids;
}

std::vector<checkpoint::Json> read_prompts() {
  std::vector<checkpoint::Json> lines;
  const std::string text = read_file(kFolder + "prompts.jsonl").value();
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(checkpoint::parse_json(std::string_view(text).substr(at, end - at)).value());
    at = end + 1;
  }
  return lines;
}

TEST(NanoEval, PromptIdsAreTheReferences) {
  const auto files = checkpoint::open_model_files(GODWIT_SOURCE_DIR "/models/nano").value();
  const auto tokenizer = open_tokenizer(files).value();
  const auto config = model::read_config(files).value();
  const auto conventions = read_conventions(files, config, *tokenizer).value();
  VisionStore vision(size_t{1} << 20);
  DecodedMedia decoded(0, [] {});
  TurnMemory turns;
  const PrepareContext context{*tokenizer, conventions, config, true,    8192,
                               64,         false,       vision, decoded, turns};
  for (const auto& line : read_prompts()) {
    const auto prepared = prepare(context, request_of(line));
    ASSERT_TRUE(prepared.has_value()) << prepared.error().message;
    EXPECT_EQ(prepared->ids, ids_of(*line.find("prompt_ids"))) << line.find("name")->as_string();
    EXPECT_EQ(tokenizer->decode(prepared->ids), line.find("prompt")->as_string());
    EXPECT_TRUE(std::is_sorted(prepared->stops.begin(), prepared->stops.end()));
    EXPECT_FALSE(prepared->stops.empty());
  }
}

TEST(NanoEval, GreedyAnswersAreTheReferences) {
  auto options = nano_options();
  options.queue_limit = 512;
  options.threads = 2;
  if (const char* model = std::getenv("GODWIT_EVAL_MODEL"))
    options.model = model;  // to measure a format
  auto engine = open_engine(options);
  const auto lines = read_prompts();
  std::vector<std::shared_ptr<Generation>> generations;
  for (const auto& line : lines) {
    auto generation = engine->submit(request_of(line));
    ASSERT_TRUE(generation.has_value()) << generation.error().message;
    generations.push_back(*generation);
  }
  int equal = 0;
  for (size_t i = 0; i < lines.size(); ++i) {
    const Reply reply = collect(*generations[i]);
    ASSERT_EQ(reply.error, "");
    auto given = ids_of(*lines[i].find("given_ids"));
    if (reply.done.finish != FinishReason::kLength)
      given.pop_back();  // the end token is no part of the text
    std::vector<int32_t> ids;
    for (const auto& token : reply.logprobs) ids.push_back(token.id);
    if (reply.done.finish == FinishReason::kLength) ids.resize(std::min(ids.size(), given.size()));
    if (ids == given) {
      ++equal;
    } else {
      std::printf("differs: %s, given \"%s\", found \"%s\"\n",
                  lines[i].find("name")->as_string().c_str(),
                  lines[i].find("given")->as_string().c_str(), engine->detokenize(ids).c_str());
    }
  }
  std::printf("%d of %zu equal\n", equal, lines.size());
  EXPECT_GE(equal * 100, static_cast<int>(lines.size() * 98));
  EXPECT_EQ(engine->stats().running, 0);
}

}  // namespace
}  // namespace godwit::engine
