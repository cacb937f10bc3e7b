// Api: what every dialect's routes work with, and the lists of routes that routes.cpp joins.
//
// A dialect is one file: it reads its JSON into a GenerationRequest (json_fields.h, conversation.h,
// media_source.h), starts it (answer.h: start), and formats the events (AnswerFormat).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/http.h"
#include "server/json_fields.h"
#include "server/media_source.h"
#include "server/metrics.h"
#include "server/model_set.h"

namespace godwit::server {

struct Api {
  ModelSet& models;
  Metrics& metrics;
  MediaSource media;
  int64_t started = 0;  // seconds since 1970
};

// Each keeps a reference to `api`, which must outlive the server.
std::vector<Route> all_routes(const Api& api);

std::vector<Route> openai_chat_routes(const Api& api);
std::vector<Route> openai_completion_routes(const Api& api);
std::vector<Route> embedding_routes(const Api& api);
std::vector<Route> openai_model_routes(const Api& api);
std::vector<Route> anthropic_routes(const Api& api);
std::vector<Route> responses_routes(const Api& api);
std::vector<Route> ollama_routes(const Api& api);
std::vector<Route> ollama_model_routes(const Api& api);
std::vector<Route> own_routes(const Api& api);

// Bytes, also for `godwit info --json`.
Json memory_json(const engine::MemoryPlan& plan);

// The body of /v1/chat/completions as a request, for /render and the fuzz target.
struct ChatRequest {
  engine::GenerationRequest request;
  std::string model;  // as the client names it
};
Result<ChatRequest> read_chat_request(const Api& api, std::string_view body);

}  // namespace godwit::server
