#include "cli/line_reader.h"

#include <editline/readline.h>
#include <fcntl.h>
#include <langinfo.h>
#include <signal.h>

#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>

#include "base/file.h"
#include "base/visible.h"
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

Result<std::optional<std::string>> read_line(std::istream& in) {
  std::string line;
  std::streambuf& bytes = *in.rdbuf();
  using Traits = std::streambuf::traits_type;
  for (auto c = bytes.sbumpc(); c != Traits::eof(); c = bytes.sbumpc()) {
    if (c == '\n') return line;
    if (line.size() == kMostInput)
      return bad_input("expected a line of at most {} bytes, found a longer one", kMostInput);
    line.push_back(Traits::to_char_type(c));
  }
  if (line.empty()) return std::nullopt;
  return line;
}

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
  if (File(history_file_, O_WRONLY | O_CREAT)) {
    read_history(history_file_.c_str());
  } else {
    drop_history();
  }
}

LineReader::~LineReader() {
  if (terminal_ && !history_file_.empty() && write_history(history_file_.c_str()) != 0)
    drop_history();
}

// The lines typed stay in memory; errno says why.
void LineReader::drop_history() {
  print_err("godwit: {}: cannot write the history: {}\n", visible(history_file_),
            std::strerror(errno));
  history_file_.clear();
}

Result<std::optional<std::string>> LineReader::read(const std::string& prompt) {
  if (!terminal_) {
    TRY(auto line, read_line(std::cin));
    if (line && !line->empty() && line->back() == '\r') line->pop_back();
    return line;
  }
  const IgnoreInterrupt ignore;
  char* line = readline(prompt.c_str());
  if (!line) {
    if (interrupted) {  // not errno: going on after Ctrl-Z, or a resized window, leaves EINTR too
      std::puts("");
      return std::optional(std::string());
    }
    return std::nullopt;
  }
  std::string text = line;
  std::free(line);
  if (!text.empty()) add_history(text.c_str());
  return text;
}

}  // namespace godwit::cli
