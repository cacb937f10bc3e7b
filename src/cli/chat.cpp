// godwit chat: a conversation in the terminal. Ctrl-C stops the answer, not the program.
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "base/utf8.h"
#include "base/visible.h"
#include "cli/line_reader.h"
#include "cli/session.h"
#include "cli/terminal.h"

namespace godwit::cli {
namespace {

constexpr const char* kHelp =
    "/image FILE        show a picture with the next message\n"
    "/video FILE        show a clip (a file, or a folder of frames)\n"
    "/system TEXT       set the system message, and start again\n"
    "/think on|off|auto whether the model thinks first\n"
    "/retry             answer the last message again\n"
    "/undo              take back the last message and its answer\n"
    "/clear             start again\n"
    "/save FILE         write the conversation as JSON\n"
    "/stats             speed and reuse of the last answer\n"
    "/quit              leave (or Ctrl-D)\n"
    "A line that ends in \\ goes on in the next line. Ctrl-C stops an answer.\n";

std::string default_history_file() {
  if (const char* state = std::getenv("XDG_STATE_HOME"); state && *state)
    return std::string(state) + "/godwit/history";
  if (const char* home = std::getenv("HOME"); home && *home)
    return std::string(home) + "/.local/state/godwit/history";
  return {};
}

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t"), last = text.find_last_not_of(" \t");
  return first == std::string::npos ? std::string() : text.substr(first, last - first + 1);
}

checkpoint::Json message_json(const text::ChatMessage& message) {
  using checkpoint::Json;
  Json json = Json::object({{"role", Json::string(message.role)}});
  Json::Array parts;
  for (const auto& part : message.content) {
    const bool is_text = part.kind == text::ContentPart::Kind::kText;
    const char* type = is_text                                        ? "text"
                       : part.kind == text::ContentPart::Kind::kImage ? "image"
                                                                      : "video";
    parts.push_back(Json::object({{"type", Json::string(type)},
                                  {type, Json::string(is_text ? part.text : part.media->name)}}));
  }
  json.set("content", Json::array(std::move(parts)));
  if (message.reasoning_content)
    json.set("reasoning_content", Json::string(*message.reasoning_content));
  Json::Array calls;
  for (const auto& call : message.tool_calls)
    calls.push_back(Json::object({{"function", Json::object({{"name", Json::string(call.name)},
                                                             {"arguments", call.arguments}})}}));
  if (!calls.empty()) json.set("tool_calls", Json::array(std::move(calls)));
  return json;
}

class Chat {
 public:
  Chat(engine::Engine& engine, engine::GenerationRequest request, ThinkingDisplay thinking)
      : engine_(engine), request_(std::move(request)), thinking_(thinking) {}

  // Runs until the end of input. The exit code: somebody at a terminal has seen what failed, a
  // script has not.
  Result<int> loop(LineReader& reader) {
    const auto style = stdout_style();
    while (true) {
      TRY(const auto text, read_message(reader));
      if (!text) break;
      if (trimmed(*text).empty()) continue;
      if (!is_utf8(*text)) {
        fault({"expected UTF-8 text, found other bytes", ErrorKind::kBadInput});
      } else if ((*text)[0] != '/') {
        ask(*text);
      } else if (!command(trimmed(*text))) {
        return exit_code();
      }
      if (output_is_lost()) return kWorkFailed;
      if (was_stopped_ && !stdin_is_terminal()) return kInterrupted;  // the rest of a script, too
    }
    if (!style.reset.empty()) write_out("\n");
    return exit_code();
  }

 private:
  // A line, with those that it goes on in.
  static Result<std::optional<std::string>> read_message(LineReader& reader) {
    TRY(auto text, reader.read(stdin_is_terminal() ? "> " : ""));
    while (text && text->ends_with('\\')) {
      text->back() = '\n';
      TRY(const auto next, reader.read(stdin_is_terminal() ? "| " : ""));
      if (!next) break;
      if (text->size() + next->size() > kMostInput)
        return bad_input("expected a message of at most {} bytes, found a longer one", kMostInput);
      *text += *next;
    }
    return text;
  }

  int exit_code() const { return stdin_is_terminal() ? kDone : first_fault_; }

  void say(const std::string& message) { print_err("godwit: {}\n", visible(message)); }
  void fault(const Error& error) {
    const int code = report(error);
    if (first_fault_ == kDone) first_fault_ = code;
  }
  template <class... Args>
  void wrong(fmt::format_string<Args...> format, Args&&... args) {
    fault({fmt::format(format, std::forward<Args>(args)...), ErrorKind::kBadInput});
  }

