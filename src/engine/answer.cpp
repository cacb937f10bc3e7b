#include "engine/answer.h"

#include <utility>

namespace godwit::engine {

using text::ParserEvent;

Answer::Answer(const text::Tokenizer& tokenizer, const MarkupIds& markup, AnswerOptions options)
    : tokenizer_(tokenizer),
      markup_(markup),
      options_(std::move(options)),
      parser_({.starts_in_thinking = options_.starts_in_thinking, .tools = options_.tools}),
      stops_(options_.stop),
      said_(options_.prefix) {
  parser_.push_token(options_.prefix, false);
}

void Answer::push(int32_t id, std::optional<TokenLogprob> logprob, std::vector<Event>& events) {
  if (logprob) logprobs_.push_back(std::move(*logprob));
  const bool is_markup = id >= 0 && (id == markup_.think || id == markup_.think_end ||
                                     id == markup_.tool_call || id == markup_.tool_call_end);
  if (is_markup || tokenizer_.is_special(id)) {
    push_text(detokenizer_.finish(), false, events);
    // Other special tokens are not shown: they are no part of what is said.
    if (is_markup) push_text(tokenizer_.token_bytes(id), true, events);
  } else {
    push_text(detokenizer_.push(tokenizer_.token_bytes(id)), false, events);
  }
  reasoning_tokens_ += parser_.is_reasoning() && id != markup_.think;
}

void Answer::push_text(std::string_view text, bool is_markup, std::vector<Event>& events) {
  if (text.empty()) return;
  auto parsed = parser_.push_token(text, is_markup);
  if (options_.parse) {
    convert(std::move(parsed), events);
  } else {
    std::string shown = stops_.push(text);
    message_.content += shown;
    add(Event::Kind::kContent, std::move(shown), -1, events);
  }
}

void Answer::convert(std::vector<ParserEvent> parsed, std::vector<Event>& events) {
  for (ParserEvent& event : parsed) {
    if (stops_.found() || has_all_calls()) return;
    switch (event.kind) {
      case ParserEvent::Kind::kReasoning:
        add(Event::Kind::kReasoning, std::move(event.text), -1, events);
        break;
      case ParserEvent::Kind::kContent:
        add(Event::Kind::kContent, stops_.push(event.text), -1, events);
        break;
      case ParserEvent::Kind::kToolCallBegin:
        called_tools_ = true;
        add(Event::Kind::kContent, stops_.finish(), -1, events);
        add(Event::Kind::kToolCallBegin, std::move(event.text), event.index, events);
        break;
      case ParserEvent::Kind::kToolArguments:
        add(Event::Kind::kToolArguments, std::move(event.text), event.index, events);
        break;
      case ParserEvent::Kind::kToolCallEnd:
        ++calls_ended_;
        add(Event::Kind::kToolCallEnd, {}, event.index, events);
        break;
    }
  }
}

void Answer::add(Event::Kind kind, std::string text, int index, std::vector<Event>& events) {
  if (text.empty() && (kind == Event::Kind::kContent || kind == Event::Kind::kReasoning)) return;
  if (kind == Event::Kind::kContent) said_ += text;
  Event event;
  event.kind = kind;
  event.text = std::move(text);
  event.index = index;
  event.logprobs = std::exchange(logprobs_, {});
  events.push_back(std::move(event));
}

void Answer::finish(bool is_cut, std::vector<Event>& events) {
  if (!stops_.found()) push_text(detokenizer_.finish(), false, events);
  if (options_.parse) {
    auto parsed = parser_.finish();
    message_ = parser_.message();
    if (is_cut && message_.last_call_incomplete) {
      std::erase_if(parsed, [](const ParserEvent& event) {
        return event.kind == ParserEvent::Kind::kToolArguments ||
               event.kind == ParserEvent::Kind::kToolCallEnd;
      });
    }
    convert(std::move(parsed), events);
  }
  if (!stops_.found()) {
    std::string held = stops_.finish();
    if (!options_.parse) message_.content += held;
    add(Event::Kind::kContent, std::move(held), -1, events);
  }
}

bool Answer::over_budget() const {
  return options_.thinking_budget && parser_.is_reasoning() &&
         reasoning_tokens_ >= *options_.thinking_budget && !detokenizer_.holds_back() &&
         !markup_.close_think.empty();
}

}  // namespace godwit::engine
