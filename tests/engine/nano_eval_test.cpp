// The demonstration model from files to answers: tests/goldens/nano/prompts.jsonl has 260
// conversations (pictures, clips, tools, thinking), each with the prompt that the reference
// renders, its ids, and the reference's greedy answer in float32.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/mapped_file.h"
#include "checkpoint/json.h"
#include "engine/engine.h"

namespace godwit::engine {
namespace {

using checkpoint::Json;

const std::string kFolder = GODWIT_SOURCE_DIR "/tests/goldens/nano/";

std::shared_ptr<const std::string> bytes_of(const std::string& path) {
  return std::make_shared<const std::string>(read_file(path).value());
}

// Puts the picture's or the frames' bytes into the parts that name them.
void load_media(const Json& messages, std::vector<text::ChatMessage>& read) {
  for (size_t i = 0; i < read.size(); ++i) {
    const Json* content = messages.items()[i].find("content");
    if (!content || !content->is_array()) continue;
    for (size_t k = 0; k < content->items().size(); ++k) {
      auto media = std::make_shared<text::MediaBytes>();
      const Json& part = content->items()[k];
      if (const Json* image = part.find("image")) {
        media->bytes = bytes_of(kFolder + image->as_string());
      } else if (const Json* video = part.find("video")) {
        std::vector<std::string> files;
        for (const auto& entry : std::filesystem::directory_iterator(kFolder + video->as_string()))
          files.push_back(entry.path());
        std::sort(files.begin(), files.end());
        for (const auto& file : files) media->frames.push_back(bytes_of(file));
        media->frames_per_second = part.find("fps")->as_double();
      } else {
        continue;
      }
      read[i].content[k].media = std::move(media);
    }
  }
}

GenerationRequest request_of(const Json& line) {
  GenerationRequest request;
  request.messages = text::messages_from_json(*line.find("messages")).value();
  load_media(*line.find("messages"), request.messages);
  request.tools = line.find("tools")->items();
  request.thinking = line.find("enable_thinking")->as_bool() ? Thinking::kOn : Thinking::kOff;
  request.sampling.temperature = 0;
  request.parse_output = false;  // the answer as it was generated
  request.max_tokens = 160;
  return request;
}

TEST(NanoEval, PromptsAndGreedyAnswersAreTheReferences) {
  EngineOptions options;
  options.model = GODWIT_SOURCE_DIR "/models/nano";
  auto engine = Engine::open(options);
  ASSERT_TRUE(engine.has_value()) << engine.error().message;

  std::ifstream file(kFolder + "prompts.jsonl");
  int total = 0, equal = 0;
  std::string different;
  for (std::string text; std::getline(file, text); ++total) {
    const Json line = checkpoint::parse_json(text).value();
    const std::string name = line.find("name")->as_string();
    const GenerationRequest request = request_of(line);

    const auto prompt = (*engine)->render(request);
    ASSERT_TRUE(prompt.has_value()) << name << ": " << prompt.error().message;
    EXPECT_EQ(*prompt, line.find("prompt")->as_string()) << name;
    std::vector<int32_t> ids;
    for (const Json& id : line.find("prompt_ids")->items())
      ids.push_back(static_cast<int32_t>(*id.as_int64()));
    EXPECT_EQ((*engine)->tokenize(*prompt, true), ids) << name;

    auto generation = (*engine)->submit(request);
    ASSERT_TRUE(generation.has_value()) << name << ": " << generation.error().message;
    std::string answer;
    while (const auto event = (*generation)->next()) {
      ASSERT_NE(event->kind, Event::Kind::kError) << name << ": " << event->error.message;
      if (event->kind == Event::Kind::kContent || event->kind == Event::Kind::kReasoning)
        answer += event->text;
      if (event->kind == Event::Kind::kDone)
        EXPECT_EQ(event->usage.prompt_tokens, static_cast<int>(ids.size())) << name;
    }
    std::string given = line.find("given")->as_string();
    if (const size_t end = given.find("<|im_end|>"); end != std::string::npos) given.resize(end);
    if (answer == given) {
      ++equal;
    } else {
      different += name + ": expected '" + given + "', found '" + answer + "'\n";
    }
  }
  EXPECT_EQ(total, 260);
  // Near ties may fall to the other side in another order of summation; they are listed.
  EXPECT_GE(equal * 100, total * 98) << different;
  if (!different.empty())
    std::cout << equal << " of " << total << " answers equal; the others:\n" << different;
}

}  // namespace
}  // namespace godwit::engine
