#include "server/openai_common.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "server/conversation.h"

namespace godwit::server {
namespace {

Json token_json(const engine::Engine& engine, int32_t id, float logprob) {
  Json::Array bytes;
  for (const char c : engine.detokenize({id}))
    bytes.push_back(value(static_cast<int>(static_cast<unsigned char>(c))));
  return Json::object({{"token", value(printable_token(engine, id))},
                       {"logprob", value(static_cast<double>(logprob))},
                       {"bytes", Json::array(std::move(bytes))}});
}

}  // namespace

Result<TokenIds> read_token_ids(const Json& list, const std::string& path) {
  TokenIds ids;
  for (size_t i = 0; i < list.items().size(); ++i) {
    const auto id = list.items()[i].as_int64();
    if (!id || *id < 0 || *id > INT32_MAX)
      return bad_input("{}[{}]: expected token id, found {}", path, i, kind_name(list.items()[i]));
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

Result<Prompt> read_prompt(const Json& item, const std::string& path) {
  if (item.is_string()) return Prompt{item.as_string(), {}};
  if (!item.is_array())
    return bad_input("{}: expected string or array of token ids, found {}", path, kind_name(item));
  TRY(TokenIds ids, read_token_ids(item, path));
  return Prompt{{}, std::move(ids)};
}

Result<std::vector<Prompt>> read_prompts(Fields& fields, std::string_view key) {
  const Json* given = fields.find(key);
  const std::string path = fields.path_of(key);
  std::vector<Prompt> prompts;
  if (given && given->is_string()) {
    prompts.push_back({given->as_string(), {}});
    return prompts;
  }
  if (!given || !given->is_array() || given->items().empty())
    return fields.wrong(key, "string, or array of strings or token ids with at least one");
  if (given->items().front().is_number()) {
    TRY(TokenIds ids, read_token_ids(*given, path));
    prompts.push_back({{}, std::move(ids)});
    return prompts;
  }
  for (size_t i = 0; i < given->items().size(); ++i) {
    const Json& item = given->items()[i];
    const std::string where = fmt::format("{}[{}]", path, i);
    TRY(Prompt prompt, read_prompt(item, where));
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

std::string printable_token(const engine::Engine& engine, int32_t id) {
  return repaired_utf8(engine.detokenize({id}));
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

ChoicesFormat::ChoicesFormat(const Names& names, ModelUse model, size_t answers, size_t per_prompt)
    : model_(std::move(model)),
      done_(answers),
      names_(names),
      id_(new_id(names.id)),
      created_(unix_time()),
      per_prompt_(per_prompt) {}

Json ChoicesFormat::frame(const char* object, Json::Array choices) const {
  return Json::object({{"id", value(id_)},
                       {"object", value(object)},
                       {"created", value(created_)},
                       {"model", value(model_.name)},
                       {"system_fingerprint", value("godwit")},
                       {"choices", Json::array(std::move(choices))}});
}

std::string ChoicesFormat::chunk(Json::Array choices, Json::Object more) const {
  Json json = frame(names_.chunk, std::move(choices));
  for (auto& [key, member] : more) json.set(std::move(key), std::move(member));
  return sse(json);
}

std::string ChoicesFormat::end() {
  std::string bytes;
  if (include_usage_) bytes = chunk({}, {{"usage", openai_usage(done_, per_prompt_)}});
  return bytes + "data: [DONE]\n\n";
}

std::string ChoicesFormat::error(int status, const std::string& message) {
  return "data: " + error_body(Dialect::kOpenAi, status, message) + "\n\n";
}

HttpReply ChoicesFormat::whole(std::vector<Answer>& answers) {
  for (size_t i = 0; i < answers.size(); ++i) done_[i] = answers[i].done;
  Json json = frame(names_.whole, choices(answers));
  json.set("usage", openai_usage(done_, per_prompt_));
  return json_reply(json);
}

}  // namespace godwit::server
