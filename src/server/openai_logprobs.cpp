#include "server/openai_logprobs.h"

#include <algorithm>
#include <utility>

namespace godwit::server {
namespace {

// Length of the well-formed UTF-8 character at the start of `text`; 0: none.
size_t character_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const size_t length = first < 0x80                    ? 1
                        : first >= 0xC2 && first < 0xE0 ? 2
                        : first >= 0xE0 && first < 0xF0 ? 3
                        : first >= 0xF0 && first < 0xF5 ? 4
                                                        : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  if (length == 3 && ((first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) >= 0xA0)))
    return 0;
  if (length == 4 && ((first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) >= 0x90)))
    return 0;
  return length;
}

Json token_json(const engine::Engine& engine, int32_t id, float logprob) {
  Json::Array bytes;
  for (const char c : engine.detokenize({id}))
    bytes.push_back(value(static_cast<int>(static_cast<unsigned char>(c))));
  return Json::object({{"token", value(printable_token(engine, id))},
                       {"logprob", value(static_cast<double>(logprob))},
                       {"bytes", Json::array(std::move(bytes))}});
}

}  // namespace

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string text;
  for (size_t i = 0; i < bytes.size();) {
    const size_t length = character_length(bytes.substr(i));
    if (length > 0) {
      text += bytes.substr(i, length);
    } else {
      text += "\xEF\xBF\xBD";
    }
    i += std::max<size_t>(length, 1);
  }
  return text;
}

std::string printable_token(const engine::Engine& engine, int32_t id) {
  return replace_invalid_utf8(engine.detokenize({id}));
}

Json chat_logprobs(const engine::Engine& engine,
                   const std::vector<engine::TokenLogprob>& logprobs) {
  Json::Array list;
  for (const engine::TokenLogprob& token : logprobs) {
    Json json = token_json(engine, token.id, token.logprob);
    Json::Array top;
    for (const auto& [id, logprob] : token.top) top.push_back(token_json(engine, id, logprob));
    json.set("top_logprobs", Json::array(std::move(top)));
    list.push_back(std::move(json));
  }
  return Json::array(std::move(list));
}

std::vector<engine::GenerationRequest> repeat_request(engine::GenerationRequest request, int n) {
  std::vector<engine::GenerationRequest> requests(n, request);
  for (int i = 0; i < n; ++i) {
    if (request.sampling.seed) requests[i].sampling.seed = *request.sampling.seed + i;
  }
  return requests;
}

}  // namespace godwit::server
