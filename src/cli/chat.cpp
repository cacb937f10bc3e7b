// godwit chat: a conversation in the terminal. Ctrl-C stops the answer, not the program.
#include <algorithm>
#include <cstdlib>
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

  // Runs until the end of input. The exit code.
  int loop(LineReader& reader) {
    const auto style = stdout_style();
    const std::string prompt = stdin_is_terminal() ? "> " : "",
                      more = stdin_is_terminal() ? "| " : "";
    while (auto line = reader.read(prompt)) {
      std::string text = std::move(*line);
      while (!text.empty() && text.back() == '\\') {
        text.back() = '\n';
        const auto next = reader.read(more);
        if (!next) break;
        text += *next;
      }
      if (trimmed(text).empty()) continue;
      if (!is_utf8(text)) {
        say("expected UTF-8 text, found other bytes");
        continue;
      }
      if (text[0] == '/') {
        if (!command(trimmed(text))) return kDone;
      } else {
        ask(text);
      }
      if (output_is_lost()) return kWorkFailed;
    }
    if (!style.reset.empty()) write_out("\n");
    return kDone;
  }

 private:
  void say(const std::string& message) { print_err("godwit: {}\n", visible(message)); }

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
      say(fmt::format("unknown command /{}; /help lists them", name));
    }
    return true;
  }

  void attach(const std::string& kind, const std::string& path) {
    if (path.empty()) return say(fmt::format("/{} needs a file", kind));
    // Read now, so that a wrong name is told at once.
    const std::vector<std::string> one = {path}, none;
    auto message =
        kind == "image" ? user_message("", one, none, 2) : user_message("", none, one, 2);
    if (!message) return say(message.error().message);
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
    if (word == "on") {
      request_.thinking = engine::Thinking::kOn;
    } else if (word == "off") {
      request_.thinking = engine::Thinking::kOff;
    } else if (word == "auto") {
      request_.thinking = engine::Thinking::kAuto;
    } else {
      say(fmt::format("/think: expected on, off or auto; found '{}'", word));
    }
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
      say("nothing to take back");
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
    if (path.empty()) return say("/save needs a file");
    checkpoint::Json::Array messages;
    for (const auto& message : request_.messages) messages.push_back(message_json(message));
    std::ofstream file(path);
    file << checkpoint::Json::array(std::move(messages)).dump() << "\n";
    file.flush();
    if (!file) say(fmt::format("{}: cannot write", path));
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
      say(shown.error().message);
      request_.messages
          .pop_back();  // the message that could not be answered: it would fail every later turn
      return;
    }
    last_ = shown->done;
    if (shown->done.finish == engine::FinishReason::kCancelled) say("stopped");
    if (shown->done.finish == engine::FinishReason::kLength) {
      const auto& usage = shown->done.usage;
      const bool is_full = usage.prompt_tokens + usage.completion_tokens >= engine_.info().context;
      say(fmt::format("the answer was cut at {} tokens{}", usage.completion_tokens,
                      is_full ? ": the context is full (/undo or /clear makes room)" : ""));
    }
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
