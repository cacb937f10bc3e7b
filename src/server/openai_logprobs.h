// What the chat and the plain completions share: log-probabilities, several choices of one request.
#pragma once

#include <vector>

#include "engine/engine.h"
#include "server/json_fields.h"

namespace godwit::server {

// [{"token", "logprob", "bytes", "top_logprobs": […]}]
Json chat_logprobs(const engine::Engine& engine, const std::vector<engine::TokenLogprob>& logprobs);
// Text with bytes that are no character replaced by U+FFFD, so that it can stand in JSON.
std::string replace_invalid_utf8(std::string_view bytes);
std::string printable_token(const engine::Engine& engine, int32_t id);

// n requests; with a seed, each has its own (seed, seed + 1, …), else all answers would be the
// same.
std::vector<engine::GenerationRequest> repeat_request(engine::GenerationRequest request, int n);

}  // namespace godwit::server
