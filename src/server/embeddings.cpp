// One vector a text: OpenAI's /v1/embeddings, Ollama's /api/embed and /api/embeddings. Means over
// the last layer's output of all tokens, of length 1. A request may hold many more texts than the
// engine's queue: a few are under way at a time.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

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
  EmbeddingReply(Dialect dialect, ModelUse model, std::vector<TokenIds> texts, Write write)
      : dialect_(dialect),
        model_(std::move(model)),
        texts_(std::move(texts)),
        write_(std::move(write)) {
    embedded_.vectors.resize(texts_.size());
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
        if (!std::all_of(vector.begin(), vector.end(), [](float x) { return std::isfinite(x); }))
          return std::make_unique<HttpReply>(
              error_reply(dialect_, 500, "the model gave numbers that are not finite"));
        embedded_.vectors[running_[i].first] = vector;
        embedded_.tokens += event->usage.prompt_tokens;
        running_.erase(running_.begin() + static_cast<ptrdiff_t>(i));
      }
    }
    while (next_ < texts_.size() && running_.size() < kAtOnce) {
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
    engine::GenerationRequest request;
    request.task = engine::Task::kEmbed;
    request.raw_ids = texts_[next_];
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
  const std::vector<TokenIds> texts_;
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
  std::vector<Prompt> texts;
  std::optional<int> dimensions;
  bool truncate = false;  // texts that are longer than the context, instead of refusing them
};

// The texts as ids; markers of the template that stand in a text are text.
Result<std::vector<TokenIds>> tokenize(const engine::Engine& engine, const EmbeddingCall& call,
                                       std::string_view key) {
  const engine::ModelInfo& info = engine.info();
  if (call.dimensions && *call.dimensions != info.hidden)
    return bad_input("dimensions: expected {}, the length of this model's vectors, found {}",
                     info.hidden, *call.dimensions);
  if (call.texts.size() > kMaxTexts)
    return bad_input("{}: expected at most {} texts, found {}", key, kMaxTexts, call.texts.size());
  std::vector<TokenIds> texts;
  for (const Prompt& text : call.texts) {
    TokenIds ids = text.ids ? *text.ids : engine.tokenize(text.text, false);
    if (ids.empty()) return bad_input("{}[{}]: expected a text, found nothing", key, texts.size());
    if (call.truncate && static_cast<int64_t>(ids.size()) > info.context)
      ids.resize(static_cast<size_t>(info.context));
    texts.push_back(std::move(ids));
  }
  return texts;
}

HttpReply embed(const Api& api, Dialect dialect, const Result<EmbeddingCall>& call,
                std::string_view key, const std::function<Write(const ModelUse& model)>& writer) {
  if (!call) return error_reply(dialect, call.error());
  auto model = api.models.use(dialect == Dialect::kOllama ? without_tag(api.models, call->model)
                                                          : call->model);
  if (!model) return error_reply(dialect, model.error());
  auto texts = tokenize(*model->engine, *call, key);
  if (!texts) return error_reply(dialect, texts.error());
  HttpReply reply;
  Write write = writer(*model);
  reply.pending = std::make_unique<EmbeddingReply>(dialect, std::move(*model), std::move(*texts),
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

Result<EmbeddingCall> read_openai(std::string_view body, std::string& encoding) {
  TRY(const Json json, parse_body(body));
  TRY(Fields fields, Fields::of(json, ""));
  EmbeddingCall call;
  TRY_STATUS(fields.read("model", call.model));
  TRY(call.texts, read_prompts(fields, "input"));
  TRY_STATUS(fields.read("dimensions", call.dimensions, 1, 1 << 24));
  TRY_STATUS(fields.read("encoding_format", encoding));
  if (encoding != "float" && encoding != "base64")
    return bad_input("encoding_format: expected float or base64, found '{}'",
                     encoding.substr(0, 40));
  fields.ignore({"user"});
  fields.note_unknown("/v1/embeddings");
  return call;
}

HttpReply openai(const Api& api, const HttpRequest& http) {
  std::string encoding = "float";
  const auto call = read_openai(http.body, encoding);
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
  for (std::string& text : texts) call.texts.push_back({std::move(text), {}});
  TRY_STATUS(fields.find_object("options"));
  fields.ignore({"keep_alive"});
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
