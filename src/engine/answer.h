// Answer: generated tokens of one request → events: whole characters, reasoning and content and
// tool calls apart, cut before a stop string. Also the thinking budget, which must know when the
// thought is open.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/request.h"
#include "engine/stop_strings.h"
#include "text/output_parser.h"
#include "text/tokenizer.h"

namespace godwit::engine {

// Ids that mean something to the engine; −1: the vocabulary has none.
struct MarkupIds {
  int32_t think = -1, think_end = -1, tool_call = -1, tool_call_end = -1;
  std::vector<int32_t> ends;         // an answer is over
  std::vector<int32_t> close_think;  // "\n</think>\n\n"
};

struct AnswerOptions {
  bool parse = true;
  bool starts_in_thinking = false;
  std::vector<checkpoint::Json> tools;
  std::vector<std::string> stop;
  std::string prefix;  // said already: part of the message, of no event
  std::optional<int> thinking_budget;
  int max_tool_calls = -1;  // −1: as many as are made
};

class Answer {
 public:
  Answer(const text::Tokenizer& tokenizer, const MarkupIds& markup, AnswerOptions options);

  // One more token of the answer (no end token). Adds events.
  void push(int32_t id, std::optional<TokenLogprob> logprob, std::vector<Event>& events);
  // The stream is over: what was held back. `is_cut`: by the number of tokens; a call that is open
  // stays open then, so that nobody takes half of it for the whole.
  void finish(bool is_cut, std::vector<Event>& events);

  // Of tokens that no event's text stood for.
  std::vector<TokenLogprob> take_logprobs() { return std::exchange(logprobs_, {}); }

  const std::optional<std::string>& stopped_by() const { return stops_.found(); }
  bool over_budget() const;  // the thought must be closed now (between two characters)
  bool has_all_calls() const {
    return options_.max_tool_calls > 0 && calls_ended_ >= options_.max_tool_calls;
  }
  int reasoning_tokens() const { return reasoning_tokens_; }
  bool called_tools() const { return called_tools_; }
  // The content that was told; message() also has what lies behind a stop string's beginning.
  const std::string& said() const { return said_; }
  // After finish(). Without parsing all is content.
  const text::ParsedMessage& message() const { return message_; }

 private:
  void push_text(std::string_view text, bool is_markup, std::vector<Event>& events);
  void convert(std::vector<text::ParserEvent> parsed, std::vector<Event>& events);
  void add(Event::Kind kind, std::string text, int index, std::vector<Event>& events);

  const text::Tokenizer& tokenizer_;
  const MarkupIds& markup_;
  AnswerOptions options_;
  text::StreamingDetokenizer detokenizer_;
  text::OutputParser parser_;
  StopStrings stops_;
  std::vector<TokenLogprob> logprobs_;  // of tokens whose text was not shown yet
  text::ParsedMessage message_;
  std::string said_;
  bool called_tools_ = false;
  int reasoning_tokens_ = 0, calls_ended_ = 0;
};

}  // namespace godwit::engine
