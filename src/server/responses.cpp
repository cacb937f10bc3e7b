// /v1/responses: create, get, delete, input_items, input_tokens.
#include "server/responses.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/visible.h"

namespace godwit::server {
namespace {

using Store = std::shared_ptr<ResponseStore>;

HttpReply not_found(std::string_view id) {
  return error_reply(Dialect::kOpenAi, 404,
                     fmt::format("response {} was not stored, or is no longer", in_quotes(id)));
}

HttpReply create(const Api& api, const Store& store, const HttpRequest& http) {
  auto call = read_responses_call(api, *store, http.body);
  if (!call) return error_reply(Dialect::kOpenAi, call.error());
  auto model = api.models.use(call->model);
  if (!model) return error_reply(Dialect::kOpenAi, model.error());
  std::vector<engine::GenerationRequest> requests;
  requests.push_back(std::move(call->request));
  const Delivery delivery = call->stream ? Delivery::kStream : Delivery::kWhole;
  const size_t bytes = http.body.size() + call->referenced_bytes;
  auto format = responses_format(std::move(*call), *model, store, bytes);
  return generate(api, Dialect::kOpenAi, std::move(*model), std::move(requests), std::move(format),
                  delivery);
}

HttpReply count_input_tokens(const Api& api, const Store& store, const HttpRequest& http) {
  auto call = read_responses_call(api, *store, http.body);
  if (!call) return error_reply(Dialect::kOpenAi, call.error());
  auto model = api.models.use(call->model);
  if (!model) return error_reply(Dialect::kOpenAi, model.error());
  const auto ids = model->engine->prompt_ids(call->request);
  if (!ids) return error_reply(Dialect::kOpenAi, ids.error());
  return json_reply(Json::object({{"object", value("response.input_tokens")},
                                  {"input_tokens", value(static_cast<int64_t>(ids->size()))}}));
}

std::string query_value(std::string_view query, std::string_view key) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const size_t equals = pair.find('=');
    std::string decoded;
    if (pair.substr(0, equals) == key && equals != std::string_view::npos &&
        percent_decode(pair.substr(equals + 1), decoded))
      return decoded;
  }
  return {};
}

std::string_view id_of(const Json& item) {
  const Json* id = item.find("id");
  return id && id->is_string() ? std::string_view(id->as_string()) : std::string_view();
}

// The items that the response answered, those of the turns before with them. ?order, limit, after.
HttpReply input_items(const Store& store, std::string_view id, std::string_view query) {
  const auto turns = store->conversation(id);
  if (!turns) return not_found(id);
  Json::Array items;
  for (const auto& turn : *turns) {
    items.insert(items.end(), turn->input.begin(), turn->input.end());
    if (turn == turns->back()) break;
    const Json::Array& output = turn->response.find("output")->items();
    items.insert(items.end(), output.begin(), output.end());
  }
  if (query_value(query, "order") != "asc") std::reverse(items.begin(), items.end());
  if (const std::string after = query_value(query, "after"); !after.empty()) {
    const auto at = std::find_if(items.begin(), items.end(),
                                 [&](const Json& item) { return id_of(item) == after; });
    items.erase(items.begin(), at == items.end() ? at : at + 1);
  }
  size_t limit = 20;
  const std::string wanted = query_value(query, "limit");
  if (!wanted.empty()) {
    const auto [end, error] = std::from_chars(wanted.data(), wanted.data() + wanted.size(), limit);
    if (error != std::errc() || *end != 0 || limit < 1 || limit > 100)
      return error_reply(Dialect::kOpenAi, 400, "limit: expected integer from 1 to 100");
  }
  const bool more = items.size() > limit;
  if (more) items.resize(limit);
  const auto end_id = [&](const auto& pick) {
    return items.empty() ? Json() : value(id_of(pick()));
  };
  const Json first = end_id([&] { return items.front(); });
  const Json last = end_id([&] { return items.back(); });
  return json_reply(Json::object({{"object", value("list")},
                                  {"data", Json::array(std::move(items))},
                                  {"first_id", first},
                                  {"last_id", last},
                                  {"has_more", value(more)}}));
}

HttpReply get(const Store& store, const HttpRequest& http) {
  constexpr std::string_view kItems = "/input_items";
  std::string_view id = http.parameter;
  if (id.ends_with(kItems))
    return input_items(store, id.substr(0, id.size() - kItems.size()), http.query);
  const auto found = store->find(id);
  if (!found) return not_found(id);
  if (query_value(http.query, "stream") == "true")
    return error_reply(Dialect::kOpenAi, 400, "stream: a stored response cannot be streamed again");
  return json_reply(found->response);
}

HttpReply erase(const Store& store, const HttpRequest& http) {
  if (!store->erase(http.parameter)) return not_found(http.parameter);
  return json_reply(Json::object({{"id", value(http.parameter)},
                                  {"object", value("response.deleted")},
                                  {"deleted", value(true)}}));
}

HttpReply cancel(const HttpRequest& http) {
  if (!http.parameter.ends_with("/cancel"))
    return error_reply(Dialect::kOpenAi, 404, "there is nothing at this path");
  return error_reply(
      Dialect::kOpenAi, 400,
      "only answers in the background can be cancelled, and those are not supported");
}

}  // namespace

std::vector<Route> responses_routes(const Api& api) {
  const Store store = std::make_shared<ResponseStore>();
  return {
      {"POST", "/v1/responses",
       [&api, store](const HttpRequest& http) { return create(api, store, http); }},
      {"POST", "/v1/responses/input_tokens",
       [&api, store](const HttpRequest& http) { return count_input_tokens(api, store, http); }},
      {"GET", "/v1/responses/{id}", [store](const HttpRequest& http) { return get(store, http); }},
      {"POST", "/v1/responses/{id}", cancel},
      {"DELETE", "/v1/responses/{id}",
       [store](const HttpRequest& http) { return erase(store, http); }}};
}

}  // namespace godwit::server
