// /v1/completions: a prompt as it is, without a template.
#include <utility>

#include "base/utf8.h"
#include "server/conversation.h"
#include "server/openai_common.h"

namespace godwit::server {
namespace {

using engine::Event;

constexpr int kMaxChoices = 16;
constexpr size_t kMaxAnswers = 64;

struct CompletionCall {
  engine::GenerationRequest request;  // without its prompt
  std::vector<Prompt> prompts;
  std::string model;
  int choices = 1;  // of each prompt; 0: its score alone
  bool stream = false, include_usage = false, echo = false;
  bool scored = false;  // log-probabilities of the prompt's own tokens are asked for

  size_t per_prompt() const { return choices + (scored ? 1 : 0); }  // requests to the engine
};

Result<CompletionCall> read_completion(std::string_view body) {
  TRY(const Json json, parse_body(body));
  TRY(Fields fields, Fields::of(json, ""));
  CompletionCall call;
  call.request.parse_output = false;
  call.request.max_tokens = 16;  // as the API has it
  TRY_STATUS(fields.read("model", call.model));
  TRY(call.prompts, read_prompts(fields, "prompt"));
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
  if (options) {
    TRY_STATUS(options->read("include_usage", call.include_usage));
    TRY_STATUS(options->ignore({"include_obfuscation"}));
  }
  TRY_STATUS(check_response_format(fields, "response_format"));
  std::string suffix;
  TRY_STATUS(fields.read("suffix", suffix));
  if (!suffix.empty()) return bad_input("suffix: filling in before a suffix is not supported");
  if (best_of != call.choices) return bad_input("best_of: expected the same as n");
  call.scored = call.echo && call.request.logprobs >= 0;
  if (call.scored && call.stream)
    return bad_input("stream: log-probabilities of the prompt come with whole answers only");
  if (call.scored && call.request.max_tokens == 0) call.choices = 0;
  if (const size_t answers = call.prompts.size() * call.per_prompt(); answers > kMaxAnswers)
    return bad_input("prompt: expected at most {} answers, found {}", kMaxAnswers, answers);
  TRY_STATUS(refuse_constraints(fields));
  TRY_STATUS(fields.ignore({"user", "add_special_tokens", "store", "metadata"}));
  fields.note_unknown("/v1/completions");
  return call;
}

class CompletionFormat final : public ChoicesFormat {
 public:
  CompletionFormat(const CompletionCall& call, ModelUse model)
      : ChoicesFormat({"cmpl-", "text_completion", "text_completion"}, std::move(model),
                      call.prompts.size() * call.per_prompt(), call.per_prompt()),
        call_(call),
        offsets_(done_.size(), 0) {
    include_usage_ = call.include_usage;
    for (const Prompt& prompt : call.prompts) {
      std::string echo;
      if (call.echo) echo = prompt.ids ? model_.engine->detokenize(*prompt.ids) : prompt.text;
      echoes_.push_back(repaired_utf8(echo));
    }
  }

  std::string begin() override {
    std::string bytes;
    for (size_t i = 0; i < done_.size(); ++i) {
      if (const std::string& echo = echoes_[i / call_.per_prompt()]; !echo.empty())
        bytes += chunk({choice(i, echo, {}, {})});
    }
    return bytes;
  }
  std::string event(int choice_index, const Event& event) override {
    const auto i = static_cast<size_t>(choice_index);
    if (event.kind == Event::Kind::kContent)
      return chunk({choice(i, event.text, table(i, event.logprobs), {})});
    if (event.kind != Event::Kind::kDone) return {};
    done_[i] = event;
    return chunk({choice(i, "", {}, finish(event))});
  }

 private:
  static Json finish(const Event& done) {
    return value(done.finish == engine::FinishReason::kLength ? "length" : "stop");
  }
  static Json choice(size_t index, const std::string& text, Json logprobs, Json finish) {
    return Json::object({{"index", value(static_cast<int>(index))},
                         {"text", value(text)},
                         {"logprobs", std::move(logprobs)},
                         {"finish_reason", std::move(finish)}});
  }

