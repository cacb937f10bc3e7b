// What the three files of /v1/responses share: the request as read (responses_request.cpp), the
// answer as events or whole (responses_format.cpp); responses.cpp has the routes.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/answer.h"
#include "server/response_store.h"

namespace godwit::server {

// Before a thought in what goes out as encrypted_content (in base64: it is nobody's secret).
inline constexpr std::string_view kThoughtMark = "godwit:";

struct ResponsesCall {
  engine::GenerationRequest request;  // `messages` are those of the whole conversation
  std::string model, previous;
  bool stream = false, store = true;
  bool summaries = false;  // thoughts are shown as summaries, else as reasoning text
  bool encrypted = false;  // and go out as encrypted_content as well
  bool logprobs = false;
  Json echo;                                // fields that the response repeats
  Json::Array input;                        // this request's items, each with an id
  std::vector<text::ChatMessage> messages;  // the same
  size_t referenced_bytes = 0;              // of items that were sent as references
};

Result<ResponsesCall> read_responses_call(const Api& api, ResponseStore& store,
                                          std::string_view body);

// Stores the response when it is complete. `bytes`: of the request's body and what it refers to.
std::unique_ptr<AnswerFormat> responses_format(ResponsesCall call, ModelUse model,
                                               std::shared_ptr<ResponseStore> store, size_t bytes);

}  // namespace godwit::server
