// /v1/models, and the routes of no dialect: /health, /ready, /metrics, /info, /tokenize,
// /detokenize, /render.
#include <unistd.h>

#include <utility>

#include "base/utf8.h"
#include "base/visible.h"
#include "server/answer.h"
#include "server/ollama.h"
#include "server/openai_common.h"

namespace godwit::server {
namespace {

// Anthropic's clients say so; others are taken for OpenAI's.
Dialect dialect_of(const HttpRequest& http) {
  return http.header("anthropic-version").empty() ? Dialect::kOpenAi : Dialect::kAnthropic;
}

Json model_json(const Api& api, const ModelSet::State& state, Dialect dialect) {
  if (dialect == Dialect::kAnthropic) {
    return Json::object({{"type", value("model")},
                         {"id", value(state.name)},
                         {"display_name", value(state.name)},
                         {"created_at", value(rfc3339(api.started * 1'000'000'000))}});
  }
  Json json = Json::object({{"id", value(state.name)},
                            {"object", value("model")},
                            {"created", value(api.started)},
                            {"owned_by", value("godwit")}});
  if (state.info) json.set("max_model_len", value(state.info->context));
  return json;
}

HttpReply list_models(const Api& api, const HttpRequest& http) {
  const Dialect dialect = dialect_of(http);
  const auto states = api.models.states();
  Json::Array list;
  for (const auto& state : states) list.push_back(model_json(api, state, dialect));
  Json json = Json::object({{"data", Json::array(std::move(list))}});
  if (dialect == Dialect::kAnthropic) {
    json.set("has_more", value(false));
    json.set("first_id", value(states.front().name));
    json.set("last_id", value(states.back().name));
  } else {
    json.set("object", value("list"));
  }
  return json_reply(json);
}

HttpReply one_model(const Api& api, const HttpRequest& http) {
  const Dialect dialect = dialect_of(http);
  for (const auto& state : api.models.states()) {
    if (state.name == http.parameter) return json_reply(model_json(api, state, dialect));
  }
  return error_reply(dialect, 404,
                     fmt::format("the model {} does not exist", in_quotes(http.parameter)));
}

Json stats_json(const engine::EngineStats& stats) {
  Json json = Json::object();
  for (const EngineNumber& number : engine_numbers())
    json.set(number.field, Json::number_literal(fmt::format("{}", number.of(stats))));
  return json;
}

Json engine_json(const engine::ModelInfo& info, const engine::EngineStats& stats) {
  return Json::object({{"model", value(info.name)},
                       {"template", value(info.template_name)},
                       {"template_note", value(info.template_note)},
                       {"parameters", value(info.parameters)},
                       {"text_parameters", value(info.text_parameters)},
                       {"vision_parameters", value(info.vision_parameters)},
                       {"context", value(info.context)},
                       {"vocabulary", value(info.vocabulary)},
                       {"layers", value(info.layers)},
                       {"attention_layers", value(info.attention_layers)},
                       {"hidden", value(info.hidden)},
                       {"experts", value(info.experts)},
                       {"vision", value(info.vision)},
                       {"drafting", value(info.drafting)},
                       {"weight_types", value(info.weight_types)},
                       {"isa", value(info.isa)},
                       {"cpu", value(info.cpu)},
                       {"threads", value(info.threads)},
                       {"memory", memory_json(info.memory)},
                       {"stats", stats_json(stats)}});
}

// What the page's model and machine view shows.
HttpReply info(const Api& api) {
  Json::Array models;
  for (const auto& state : api.models.states()) {
    Json json = Json::object({{"id", value(state.name)}, {"loaded", value(state.is_loaded)}});
    if (state.info) json.set("engine", engine_json(*state.info, state.stats));
    models.push_back(std::move(json));
  }
  const auto machine = Json::object(
      {{"processors", value(int64_t{sysconf(_SC_NPROCESSORS_ONLN)})},
       {"memory_bytes", value(int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE))}});
  return json_reply(Json::object({{"started", value(api.started)},
                                  {"machine", machine},
                                  {"models", Json::array(std::move(models))}}));
}

HttpReply metrics(const Api& api) {
  HttpReply reply;
  reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
  reply.body = api.metrics.text(api.models.states());
  return reply;
}

using TokenWork = Result<HttpReply> (*)(const Api&, const HttpRequest&, Fields&, engine::Engine&);

// What tokenize and detokenize begin and end with.
Result<HttpReply> with_model(const Api& api, const HttpRequest& http, TokenWork work) {
  TRY(const Json json, parse_body(http.body));
  TRY(Fields fields, Fields::of(json, ""));
  std::string model;
  TRY_STATUS(fields.read("model", model));
  const auto use = api.models.use(model);
  if (!use) return error_reply(Dialect::kOpenAi, use.error());
  return work(api, http, fields, *use->engine);
}

// {"prompt" or "content": text, "special": bool}, or {"messages": …} and all that
// /v1/chat/completions takes: the ids that it would run.
Result<HttpReply> tokenize(const Api& api, const HttpRequest& http, Fields& fields,
                           engine::Engine& engine) {
  std::vector<int32_t> ids;
  if (fields.find("messages")) {
    TRY(const auto chat, read_chat_request(api, http.body));
    TRY(ids, engine.prompt_ids(chat.request));
  } else {
    bool special = true;
    TRY_STATUS(fields.read("special", special));
    TRY_STATUS(fields.ignore({"add_special_tokens"}));
    TRY(const std::string text,
        fields.require_string(fields.find("content") ? "content" : "prompt"));
    ids = engine.tokenize(text, special);
    fields.note_unknown("/tokenize");
  }
  Json::Array tokens;
  for (const int32_t id : ids) tokens.push_back(value(id));
  return json_reply(Json::object({{"count", value(static_cast<int64_t>(ids.size()))},
                                  {"max_model_len", value(engine.info().context)},
                                  {"tokens", Json::array(std::move(tokens))}}));
}

// {"tokens": [ids]}
Result<HttpReply> detokenize(const Api&, const HttpRequest&, Fields& fields,
                             engine::Engine& engine) {
  TRY(const Json* tokens, fields.find_list("tokens"));
  if (!tokens) return fields.wrong("tokens", "array");
  TRY(const TokenIds ids, read_token_ids(*tokens, "tokens"));
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= engine.info().vocabulary)
      return bad_input("tokens[{}]: expected token id below {}", i, engine.info().vocabulary);
  }
  fields.note_unknown("/detokenize");
  const std::string text = repaired_utf8(engine.detokenize(ids));
  return json_reply(Json::object({{"prompt", value(text)}, {"content", value(text)}}));
}

// A chat-completions body → the prompt that the model would see.
Result<HttpReply> render(const Api& api, const HttpRequest& http) {
  TRY(const auto chat, read_chat_request(api, http.body));
  const auto use = api.models.use(chat.model);
  if (!use) return error_reply(Dialect::kOpenAi, use.error());
  TRY(const std::string text, use->engine->render(chat.request));
  return json_reply(Json::object({{"prompt", value(text)}}));
}

Handler or_error(std::function<Result<HttpReply>(const HttpRequest&)> handler) {
  return [handler = std::move(handler)](const HttpRequest& http) {
    auto reply = handler(http);
    return reply ? std::move(*reply) : error_reply(Dialect::kOpenAi, reply.error());
  };
}

}  // namespace

Json memory_json(const engine::MemoryPlan& plan) {
  const auto bytes = [](size_t n) { return value(static_cast<int64_t>(n)); };
  return Json::object({{"weights", bytes(plan.weights)},
                       {"kv_pages", bytes(plan.kv_pages)},
                       {"snapshots", bytes(plan.snapshots)},
                       {"recurrent", bytes(plan.recurrent)},
                       {"workspace", bytes(plan.workspace)},
                       {"tokenizer", bytes(plan.tokenizer)},
                       {"other", bytes(plan.other)},
                       {"total", bytes(plan.total())},
                       {"limit", bytes(plan.limit)},
                       {"on_disk", bytes(plan.on_disk)}});
}

std::vector<Route> openai_model_routes(const Api& api) {
  return {
      {"GET", "/v1/models", [&api](const HttpRequest& http) { return list_models(api, http); }},
      {"GET", "/v1/models/{id}", [&api](const HttpRequest& http) { return one_model(api, http); }}};
}

std::vector<Route> own_routes(const Api& api) {
  const auto healthy = [](const HttpRequest&) {
    return json_reply(Json::object({{"status", value("ok")}}));
  };
  const auto ready = [&api](const HttpRequest&) {
    const bool can = api.models.ready();
    return json_reply(Json::object({{"status", value(can ? "ready" : "not loaded")}}),
                      can ? 200 : 503);
  };
  return {
      {"GET", "/health", healthy, "", true},
      {"GET", "/ready", ready, "", true},
      {"GET", "/metrics", [&api](const HttpRequest&) { return metrics(api); }},
      {"GET", "/info", [&api](const HttpRequest&) { return info(api); }},
      {"POST", "/tokenize",
       or_error([&api](const HttpRequest& http) { return with_model(api, http, tokenize); })},
      {"POST", "/detokenize",
       or_error([&api](const HttpRequest& http) { return with_model(api, http, detokenize); })},
      {"POST", "/render", or_error([&api](const HttpRequest& http) { return render(api, http); })}};
}

}  // namespace godwit::server