  // With a score, the first answer to each prompt is that.
  Json::Array choices(std::vector<Answer>& answers) override {
    Json::Array list;
    for (size_t i = 0; i < answers.size(); ++i) {
      const size_t prompt = i / call_.per_prompt();
      const bool is_score = call_.scored && i % call_.per_prompt() == 0;
      if (is_score && call_.choices > 0) continue;
      std::vector<engine::TokenLogprob> logprobs = std::move(answers[i].logprobs);
      if (call_.scored) {
        auto& scores = answers[prompt * call_.per_prompt()].done.logprobs;
        logprobs.insert(logprobs.begin(), scores.begin(), scores.end());
        logprobs.insert(logprobs.begin(), {call_.prompts[prompt].ids->front(), 0, {}});
      }
      list.push_back(choice(list.size(), echoes_[prompt] + answers[i].content, table(i, logprobs),
                            is_score ? value("length") : finish(answers[i].done)));
    }
    return list;
  }

  // The four lists of the old form. Before a prompt's first token stands nothing: it has no number.
  Json table(size_t answer, const std::vector<engine::TokenLogprob>& logprobs) {
    if (logprobs.empty()) return {};
    Json::Array tokens, numbers, tops, offsets;
    for (const engine::TokenLogprob& token : logprobs) {
      const std::string text = printable_token(*model_.engine, token.id);
      const bool has_number = !call_.scored || &token != &logprobs.front();
      Json top = has_number ? Json::object() : Json();
      for (const auto& [id, logprob] : token.top)
        top.set(printable_token(*model_.engine, id), value(static_cast<double>(logprob)));
      tokens.push_back(value(text));
      numbers.push_back(has_number ? value(static_cast<double>(token.logprob)) : Json());
      tops.push_back(std::move(top));
      offsets.push_back(value(offsets_[answer]));
      offsets_[answer] += static_cast<int>(text.size());
    }
    return Json::object({{"tokens", Json::array(std::move(tokens))},
                         {"token_logprobs", Json::array(std::move(numbers))},
                         {"top_logprobs", Json::array(std::move(tops))},
                         {"text_offset", Json::array(std::move(offsets))}});
  }

  CompletionCall call_;
  std::vector<std::string> echoes_;  // by prompt
  std::vector<int> offsets_;         // of the next token's text, by answer
};

HttpReply complete(const Api& api, const HttpRequest& http) {
  auto call = read_completion(http.body);
  if (!call) return error_reply(Dialect::kOpenAi, call.error());
  auto model = api.models.use(call->model);
  if (!model) return error_reply(Dialect::kOpenAi, model.error());
  std::vector<engine::GenerationRequest> requests;
  for (Prompt& prompt : call->prompts) {
    if (call->scored && !prompt.ids) prompt.ids = model->engine->tokenize(prompt.text, true);
    if (call->scored && prompt.ids->size() < 2) {
      return error_reply(Dialect::kOpenAi, 400,
                         "prompt: expected at least two tokens, of which the second has a "
                         "log-probability");
    }
    engine::GenerationRequest request = call->request;
    if (prompt.ids) {
      request.raw_ids = prompt.ids;
    } else {
      request.raw_text = prompt.text;
    }
    if (call->scored) {
      requests.push_back(request);
      requests.back().task = engine::Task::kScore;
    }
    for (auto& one : repeat_request(std::move(request), call->choices))
      requests.push_back(std::move(one));
  }
  auto format = std::make_unique<CompletionFormat>(*call, *model);
  return generate(api, Dialect::kOpenAi, std::move(*model), std::move(requests), std::move(format),
                  call->stream ? Delivery::kStream : Delivery::kWhole);
}

}  // namespace

std::vector<Route> openai_completion_routes(const Api& api) {
  return {
      {"POST", "/v1/completions", [&api](const HttpRequest& http) { return complete(api, http); }}};
}

}  // namespace godwit::server