  // False: leave.
  bool command(const std::string& line) {
    const size_t space = line.find(' ');
    const std::string name = line.substr(1, space == std::string::npos ? space : space - 1);
    const std::string argument = space == std::string::npos ? "" : trimmed(line.substr(space));
    if (name == "quit" || name == "exit") return false;
    if (name == "help") {
      print_err("{}", kHelp);
    } else if (name == "image" || name == "video") {
      attach(name, argument);
    } else if (name == "system") {
      set_system(argument);
    } else if (name == "think") {
      set_thinking(argument);
    } else if (name == "clear") {
      clear();
    } else if (name == "undo") {
      undo();
    } else if (name == "retry") {
      retry();
    } else if (name == "save") {
      save(argument);
    } else if (name == "stats") {
      say(last_ ? summary(*last_) : "nothing was answered yet");
    } else {
      wrong("unknown command /{}; /help lists them", name);
    }
    return true;
  }

  void attach(const std::string& kind, const std::string& path) {
    if (path.empty()) return wrong("/{} needs a file", kind);
    // Read now, so that a wrong name is told at once.
    const std::vector<std::string> one = {path}, none;
    auto message = kind == "image" ? user_message("", one, none) : user_message("", none, one);
    if (!message) return fault(message.error());
    attached_.insert(attached_.end(), message->content.begin(), message->content.end());
  }

  void set_system(const std::string& text) {
    std::erase_if(request_.messages, [](const auto& message) { return message.role == "system"; });
    clear();
    if (text.empty()) return;
    text::ChatMessage system;
    system.role = "system";
    system.content.push_back(
        {.kind = text::ContentPart::Kind::kText, .text = text, .media = nullptr});
    request_.messages.insert(request_.messages.begin(), std::move(system));
  }

  void set_thinking(const std::string& word) {
    const auto thinking = parse_think("/think", word);
    if (!thinking) return fault(thinking.error());
    request_.thinking = *thinking;
  }

  void clear() {
    std::erase_if(request_.messages, [](const auto& message) { return message.role != "system"; });
    attached_.clear();
  }

  // Takes back everything from the last user message on; false if there is none.
  bool undo() {
    auto& messages = request_.messages;
    while (!messages.empty() && messages.back().role == "assistant") messages.pop_back();
    if (messages.empty() || messages.back().role != "user") {
      wrong("nothing to take back");
      return false;
    }
    taken_back_ = std::move(messages.back());
    messages.pop_back();
    return true;
  }

  void retry() {
    if (!undo()) return;
    request_.messages.push_back(std::move(taken_back_));
    answer();
  }

  void save(const std::string& path) {
    if (path.empty()) return wrong("/save needs a file");
    checkpoint::Json::Array messages;
    for (const auto& message : request_.messages) messages.push_back(message_json(message));
    errno = 0;
    std::ofstream file(path);
    file << checkpoint::Json::array(std::move(messages)).dump() << "\n";
    file.flush();
    if (!file)
      fault({fmt::format("{}: cannot write: {}", path, std::strerror(errno ? errno : EIO)),
             ErrorKind::kFailed});
  }

  void ask(const std::string& text) {
    text::ChatMessage message;
    message.role = "user";
    message.content = std::move(attached_);
    attached_.clear();
    message.content_is_parts = !message.content.empty();
    message.content.push_back(
        {.kind = text::ContentPart::Kind::kText, .text = text, .media = nullptr});
    request_.messages.push_back(std::move(message));
    answer();
  }

  void answer() {
    auto shown = show_answer(engine_, request_, thinking_);
    if (!shown) {
      fault(shown.error());
      request_.messages
          .pop_back();  // the message that could not be answered: it would fail every later turn
      return;
    }
    last_ = shown->done;
    was_stopped_ = shown->done.finish == engine::FinishReason::kCancelled;
    if (was_stopped_) say("stopped");
    if (const std::string note = cut_note(engine_, shown->done); !note.empty())
      say(note + (note.ends_with("full") ? " (/undo or /clear makes room)" : ""));
    if (!shown->message.content.empty() || !shown->message.tool_calls.empty() ||
        shown->message.reasoning_content) {
      request_.messages.push_back(std::move(shown->message));
    } else {
      request_.messages.pop_back();
    }
  }

  engine::Engine& engine_;
  engine::GenerationRequest request_;
  ThinkingDisplay thinking_;
  std::vector<text::ContentPart> attached_;
  text::ChatMessage taken_back_;
  std::optional<engine::Event> last_;
  int first_fault_ = kDone;   // its exit code
  bool was_stopped_ = false;  // the last answer, by Ctrl-C
};

Result<int> chat(const ChatOptions& options) {
  TRY(auto request, request_from(options.answer));
  ModelOptions model = options.model;
  if (!options.no_disk_cache && !model.no_prefix_cache)
    model.conversations = conversations_folder();
  TRY(const auto engine, open_engine(model));
  if (stdin_is_terminal() && stderr_is_terminal()) {
    const auto& info = engine->info();
    print_err("{} · {} threads, {} · /help lists the commands\n", info.name, info.threads,
              info.isa);
  }
  LineReader reader(options.history_file.empty() ? default_history_file() : options.history_file);
  return Chat(*engine, std::move(request), ThinkingDisplay::kDimmed).loop(reader);
}

}  // namespace

int chat_command(const ChatOptions& options) {
  const auto code = chat(options);
  return code ? *code : report(code.error());
}

}  // namespace godwit::cli
