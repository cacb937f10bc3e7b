#include "cli/line_reader.h"

#include <editline/readline.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "cli/terminal.h"

namespace godwit::cli {
namespace {
constexpr int kHistoryLines = 1000;

// At the prompt Ctrl-C drops the line instead of ending the program; libedit's own handler would
// re-raise it.
class IgnoreInterrupt {
 public:
  IgnoreInterrupt() {
    struct sigaction ignore {};
    ignore.sa_handler = [](int) {};
    sigaction(SIGINT, &ignore, &previous_);
  }
  ~IgnoreInterrupt() { sigaction(SIGINT, &previous_, nullptr); }

 private:
  struct sigaction previous_ {};
};
}  // namespace

LineReader::LineReader(std::string history_file)
    : history_file_(std::move(history_file)),
      terminal_(stdin_is_terminal() && stdout_is_terminal()) {
  if (!terminal_) return;
  using_history();
  stifle_history(kHistoryLines);
  if (history_file_.empty()) return;
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(history_file_).parent_path(), ignored);
  read_history(history_file_.c_str());
}

LineReader::~LineReader() {
  if (terminal_ && !history_file_.empty()) write_history(history_file_.c_str());
}

std::optional<std::string> LineReader::read(const std::string& prompt) {
  if (!terminal_) {
    std::string line;
    if (!std::getline(std::cin, line)) return std::nullopt;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    return line;
  }
  const IgnoreInterrupt ignore;
  char* line = readline(prompt.c_str());
  if (!line) {
    if (errno == EINTR) {
      std::puts("");
      return std::string();
    }
    return std::nullopt;
  }
  std::string text = line;
  std::free(line);
  if (!text.empty()) add_history(text.c_str());
  return text;
}

}  // namespace godwit::cli
