// Two layers. The upper one makes whole characters of bytes and tells markup (<think>, </think>,
// <tool_call> and </tool_call>: by spelling, or by token) from text. The lower one is a machine
// over those two; each state, and what leads out of it:
//
//   reasoning        </think> → content, <tool_call> → wrapper
//   content          <tool_call> → wrapper
//   wrapper          <function= → name, </tool_call> → content
//   name             > → body
//   body             <parameter= → parameter name, </function> → after function
//   parameter name   > → value
//   value            </parameter> and every tag that a body knows → body
//   after function   <function= → name, </tool_call> → content, <tool_call> → wrapper
//
// Text is passed on as soon as it cannot be the start of a tag. Inside a value, markup is text; a
// value ends at the next function or parameter tag, unless a whole call is quoted in it
// (<tool_call> and <function= follow one another).
#include "text/output_parser.h"

#include <algorithm>
#include <array>

#include "text/coerce.h"
#include "text/tokenizer.h"
#include "text/trim.h"

namespace godwit::text {
namespace {

enum class Markup { kThinkBegin, kThinkEnd, kCallBegin, kCallEnd };
constexpr std::string_view kMarkup[] = {"<think>", "</think>", "<tool_call>", "</tool_call>"};

constexpr std::string_view kFunction = "<function=";
constexpr std::string_view kFunctionEnd = "</function>";
constexpr std::string_view kParameter = "<parameter=";
constexpr std::string_view kParameterEnd = "</parameter>";
constexpr std::string_view kBlank = " \t\r\n";

struct Found {
  size_t at;             // of the tag; or of what may become one, or the text's size
  std::string_view tag;  // empty: none is complete
};

// The first of `tags`.
template <size_t n>
Found find_tag(std::string_view text, const std::array<std::string_view, n>& tags) {
  for (size_t at = text.find('<'); at != std::string_view::npos; at = text.find('<', at + 1)) {
    const std::string_view rest = text.substr(at);
    for (const std::string_view tag : tags) {
      if (rest.starts_with(tag)) return {at, tag};
      if (tag.starts_with(rest)) return {at, {}};
    }
  }
  return {text.size(), {}};
}

std::string json_characters(std::string_view text) {
  const std::string quoted = Json::string(std::string(text)).dump();
  return quoted.substr(1, quoted.size() - 2);
}

// Text without surrounding white space, though it comes in pieces.
class TrimmedStream {
 public:
  bool is_empty() const { return text_.empty(); }
  const std::string& text() const { return text_; }

  // What may be shown now.
  std::string push(std::string_view piece) {
    if (text_.empty()) piece = trim_start(piece);
    const std::string_view solid = trim_end(piece);
    std::string shown;
    if (!solid.empty()) {
      shown = space_ + std::string(solid);
      space_.clear();
    }
    space_ += piece.substr(solid.size());
    text_ += shown;
    return shown;
  }

 private:
  std::string text_;
  std::string space_;  // shown only if something follows
};

struct Tool {
  std::string name;
  const Json* parameters;  // a schema of type object; may be null
};

std::vector<Tool> read_tools(const std::vector<Json>& tools) {
  std::vector<Tool> read;
  for (const Json& tool : tools) {
    const Json* inner = tool.find("function");
    const Json& function = inner ? *inner : tool;
    const Json* name = function.find("name");
    if (name && name->is_string()) read.push_back({name->as_string(), function.find("parameters")});
  }
  return read;
}

// One parameter while its value arrives.
struct Parameter {
  enum class Form {
    kWhole,      // typed when complete
    kMaybeNull,  // text so far a start of "null"
    kStream,     // text, passed on
  };
  std::string key;
  SchemaTypes types;
  Form form = Form::kWhole;
  std::string value;     // without the newline at each end
  bool is_new = true;    // nothing came yet
  bool newline = false;  // held back: perhaps the one before the end
};

}  // namespace

struct OutputParser::State {
  enum class Mode {
    kReasoning,
    kContent,
    kWrapper,
    kAfterFunction,
    kName,
    kBody,
    kParameterName,
    kValue
  };
  enum class Quote { kNone, kOpened, kInside };  // of a whole call in a value

