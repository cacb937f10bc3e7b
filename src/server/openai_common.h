// What OpenAI's routes share: prompts without a template, log-probabilities, several choices of one
// request, and the frame around the choices of a whole answer or a stream.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "server/answer.h"
#include "server/json_fields.h"

namespace godwit::server {

using TokenIds = std::vector<int32_t>;
Result<TokenIds> read_token_ids(const Json& list, const std::string& path);

// The ids, or else the text.
struct Prompt {
  std::string text;
  std::optional<TokenIds> ids;
};
// A string or a list of ids.
Result<Prompt> read_prompt(const Json& item, const std::string& path);
// A string, a list of strings, a list of ids, a list of lists of ids; at least one.
Result<std::vector<Prompt>> read_prompts(Fields& fields, std::string_view key);

// [{"token", "logprob", "bytes", "top_logprobs": […]}]
Json chat_logprobs(const engine::Engine& engine, const std::vector<engine::TokenLogprob>& logprobs);
// The token's text with bytes that are no character replaced, so that it can stand in JSON.
std::string printable_token(const engine::Engine& engine, int32_t id);

// n requests; with a seed, each has its own (seed, seed + 1, …), else all answers would be the
// same.
std::vector<engine::GenerationRequest> repeat_request(engine::GenerationRequest request, int n);

// {"id", "object", "created", "model", "choices": […], "usage"}: whole, and in each chunk.
class ChoicesFormat : public AnswerFormat {
 public:
  std::string end() override;
  std::string error(int status, const std::string& message) override;
  HttpReply whole(std::vector<Answer>& answers) override;

 protected:
  struct Names {
    const char *id, *whole, *chunk;  // prefix of the id; the objects
  };
  // `answers` of the engine to one request, `per_prompt` of them to each prompt.
  ChoicesFormat(const Names& names, ModelUse model, size_t answers, size_t per_prompt);

  virtual Json::Array choices(std::vector<Answer>& answers) = 0;
  std::string chunk(Json::Array choices, Json::Object more = {}) const;

  ModelUse model_;
  bool include_usage_ = false;       // at the end of the stream
  std::vector<engine::Event> done_;  // by answer

 private:
  Json frame(const char* object, Json::Array choices) const;

  Names names_;
  std::string id_;
  int64_t created_;
  size_t per_prompt_;
};

}  // namespace godwit::server
