// One vector a text, or a conversation with pictures: OpenAI's /v1/embeddings, Ollama's /api/embed
// and /api/embeddings. Means over the last layer's output of all tokens, of length 1. A request may
// hold many more texts than the engine's queue: a few are under way at a time.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/visible.h"
#include "server/conversation.h"
#include "server/ollama.h"
#include "server/openai_common.h"

namespace godwit::server {
namespace {

using engine::Event;

constexpr size_t kMaxTexts = 4096, kAtOnce = 16;

struct Embedded {
  std::vector<std::vector<float>> vectors;  // as the texts were given
  int tokens = 0;
  double seconds = 0;
};
using Write = std::function<HttpReply(const Embedded& embedded)>;

class EmbeddingReply final : public PendingReply {
 public:
  EmbeddingReply(Dialect dialect, ModelUse model, std::vector<engine::GenerationRequest> requests,
                 Write write)
      : dialect_(dialect),
        model_(std::move(model)),
        requests_(std::move(requests)),
        write_(std::move(write)) {
    embedded_.vectors.resize(requests_.size());
  }
  ~EmbeddingReply() override {
    for (const auto& [unused, generation] : running_) generation->on_event({});
    cancel();
  }
  void on_ready(std::function<void()> notify) override { notify_ = std::move(notify); }
  void cancel() override {
    for (const auto& [unused, generation] : running_) generation->cancel();
  }

  std::unique_ptr<HttpReply> pull() override {
    for (size_t i = 0; i < running_.size();) {
      const auto event = running_[i].second->poll();
      if (!event) {
        ++i;
      } else if (event->kind == Event::Kind::kError) {
        return std::make_unique<HttpReply>(error_reply(dialect_, event->error));
      } else if (event->kind == Event::Kind::kDone) {
        const auto& vector = event->embedding;
        embedded_.vectors[running_[i].first] = vector;
        embedded_.tokens += event->usage.prompt_tokens;
        running_.erase(running_.begin() + static_cast<ptrdiff_t>(i));
      }
    }
    while (next_ < requests_.size() && running_.size() < kAtOnce) {
      if (auto refused = submit_next()) {
        if (!running_.empty()) return nullptr;  // when one of these is done there is room
        return refused;
      }
    }
    if (!running_.empty()) return nullptr;
    embedded_.seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
    return std::make_unique<HttpReply>(write_(embedded_));
  }

 private:
  using Clock = std::chrono::steady_clock;

  // Null: under way.
  std::unique_ptr<HttpReply> submit_next() {
    engine::GenerationRequest request = requests_[next_];
    request.task = engine::Task::kEmbed;
    auto generation = model_.engine->submit(std::move(request));
    if (!generation) {
      const int status = generation.error().kind == ErrorKind::kBadInput ? 400 : 503;
      return std::make_unique<HttpReply>(error_reply(dialect_, status, generation.error().message));
    }
    (*generation)->on_event(notify_);
    running_.emplace_back(next_++, std::move(*generation));
    return nullptr;
  }