  explicit State(OutputParserOptions given)
      : options(std::move(given)),
        tools(read_tools(options.tools)),
        mode(options.starts_in_thinking ? Mode::kReasoning : Mode::kContent) {}

  // ---- upper layer
  void spelled(std::string_view text);
  void token(std::string_view bytes, bool is_markup);

  // ---- lower layer
  void text(std::string_view piece);
  void markup(Markup what);
  void finish();
  bool step();  // false: more text is needed
  bool content_step();
  bool after_function_step();
  bool name_step();
  bool body_step();
  bool value_step();
  void markup_in_body(Markup what);
  void markup_in_value(Markup what);

  // ---- output
  void emit(ParserEvent::Kind kind, int index, std::string text);
  void add_reasoning(std::string_view piece) {
    emit(ParserEvent::Kind::kReasoning, -1, reasoning.push(piece));
  }
  void add_content(std::string_view piece) {
    emit(ParserEvent::Kind::kContent, -1, content.push(piece));
  }
  int call_index() const { return static_cast<int>(message.tool_calls.size()) - 1; }
  void begin_call(std::string_view name);
  void end_call();
  void begin_parameter(std::string_view key);
  void add_value(std::string_view piece);
  void end_parameter();
  void emit_arguments(std::string piece);
  void emit_key();

  OutputParserOptions options;
  std::vector<Tool> tools;

  StreamingDetokenizer characters;
  std::string held;  // may become markup

  Mode mode;
  std::string buffer;  // may become a tag
  std::string gap;     // kAfterFunction: what came since
  std::string name;    // kName, kParameterName: so far
  bool is_wrapped = true;
  Quote quote = Quote::kNone;

  bool in_call = false;        // between begin_call and end_call, and the call has a name
  const Tool* tool = nullptr;  // of the call; null if unknown
  bool has_members = false;
  Parameter parameter;

