// The demonstration model behind the engine's door, and answers as one value.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "engine/engine.h"

namespace godwit::engine {

inline EngineOptions nano_options() {
  EngineOptions options;
  options.model = GODWIT_SOURCE_DIR "/models/nano";
  options.threads = 1;
  options.context = 2048;
  options.cache_bytes = size_t{64} << 20;
  options.checked = true;
  return options;
}

// The least memory that the context fits in, so that eight at once cannot all stay.
inline EngineOptions tight(EngineOptions options) {
  options.cache_bytes = 1;
  const auto refused = Engine::open(options);
  EXPECT_FALSE(refused.has_value());
  const std::string& text = refused.error().message;  // "… needs N bytes, found 1"
  options.cache_bytes = std::stoull(text.substr(text.find("needs ") + 6));
  return options;
}

inline EngineOptions tight() {
  auto options = nano_options();
  options.context = 1024;
  return tight(options);
}

inline std::unique_ptr<Engine> open_engine(const EngineOptions& options) {
  auto engine = Engine::open(options);
  if (!engine) {
    ADD_FAILURE() << engine.error().message;
    std::abort();
  }
  return std::move(*engine);
}

inline text::ChatMessage message(const std::string& role, const std::string& content) {
  text::ChatMessage m;
  m.role = role;
  text::ContentPart part;
  part.text = content;
  m.content.push_back(part);
  return m;
}

inline GenerationRequest ask(const std::string& question, int max_tokens = 40) {
  GenerationRequest request;
  request.messages.push_back(message("user", question));
  request.sampling.temperature = 0;
  request.max_tokens = max_tokens;
  return request;
}

// A picture or clip as a message holds it: its encoded bytes, or a file of the project.
inline text::ContentPart picture_of(const std::string& name, const std::string& bytes) {
  text::ContentPart part;
  part.kind = text::ContentPart::Kind::kImage;
  part.media = std::make_shared<text::MediaBytes>(
      text::MediaBytes{name, std::make_shared<const std::string>(bytes), {}, 2, {}});
  return part;
}
inline text::ContentPart picture_file(const std::string& path) {
  return picture_of(path, read_file(GODWIT_SOURCE_DIR "/" + path).value());
}
inline text::ContentPart clip_file(const std::string& path) {
  text::ContentPart part = picture_file(path);
  part.kind = text::ContentPart::Kind::kVideo;
  return part;
}
// Before what the first message says.
inline void put_first(GenerationRequest& request, const text::ContentPart& part) {
  auto& content = request.messages[0].content;
  content.insert(content.begin(), part);
}

struct Reply {
  std::string reasoning, content;
  std::vector<text::ToolCall> calls;
  std::vector<std::string> arguments;
  std::vector<TokenLogprob> logprobs;
  Event done;
  std::string error;
};

inline Reply collect(Generation& generation) {
  Reply reply;
  while (auto event = generation.next()) {
    reply.logprobs.insert(reply.logprobs.end(), event->logprobs.begin(), event->logprobs.end());
    switch (event->kind) {
      case Event::Kind::kReasoning:
        reply.reasoning += event->text;
        break;
      case Event::Kind::kContent:
        reply.content += event->text;
        break;
      case Event::Kind::kToolCallBegin:
        reply.calls.push_back({"", event->text, {}});
        reply.arguments.emplace_back();
        break;
      case Event::Kind::kToolArguments:
        reply.arguments.back() += event->text;
        break;
      case Event::Kind::kDone:
        reply.done = *event;
        break;
      case Event::Kind::kError:
        reply.error = event->error.message;
        break;
      default:
        break;
    }
  }
  for (size_t i = 0; i < reply.calls.size(); ++i) {
    reply.calls[i].arguments =
        checkpoint::parse_json(reply.arguments[i]).value_or(checkpoint::Json());
  }
  return reply;
}

inline Reply answer(Engine& engine, const GenerationRequest& request) {
  auto generation = engine.submit(request);
  if (!generation) {
    Reply reply;
    reply.error = generation.error().message;
    return reply;
  }
  return collect(**generation);
}

// In the order of the requests.
inline std::vector<Reply> answers(Engine& engine, const std::vector<GenerationRequest>& requests) {
  std::vector<Reply> replies;
  for (const auto& request : requests) replies.push_back(answer(engine, request));
  return replies;
}
inline std::vector<Reply> answers_at_once(Engine& engine,
                                          const std::vector<GenerationRequest>& requests) {
  std::vector<std::shared_ptr<Generation>> generations;
  for (const auto& request : requests) generations.push_back(engine.submit(request).value());
  std::vector<Reply> replies;
  for (auto& generation : generations) replies.push_back(collect(*generation));
  return replies;
}

// One engine for all tests of a suite.
class EngineTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { engine_ = open_engine(nano_options()).release(); }
  static void TearDownTestSuite() {
    delete engine_;
    engine_ = nullptr;
  }
  inline static Engine* engine_ = nullptr;
};

}  // namespace godwit::engine
