#include "cli/line_reader.h"

#include <editline/readline.h>
#include <langinfo.h>
#include <signal.h>

#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>

#include "cli/terminal.h"

namespace godwit::cli {
namespace {
constexpr int kHistoryLines = 1000;
volatile std::sig_atomic_t interrupted = 0;  // Ctrl-C since the line was begun

// At the prompt Ctrl-C drops the line instead of ending the program; libedit's own handler would
// re-raise it.
class IgnoreInterrupt {
 public:
  IgnoreInterrupt() {
    struct sigaction ignore {};
    ignore.sa_handler = [](int) { interrupted = 1; };
    interrupted = 0;
    sigaction(SIGINT, &ignore, &previous_);
  }
  ~IgnoreInterrupt() { sigaction(SIGINT, &previous_, nullptr); }

 private:
  struct sigaction previous_ {};
};

// libedit takes characters as the locale has them, and drops the others; until a program asks, that
// is ASCII. Text is UTF-8 here, whatever the environment says.
void read_utf8() {
  std::setlocale(LC_CTYPE, "");
  if (std::strcmp(::nl_langinfo(CODESET), "UTF-8") != 0) std::setlocale(LC_CTYPE, "C.UTF-8");
}

}  // namespace

LineReader::LineReader(std::string history_file)
    : history_file_(std::move(history_file)),
      terminal_(stdin_is_terminal() && stdout_is_terminal()) {
  if (!terminal_) return;
  read_utf8();
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
    if (interrupted) {  // not errno: going on after Ctrl-Z, or a resized window, leaves EINTR too
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