  const Dialect dialect_;
  const ModelUse model_;
  const std::vector<engine::GenerationRequest> requests_;
  const Write write_;
  const Clock::time_point begin_ = Clock::now();
  std::function<void()> notify_;
  std::vector<std::pair<size_t, std::shared_ptr<engine::Generation>>> running_;  // with its text
  size_t next_ = 0;                                                              // text to submit
  Embedded embedded_;
};

// What the dialects' bodies have in common.
struct EmbeddingCall {
  std::string model;
  struct Item {
    Prompt text;
    std::vector<text::ChatMessage> messages;  // if there are any: instead of the text
  };
  std::vector<Item> items;
  text::TemplateOptions template_options;  // of messages
  std::optional<int> dimensions;
  std::optional<std::chrono::seconds> keep_alive;
  bool truncate = false;  // texts that are longer than the context, instead of refusing them
};

// A text as ids; markers of the template that stand in it are text.
Result<engine::GenerationRequest> embedding_request(const engine::Engine& engine,
                                                    const EmbeddingCall& call,
                                                    const EmbeddingCall::Item& item) {
  engine::GenerationRequest request;
  if (!item.messages.empty()) {
    request.messages = item.messages;
    request.template_options = call.template_options;
    return request;
  }
  TokenIds ids = item.text.ids ? *item.text.ids : engine.tokenize(item.text.text, false);
  if (ids.empty()) return bad_input("expected a text, found nothing");
  const int64_t context = engine.info().context;
  if (call.truncate && static_cast<int64_t>(ids.size()) > context)
    ids.resize(static_cast<size_t>(context));
  request.raw_ids = std::move(ids);
  return request;
}

Result<std::vector<engine::GenerationRequest>> embedding_requests(const engine::Engine& engine,
                                                                  const EmbeddingCall& call,
                                                                  std::string_view key) {
  const engine::ModelInfo& info = engine.info();
  if (call.dimensions && *call.dimensions != info.hidden)
    return bad_input("dimensions: expected {}, the length of this model's vectors, found {}",
                     info.hidden, *call.dimensions);
  if (call.items.size() > kMaxTexts)
    return bad_input("{}: expected at most {} texts, found {}", key, kMaxTexts, call.items.size());
  std::vector<engine::GenerationRequest> requests;
  for (const EmbeddingCall::Item& item : call.items) {
    auto request = embedding_request(engine, call, item);
    if (!request)
      return in_context(fmt::format("{}[{}]", key, requests.size()), std::move(request.error()));
    requests.push_back(std::move(*request));
  }
  return requests;
}

HttpReply embed(const Api& api, Dialect dialect, const Result<EmbeddingCall>& call,
                std::string_view key, const std::function<Write(const ModelUse& model)>& writer) {
  if (!call) return error_reply(dialect, call.error());
  auto model = api.models.use(dialect == Dialect::kOllama ? without_tag(api.models, call->model)
                                                          : call->model);
  if (!model) return error_reply(dialect, model.error());
  auto requests = embedding_requests(*model->engine, *call, key);
  if (!requests) return error_reply(dialect, requests.error());
  if (call->keep_alive) api.models.keep(model->name, *call->keep_alive);
  HttpReply reply;
  Write write = writer(*model);
  reply.pending = std::make_unique<EmbeddingReply>(dialect, std::move(*model), std::move(*requests),
                                                   std::move(write));
  return reply;
}

Json numbers(const std::vector<float>& vector) {
  Json::Array list;
  for (const float x : vector) list.push_back(Json::number_literal(fmt::format("{}", x)));
  return Json::array(std::move(list));
}

// Little-endian floats.
Json base64(const std::vector<float>& vector) {
  static_assert(std::endian::native == std::endian::little);
  std::string bytes(vector.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), vector.data(), bytes.size());
  return value(encode_base64(bytes));
}

// ---- OpenAI

// [{"type": "text", …}, {"type": "image_url", …}], alone or as what a user says.
bool is_parts(const Json& item) {
  return item.is_array() && !item.items().empty() && item.items().front().is_object();
}

// What read_prompts takes; an item may also be a list of content parts, which is one user's
// message.
Result<std::vector<EmbeddingCall::Item>> read_inputs(Fields& fields, const MediaSource& media) {
  std::vector<EmbeddingCall::Item> items;
  const Json* input = fields.find("input");
  const bool mixed = input && input->is_array() &&
                     std::any_of(input->items().begin(), input->items().end(), is_parts);
  if (!mixed) {
    TRY(auto prompts, read_prompts(fields, "input"));
    for (Prompt& prompt : prompts) items.push_back({std::move(prompt), {}});
    return items;
  }
  for (size_t i = 0; i < input->items().size(); ++i) {
    const Json& item = input->items()[i];
    const std::string path = fmt::format("{}[{}]", fields.path_of("input"), i);
    if (!is_parts(item)) {
      TRY(Prompt prompt, read_prompt(item, path));
      items.push_back({std::move(prompt), {}});
      continue;
    }
    text::ChatMessage user;
    user.role = "user";
    user.content_is_parts = true;
    for (size_t k = 0; k < item.items().size(); ++k) {
      TRY(auto part, read_part(fields, item.items()[k], fmt::format("{}[{}]", path, k), media));
      user.content.push_back(std::move(part));
    }
    items.push_back({{}, {std::move(user)}});
  }
  return items;
}

Result<EmbeddingCall> read_openai(std::string_view body, const MediaSource& media,
                                  std::string& encoding) {
  TRY(const Json json, parse_body(body));
  TRY(Fields fields, Fields::of(json, ""));
  EmbeddingCall call;
  TRY_STATUS(fields.read("model", call.model));
  call.template_options.add_generation_prompt = false;
  TRY_STATUS(fields.read("add_generation_prompt", call.template_options.add_generation_prompt));
  if (fields.find("messages")) {
    if (fields.find("input")) return bad_input("input: expected it or messages, found both");
    TRY(auto conversation, read_messages(fields, media));
    call.items.push_back({{}, std::move(conversation)});
  } else {
    TRY(call.items, read_inputs(fields, media));
  }
  TRY_STATUS(fields.read("dimensions", call.dimensions, 1, 1 << 24));
  TRY_STATUS(fields.read("encoding_format", encoding));
  if (encoding != "float" && encoding != "base64")
    return bad_input("encoding_format: expected float or base64, found {}", in_quotes(encoding));
  TRY_STATUS(fields.ignore({"user", "add_special_tokens"}));
  fields.note_unknown("/v1/embeddings");
  return call;
}

HttpReply openai(const Api& api, const HttpRequest& http) {
  std::string encoding = "float";
  const auto call = read_openai(http.body, api.media, encoding);
  return embed(api, Dialect::kOpenAi, call, "input", [&](const ModelUse& model) -> Write {
    return [name = model.name,
            write = encoding == "float" ? numbers : base64](const Embedded& embedded) {
      Json::Array list;
      for (const auto& vector : embedded.vectors) {
        list.push_back(Json::object({{"object", value("embedding")},
                                     {"index", value(static_cast<int>(list.size()))},
                                     {"embedding", write(vector)}}));
      }
      const Json tokens = value(embedded.tokens);
      return json_reply(Json::object(
          {{"object", value("list")},
           {"data", Json::array(std::move(list))},
           {"model", value(name)},
           {"usage", Json::object({{"prompt_tokens", tokens}, {"total_tokens", tokens}})}}));
    };
  });
}

// ---- Ollama

enum class Form { kEmbed, kEmbeddings };  // the older one takes and gives a single text

Result<EmbeddingCall> read_ollama(std::string_view body, Form form) {
  TRY(const Json json, parse_body(body));
  TRY(Fields fields, Fields::of(json, ""));
  EmbeddingCall call;
  call.truncate = true;
  TRY(call.model, fields.require_string("model"));
  std::vector<std::string> texts;
  if (form == Form::kEmbed) {
    TRY_STATUS(fields.read("input", texts));
    TRY_STATUS(fields.read("truncate", call.truncate));
    TRY_STATUS(fields.read("dimensions", call.dimensions, 1, 1 << 24));
  } else {
    TRY(std::string text, fields.require_string("prompt"));
    texts.push_back(std::move(text));
  }
  for (std::string& text : texts) call.items.push_back({{std::move(text), {}}, {}});
  TRY_STATUS(fields.find_map("options"));
  TRY(call.keep_alive, read_keep_alive(fields));
  fields.note_unknown("/api/embed");
  return call;
}

HttpReply ollama(const Api& api, const HttpRequest& http, Form form) {
  const auto call = read_ollama(http.body, form);
  const std::string_view key = form == Form::kEmbed ? "input" : "prompt";
  return embed(api, Dialect::kOllama, call, key, [&](const ModelUse&) -> Write {
    return [name = call->model, form](const Embedded& embedded) {
      if (form == Form::kEmbeddings)
        return json_reply(Json::object({{"embedding", numbers(embedded.vectors.front())}}));
      Json::Array list;
      for (const auto& vector : embedded.vectors) list.push_back(numbers(vector));
      return json_reply(
          Json::object({{"model", value(name)},
                        {"embeddings", Json::array(std::move(list))},
                        {"total_duration", value(static_cast<int64_t>(embedded.seconds * 1e9))},
                        {"load_duration", value(0)},
                        {"prompt_eval_count", value(embedded.tokens)}}));
    };
  });
}

}  // namespace

std::vector<Route> embedding_routes(const Api& api) {
  return {{"POST", "/v1/embeddings", [&api](const HttpRequest& http) { return openai(api, http); }},
          {"POST", "/api/embed",
           [&api](const HttpRequest& http) { return ollama(api, http, Form::kEmbed); }},
          {"POST", "/api/embeddings",
           [&api](const HttpRequest& http) { return ollama(api, http, Form::kEmbeddings); }}};
}

}  // namespace godwit::server