  TrimmedStream reasoning, content;
  ParsedMessage message;
  std::vector<ParserEvent> events;
};

void OutputParser::State::spelled(std::string_view bytes) {
  held += characters.push(bytes);
  const std::array<std::string_view, 4> tags = {kMarkup[0], kMarkup[1], kMarkup[2], kMarkup[3]};
  size_t done = 0;
  for (;;) {
    const std::string_view rest = std::string_view(held).substr(done);
    const Found found = find_tag(rest, tags);
    text(rest.substr(0, found.at));
    done += found.at + found.tag.size();
    if (found.tag.empty()) break;
    markup(static_cast<Markup>(std::find(tags.begin(), tags.end(), found.tag) - tags.begin()));
  }
  held.erase(0, done);
}

void OutputParser::State::token(std::string_view bytes, bool is_markup) {
  text(std::exchange(held, {}));
  const auto* known = std::find(std::begin(kMarkup), std::end(kMarkup), bytes);
  if (is_markup && known != std::end(kMarkup)) {
    text(characters.finish());
    markup(static_cast<Markup>(known - kMarkup));
  } else {
    text(characters.push(bytes));
  }
}

void OutputParser::State::text(std::string_view piece) {
  if (piece.empty()) return;
  buffer += piece;
  while (!buffer.empty() && step()) {
  }
}

bool OutputParser::State::step() {
  switch (mode) {
    case Mode::kReasoning:
      add_reasoning(std::exchange(buffer, {}));
      return false;
    case Mode::kContent:
      return content_step();
    case Mode::kWrapper: {
      const Found found = find_tag(buffer, std::array{kFunction});
      buffer.erase(0, found.at + found.tag.size());  // text in the wrapper is nobody's
      if (found.tag.empty()) return false;
      mode = Mode::kName;
      is_wrapped = true;
      return true;
    }
    case Mode::kAfterFunction:
      return after_function_step();
    case Mode::kName:
    case Mode::kParameterName:
      return name_step();
    case Mode::kBody:
      return body_step();
    case Mode::kValue:
      return value_step();
  }
  return false;
}

// A call whose <tool_call> was forgotten counts if it names a tool of the request.
bool OutputParser::State::content_step() {
  Found found = find_tag(buffer, std::array{kFunction});
  if (!found.tag.empty()) {
    const std::string_view rest = std::string_view(buffer).substr(found.at + kFunction.size());
    const std::string_view given = rest.substr(0, rest.find('>'));
    const bool is_complete = given.size() < rest.size();
    const bool is_tool = std::any_of(tools.begin(), tools.end(), [&](const Tool& known) {
      return is_complete ? known.name == given : known.name.starts_with(given);
    });
    if (is_tool && is_complete) {
      add_content(std::string_view(buffer).substr(0, found.at));
      is_wrapped = false;
      const std::string called(given);
      buffer.erase(0, found.at + kFunction.size() + called.size() + 1);
      mode = Mode::kBody;
      begin_call(called);
      return true;
    }
    if (!is_tool) {
      add_content(std::string_view(buffer).substr(0, found.at + 1));
      buffer.erase(0, found.at + 1);
      return true;
    }
  }
  add_content(std::string_view(buffer).substr(0, found.at));
  buffer.erase(0, found.at);
  return false;
}

// Text behind a function is nobody's if its wrapper ends or goes on; a model that forgot
// </tool_call> meant it as content.
bool OutputParser::State::after_function_step() {
  const Found found = find_tag(buffer, std::array{kFunction});
  gap += std::string_view(buffer).substr(0, found.at);
  buffer.erase(0, found.at + found.tag.size());
  if (found.tag.empty()) return false;
  gap.clear();
  mode = Mode::kName;
  return true;
}

// A name ends at '>'; at a line's end or the next tag if the '>' was forgotten.
bool OutputParser::State::name_step() {
  const size_t end = std::min(buffer.find_first_of(">\n<"), buffer.size());
  name += buffer.substr(0, end);
  if (end == buffer.size()) {
    buffer.clear();
    return false;
  }
  buffer.erase(0, buffer[end] == '>' ? end + 1 : end);
  const std::string whole = std::exchange(name, {});
  if (mode == Mode::kName) {
    mode = Mode::kBody;
    begin_call(trim(whole));
  } else {
    mode = Mode::kValue;
    begin_parameter(trim(whole));
  }
  return true;
}

bool OutputParser::State::body_step() {
  const Found found = find_tag(buffer, std::array{kParameter, kFunctionEnd, kFunction});
  buffer.erase(0, found.at + found.tag.size());
  if (found.tag.empty()) return false;
  if (found.tag == kParameter) {
    mode = Mode::kParameterName;
  } else {
    end_call();
    mode = found.tag == kFunction ? Mode::kName
           : is_wrapped           ? Mode::kAfterFunction
                                  : Mode::kContent;
  }
  return true;
}

bool OutputParser::State::value_step() {
  if (quote == Quote::kOpened) {
    const size_t blank = std::min(buffer.find_first_not_of(kBlank), buffer.size());
    add_value(std::string_view(buffer).substr(0, blank));
    buffer.erase(0, blank);
    if (!buffer.starts_with(kFunction) && kFunction.starts_with(buffer)) return false;
    quote = buffer.starts_with(kFunction) ? Quote::kInside : Quote::kNone;
  }
  if (quote == Quote::kInside) {
    add_value(std::exchange(buffer, {}));
    return false;
  }
  const Found found =
      find_tag(buffer, std::array{kParameter, kParameterEnd, kFunctionEnd, kFunction});
  add_value(std::string_view(buffer).substr(0, found.at));
  // Any other tag than the value's own end is the body's business.
  buffer.erase(0, found.at + (found.tag == kParameterEnd ? found.tag.size() : 0));
  if (found.tag.empty()) return false;
  end_parameter();
  mode = Mode::kBody;
  return true;
}

void OutputParser::State::markup(Markup what) {
  const std::string_view spelling = kMarkup[static_cast<int>(what)];
  switch (mode) {
    case Mode::kReasoning:
      if (what == Markup::kThinkEnd) {
        mode = Mode::kContent;
      } else if (what == Markup::kCallBegin) {
        mode = Mode::kWrapper;
      } else if (what == Markup::kCallEnd || !reasoning.is_empty()) {
        add_reasoning(spelling);
      }
      return;
    case Mode::kContent: {
      add_content(std::exchange(buffer, {}));
      const bool is_start = !options.starts_in_thinking && content.is_empty() &&
                            reasoning.is_empty() && message.tool_calls.empty();
      if (what == Markup::kCallBegin) {
        mode = Mode::kWrapper;
      } else if (what == Markup::kThinkBegin && is_start) {
        mode = Mode::kReasoning;
      } else if (what == Markup::kThinkBegin) {
        add_content(spelling);
      }
      return;
    }
    case Mode::kWrapper:
    case Mode::kAfterFunction:
      gap += std::exchange(buffer, {});
      if (what == Markup::kCallBegin && mode == Mode::kAfterFunction) add_content(gap);
      gap.clear();
      if (what == Markup::kCallEnd) mode = Mode::kContent;
      if (what == Markup::kCallBegin) mode = Mode::kWrapper;
      return;
    case Mode::kName:
      mode = Mode::kBody;
      begin_call(trim(std::exchange(name, {})));
      return markup_in_body(what);
    case Mode::kBody:
    case Mode::kParameterName:
      name.clear();
      return markup_in_body(what);
    case Mode::kValue:
      return markup_in_value(what);
  }
}

void OutputParser::State::markup_in_body(Markup what) {
  buffer.clear();
  if (what != Markup::kCallBegin && what != Markup::kCallEnd) return;
  end_call();
  mode = what == Markup::kCallBegin ? Mode::kWrapper : Mode::kContent;
}

void OutputParser::State::markup_in_value(Markup what) {
  add_value(std::exchange(buffer, {}));
  add_value(kMarkup[static_cast<int>(what)]);
  if (quote == Quote::kInside && what != Markup::kCallEnd) return;
  quote = what == Markup::kCallBegin ? Quote::kOpened : Quote::kNone;
}

void OutputParser::State::finish() {
  if (mode == Mode::kAfterFunction) {
    add_content(gap);  // and not the start of a tag
  } else {
    text(std::exchange(held, {}));
    text(characters.finish());
  }
  if (mode == Mode::kContent) add_content(std::exchange(buffer, {}));
  if (mode == Mode::kName) begin_call(trim(std::exchange(name, {})));
  // What has been passed on stays; what cannot be typed yet was never said.
  if (mode == Mode::kValue && parameter.form == Parameter::Form::kStream) end_parameter();
  if (in_call) {
    end_call();
    message.last_call_incomplete = true;
  }
  message.reasoning_content = reasoning.text();
  message.content = content.text();
}

void OutputParser::State::emit(ParserEvent::Kind kind, int index, std::string piece) {
  const bool is_text =
      kind != ParserEvent::Kind::kToolCallBegin && kind != ParserEvent::Kind::kToolCallEnd;
  if (is_text && piece.empty()) return;
  if (is_text && !events.empty() && events.back().kind == kind && events.back().index == index) {
    events.back().text += piece;
    return;
  }
  events.push_back({kind, index, std::move(piece)});
}

// A call without a name is read to its end, and is none.
void OutputParser::State::begin_call(std::string_view called) {
  if (called.empty()) return;
  in_call = true;
  has_members = false;
  const auto known =
      std::find_if(tools.begin(), tools.end(), [&](const Tool& t) { return t.name == called; });
  tool = known == tools.end() ? nullptr : &*known;
  ToolCall call;
  call.name = called;
  call.arguments = Json::object();
  message.tool_calls.push_back(std::move(call));
  emit(ParserEvent::Kind::kToolCallBegin, call_index(), std::string(called));
}

void OutputParser::State::end_call() {
  if (!in_call) return;
  emit_arguments(has_members ? "}" : "{}");
  emit(ParserEvent::Kind::kToolCallEnd, call_index(), {});
  in_call = false;
}

void OutputParser::State::begin_parameter(std::string_view key) {
  parameter = Parameter();
  parameter.key = key;
  quote = Quote::kNone;
  const Json* properties =
      tool && tool->parameters ? tool->parameters->find("properties") : nullptr;
  if (properties) parameter.types = schema_types(properties->find(key), *tool->parameters);
  if (parameter.types.is_nullable_text()) parameter.form = Parameter::Form::kMaybeNull;
  if (parameter.types.is_text()) {
    parameter.form = Parameter::Form::kStream;
    emit_key();
    emit_arguments("\"");
  }
}

void OutputParser::State::add_value(std::string_view piece) {
  if (piece.empty()) return;
  if (std::exchange(parameter.is_new, false) && piece[0] == '\n') piece.remove_prefix(1);
  if (piece.empty()) return;
  std::string grown(std::exchange(parameter.newline, piece.ends_with('\n')) ? 1 : 0, '\n');
  if (parameter.newline) piece.remove_suffix(1);
  grown += piece;
  parameter.value += grown;
  if (parameter.form == Parameter::Form::kMaybeNull) {
    std::string lower = parameter.value.substr(0, 5);
    for (char& c : lower) c = static_cast<char>(c | 0x20);
    if (std::string_view("null").starts_with(lower)) return;
    parameter.form = Parameter::Form::kStream;
    emit_key();
    emit_arguments(fmt::format("\"{}", json_characters(parameter.value)));
    return;
  }
  if (parameter.form == Parameter::Form::kStream) emit_arguments(json_characters(grown));
}

void OutputParser::State::end_parameter() {
  Json value;
  if (parameter.form == Parameter::Form::kStream) {
    value = Json::string(std::move(parameter.value));
    emit_arguments("\"");
  } else {
    value = coerce(parameter.value, parameter.types);
    emit_key();
    emit_arguments(value.dump());
  }
  if (in_call) message.tool_calls.back().arguments.set(std::move(parameter.key), std::move(value));
}

void OutputParser::State::emit_arguments(std::string piece) {
  if (in_call) emit(ParserEvent::Kind::kToolArguments, call_index(), std::move(piece));
}

// A repeated key is repeated in the stream: the last value wins, at the first one's place, as in
// `message`.
void OutputParser::State::emit_key() {
  emit_arguments(fmt::format("{}{}:", std::exchange(has_members, true) ? ',' : '{',
                             Json::string(parameter.key).dump()));
}

OutputParser::OutputParser(OutputParserOptions options)
    : state_(std::make_unique<State>(std::move(options))) {}
OutputParser::~OutputParser() = default;
OutputParser::OutputParser(OutputParser&&) noexcept = default;
OutputParser& OutputParser::operator=(OutputParser&&) noexcept = default;

std::vector<ParserEvent> OutputParser::push_text(std::string_view bytes) {
  state_->spelled(bytes);
  return std::exchange(state_->events, {});
}

std::vector<ParserEvent> OutputParser::push_token(std::string_view bytes, bool is_markup_token) {
  state_->token(bytes, is_markup_token);
  return std::exchange(state_->events, {});
}

bool OutputParser::is_reasoning() const { return state_->mode == State::Mode::kReasoning; }

std::vector<ParserEvent> OutputParser::finish() {
  state_->finish();
  return std::exchange(state_->events, {});
}

const ParsedMessage& OutputParser::message() const { return state_->message; }

}  // namespace godwit::text
