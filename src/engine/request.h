// GenerationRequest and what comes back: the language of the engine's door. No JSON texts, no
// sockets.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/chat_message.h"
#include "text/chat_template.h"

namespace godwit::engine {

// Unset fields take the model's defaults (generation_config.json, else greedy off: temperature 1,
// top-k 20, top-p 0.95).
struct SamplingOptions {
  std::optional<float> temperature;  // 0: greedy
  std::optional<int> top_k;          // 0: off
  std::optional<float> top_p, min_p;
  std::optional<float> presence_penalty, frequency_penalty, repetition_penalty;
  std::map<int32_t, float> logit_bias;
  std::optional<uint64_t> seed;  // unset: drawn; the answer tells which
};

enum class Thinking { kAuto, kOn, kOff };  // auto: as the checkpoint's template has it

// What is asked for.
//   kGenerate   an answer
//   kEmbed      one vector of length 1 for the whole prompt, from the normed output of the last
//               layer: Event::embedding of kDone. (Pictures come with messages;
//               template_options.add_generation_prompt = false leaves the generation prompt
//               out.)
//   kScore      log-probability of each token of the prompt from `score_from` on, given all
//               before it, with `logprobs` alternatives: Event::logprobs of kDone,
//               n − score_from of them
enum class Task { kGenerate, kEmbed, kScore };
enum class Pooling { kMean, kLast };  // mean of all tokens, or the last token

struct GenerationRequest {
  Task task = Task::kGenerate;
  Pooling pooling = Pooling::kMean;
  int score_from = 1;  // 1: all but the first token, before which nothing stands

  // The prompt: messages (rendered by the checkpoint's template), or text, or ids.
  std::vector<text::ChatMessage> messages;
  std::vector<checkpoint::Json> tools;
  text::TemplateOptions template_options;
  // Messages only, without thinking: what the answer has said already; it goes on from here.
  std::string answer_prefix;
  std::optional<std::string> raw_text;  // special tokens recognised
  std::optional<std::vector<int32_t>> raw_ids;

  SamplingOptions sampling;
  Thinking thinking = Thinking::kAuto;
  std::optional<int> thinking_budget;  // tokens; then the thought is closed and the answer begins
  int max_tokens = -1;                 // −1: to the end of the context
  std::vector<std::string> stop;       // the answer ends before the first of them
  bool ignore_end = false;             // go on after an end token (bench)
  int draft_tokens = -1;               // fewer drafts than the engine's; −1: as it has them
  int logprobs = -1;         // ≥ 0: log-probability of each token and of this many alternatives
  bool parse_output = true;  // reasoning, content and tool calls apart; false: all is content
  int max_tool_calls = -1;   // the answer ends after so many; −1: with as many as it makes
};

enum class FinishReason { kStop, kStopString, kLength, kToolCalls, kCancelled, kError };

struct TokenLogprob {
  int32_t id;
  float logprob;
  std::vector<std::pair<int32_t, float>> top;
};

struct Usage {
  int prompt_tokens = 0, reused_tokens = 0, completion_tokens = 0, reasoning_tokens = 0;
  int drafted_tokens = 0, accepted_drafts = 0;  // of the drafting head; verified, and right
  int vision_tokens = 0, pictures_encoded = 0, pictures_reused = 0;
  std::string reuse_note;  // why reuse stopped where it did; empty if all that could be reused was
};

struct Timings {  // seconds
  double queued = 0, prepare = 0, vision = 0, prefill = 0, decode = 0, first_token = 0;
};

struct Event {
  enum class Kind {
    kPromptProgress,  // done, total: prompt tokens computed so far, 0 when the request was found
                      // good and waits; usage: prompt tokens, from the first computed on reused
                      // ones
    kReasoning,
    kContent,  // text
    kToolCallBegin,
    kToolArguments,
    kToolCallEnd,  // index; text: name, piece of the arguments' JSON
    kDone,         // finish, usage, timings, seed
    kError,        // error
  };
  Kind kind = Kind::kContent;
  std::string text;
  int index = -1;
  int done = 0, total = 0;
  std::vector<TokenLogprob>
      logprobs;  // of the tokens behind this text; kDone: of those that no text stood for
  std::vector<float> embedding;  // kDone of an embedding
  FinishReason finish = FinishReason::kStop;
  std::string stop_string;  // which one, if kStopString
  Usage usage;
  Timings timings;
  uint64_t seed = 0;
  Error error;
};

}  // namespace godwit::engine
