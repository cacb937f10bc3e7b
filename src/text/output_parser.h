// OutputParser: generated tokens → reasoning, content, tool calls, as they arrive. Cut anywhere,
// the result is the same. Rules: goldens/text/README.md (tool_calls.jsonl).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/chat_message.h"

namespace godwit::text {

struct ParserEvent {
  enum class Kind {
    kReasoning,      // text
    kContent,        // text
    kToolCallBegin,  // index, text = name
    kToolArguments,  // index, text = a piece of the JSON text of the arguments (all pieces joined
                     // are one JSON object)
    kToolCallEnd,    // index
  };
  Kind kind;
  int index = -1;
  std::string text;
};

struct ParsedMessage {
  std::string reasoning_content;  // without surrounding white space; empty if none
  std::string content;
  std::vector<ToolCall> tool_calls;  // arguments typed by the tools' schemas
  bool last_call_incomplete = false;
};

struct OutputParserOptions {
  bool starts_in_thinking = false;
  std::vector<Json> tools;  // with or without the outer {"type":"function"}
};

class OutputParser {
 public:
  explicit OutputParser(OutputParserOptions options);
  ~OutputParser();
  OutputParser(OutputParser&&) noexcept;
  OutputParser& operator=(OutputParser&&) noexcept;

  // Plain text: markup is recognised by its spelling. Bytes may end inside a character.
  std::vector<ParserEvent> push_text(std::string_view bytes);
  // Token-aware: markup counts only where `is_markup_token` (ids of <think>, </think>, <tool_call>,
  // </tool_call>); the same spelling in ordinary tokens is text.
  std::vector<ParserEvent> push_token(std::string_view bytes, bool is_markup_token);
  bool is_reasoning() const;  // a thought is open
  std::vector<ParserEvent> finish();
  // After finish().
  const ParsedMessage& message() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace godwit::text
