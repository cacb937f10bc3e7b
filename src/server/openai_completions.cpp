// /v1/completions: a prompt as it is, without a template.
#include <utility>

#include "server/answer.h"
#include "server/conversation.h"
#include "server/openai_logprobs.h"

namespace godwit::server {
namespace {

using engine::Event;

constexpr int kMaxChoices = 16;
constexpr size_t kMaxAnswers = 64;

using Ids = std::vector<int32_t>;
struct Prompt {
  std::optional<std::string> text;
  std::optional<Ids> ids;
};

struct CompletionCall {
  engine::GenerationRequest request;  // without its prompt
  std::vector<Prompt> prompts;
  std::string model;
  int choices = 1;
  bool stream = false, include_usage = false, echo = false;
};

Result<Ids> read_ids(const Json& list, const std::string& path) {
  Ids ids;
  for (size_t i = 0; i < list.items().size(); ++i) {
    const auto id = list.items()[i].as_int64();
    if (!id || *id < 0 || *id > INT32_MAX)
      return bad_input("{}[{}]: expected token id, found {}", path, i, kind_name(list.items()[i]));
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

// A string, a list of strings, a list of ids, a list of lists of ids.
Result<std::vector<Prompt>> read_prompts(const Json& prompt) {
  if (prompt.is_string()) return std::vector<Prompt>{{prompt.as_string(), {}}};
  if (!prompt.is_array() || prompt.items().empty())
    return bad_input("prompt: expected string, array of strings or array of token ids, found {}",
                     prompt.is_array() ? "an empty array" : kind_name(prompt));
  if (prompt.items().front().is_number()) {
    TRY(Ids ids, read_ids(prompt, "prompt"));
    return std::vector<Prompt>{{{}, std::move(ids)}};
  }
  std::vector<Prompt> prompts;
  for (size_t i = 0; i < prompt.items().size(); ++i) {
    const Json& item = prompt.items()[i];
    if (item.is_string()) {
      prompts.push_back({item.as_string(), {}});
    } else if (item.is_array()) {
      TRY(Ids ids, read_ids(item, fmt::format("prompt[{}]", i)));
      prompts.push_back({{}, std::move(ids)});
    } else {
      return bad_input("prompt[{}]: expected string or array of token ids, found {}", i,
                       kind_name(item));
    }
  }
  return prompts;
}

Result<CompletionCall> read_completion(std::string_view body) {
  TRY(const Json json, parse_body(body));
  TRY(Fields fields, Fields::of(json, ""));
  CompletionCall call;
  call.request.parse_output = false;
  call.request.max_tokens = 16;  // as the API has it
  TRY_STATUS(fields.read("model", call.model));
  const Json* prompt = fields.find("prompt");
  if (!prompt) return fields.wrong("prompt", "string or array");
  TRY(call.prompts, read_prompts(*prompt));
  TRY_STATUS(read_sampling(fields, call.request.sampling));
  TRY_STATUS(fields.read("max_tokens", call.request.max_tokens, -1, 1 << 24));
  TRY_STATUS(fields.read("stop", call.request.stop));
  TRY_STATUS(fields.read("ignore_eos", call.request.ignore_end));
  TRY_STATUS(fields.read("logprobs", call.request.logprobs, 0, 20));
  TRY_STATUS(fields.read("echo", call.echo));
  TRY_STATUS(fields.read("n", call.choices, 1, kMaxChoices));
  int best_of = call.choices;
  TRY_STATUS(fields.read("best_of", best_of, 1, kMaxChoices));
  TRY_STATUS(fields.read("stream", call.stream));
  TRY(auto options, fields.find_object("stream_options"));
  if (options) TRY_STATUS(options->read("include_usage", call.include_usage));
  TRY_STATUS(check_response_format(fields.find("response_format"), "response_format"));
  std::string suffix;
  TRY_STATUS(fields.read("suffix", suffix));
  if (!suffix.empty()) return bad_input("suffix: filling in before a suffix is not supported");
  if (best_of != call.choices) return bad_input("best_of: expected the same as n");
  if (call.echo && call.request.logprobs >= 0)
    return bad_input("echo: log-probabilities of the prompt are not supported yet");
  if (call.prompts.size() * call.choices > kMaxAnswers) {
    return bad_input("prompt: expected at most {} answers, found {}", kMaxAnswers,
                     call.prompts.size() * call.choices);
  }
  fields.ignore({"user"});
  fields.note_unknown("/v1/completions");
  return call;
}

class CompletionFormat final : public AnswerFormat {
 public:
  CompletionFormat(const CompletionCall& call, ModelUse model)
      : model_(std::move(model)),
        id_(new_id("cmpl-")),
        created_(unix_time()),
        choices_(call.choices),
        include_usage_(call.include_usage),
        done_(call.prompts.size() * call.choices),
        offsets_(done_.size(), 0) {
    for (const Prompt& prompt : call.prompts) {
      std::string echo;
      if (call.echo) echo = prompt.text ? *prompt.text : model_.engine->detokenize(*prompt.ids);
      echoes_.push_back(std::move(echo));
    }
  }

  std::string begin() override {
    std::string bytes;
    for (size_t i = 0; i < done_.size(); ++i) {
      if (const std::string& echo = echoes_[i / choices_]; !echo.empty())
        bytes += chunk(static_cast<int>(i), echo, {}, {});
    }
    return bytes;
  }
  std::string event(int choice, const Event& event) override {
    if (event.kind == Event::Kind::kContent) return chunk(choice, event.text, event.logprobs, {});
    if (event.kind != Event::Kind::kDone) return {};
    done_[choice] = event;
    return chunk(choice, "", {}, finish(event));
  }
  std::string end() override {
    std::string bytes;
    if (include_usage_) {
      Json json = head();
      json.set("choices", Json::array());
      json.set("usage", openai_usage(done_, choices_));
      bytes = sse(json);
    }
    return bytes + "data: [DONE]\n\n";
  }
  std::string error(int status, const std::string& message) override {
    return "data: " + error_body(Dialect::kOpenAi, status, message) + "\n\n";
  }
  HttpReply whole(std::vector<Answer>& answers) override {
    Json::Array choices;
    for (size_t i = 0; i < answers.size(); ++i) {
      done_[i] = answers[i].done;
      choices.push_back(choice(static_cast<int>(i), echoes_[i / choices_] + answers[i].content,
                               answers[i].logprobs, finish(answers[i].done)));
    }
    Json json = head();
    json.set("choices", Json::array(std::move(choices)));
    json.set("usage", openai_usage(done_, choices_));
    return json_reply(json);
  }

 private:
  using Logprobs = std::vector<engine::TokenLogprob>;

  static Json finish(const Event& done) {
    return value(done.finish == engine::FinishReason::kLength ? "length" : "stop");
  }
  Json head() const {
    return Json::object({{"id", value(id_)},
                         {"object", value("text_completion")},
                         {"created", value(created_)},
                         {"model", value(model_.name)}});
  }
  std::string chunk(int index, const std::string& text, const Logprobs& logprobs, Json finish) {
    Json json = head();
    json.set("choices", Json::array({choice(index, text, logprobs, std::move(finish))}));
    return sse(json);
  }
  Json choice(int index, const std::string& text, const Logprobs& logprobs, Json finish) {
    return Json::object({{"index", value(index)},
                         {"text", value(text)},
                         {"logprobs", logprobs.empty() ? Json() : table(index, logprobs)},
                         {"finish_reason", std::move(finish)}});
  }
  // The four lists of the old form.
  Json table(int index, const Logprobs& logprobs) {
    Json::Array tokens, numbers, tops, offsets;
    for (const engine::TokenLogprob& token : logprobs) {
      const std::string text = printable_token(*model_.engine, token.id);
      Json top = Json::object();
      for (const auto& [id, logprob] : token.top)
        top.set(printable_token(*model_.engine, id), value(static_cast<double>(logprob)));
      tokens.push_back(value(text));
      numbers.push_back(value(static_cast<double>(token.logprob)));
      tops.push_back(std::move(top));
      offsets.push_back(value(offsets_[index]));
      offsets_[index] += static_cast<int>(text.size());
    }
    return Json::object({{"tokens", Json::array(std::move(tokens))},
                         {"token_logprobs", Json::array(std::move(numbers))},
                         {"top_logprobs", Json::array(std::move(tops))},
                         {"text_offset", Json::array(std::move(offsets))}});
  }

  ModelUse model_;
  std::string id_;
  int64_t created_;
  size_t choices_;  // of each prompt
  bool include_usage_;
  std::vector<std::string> echoes_;  // by prompt
  std::vector<Event> done_;          // by choice
  std::vector<int> offsets_;         // of the next token's text, by choice
};

HttpReply complete(const Api& api, const HttpRequest& http) {
  auto call = read_completion(http.body);
  if (!call) return error_reply(Dialect::kOpenAi, call.error());
  auto model = api.models.use(call->model);
  if (!model) return error_reply(Dialect::kOpenAi, model.error());
  auto format = std::make_unique<CompletionFormat>(*call, *model);
  std::vector<engine::GenerationRequest> requests;
  for (Prompt& prompt : call->prompts) {
    engine::GenerationRequest request = call->request;
    request.raw_text = std::move(prompt.text);
    request.raw_ids = std::move(prompt.ids);
    for (auto& one : repeat_request(std::move(request), call->choices))
      requests.push_back(std::move(one));
  }
  auto job = start(api, Dialect::kOpenAi, std::move(*model), std::move(requests));
  if (!job) return std::move(job.error());
  return call->stream ? stream_reply(std::move(*job), std::move(format))
                      : whole_reply(std::move(*job), std::move(format));
}

}  // namespace

std::vector<Route> openai_completion_routes(const Api& api) {
  return {
      {"POST", "/v1/completions", [&api](const HttpRequest& http) { return complete(api, http); }}};
}

}  // namespace godwit::server
