// Terminal manners: colour and progress on a terminal only, Ctrl-C as a callback, standard output
// that notices a closed pipe.
#pragma once

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace godwit::cli {

bool stdout_is_terminal();
bool stderr_is_terminal();
bool stdin_is_terminal();

// Terminal control sequences, or "" where the stream is no terminal or NO_COLOR is set.
struct Style {
  std::string_view dim, bold, accent, reset;
};
Style stdout_style();

// Text as a terminal may show it: control characters other than newline and tab (escape above all)
// are made visible, so that a model cannot drive the terminal. Unchanged when standard output is no
// terminal.
std::string printable(std::string_view text);

// fmt::print, but a stream that takes no more (closed, or its disk full) does not end the program:
// of standard output main() finds it out at the end, standard error has nobody to be told.
template <class... Args>
void print_out(fmt::format_string<Args...> format, Args&&... args) {
  const std::string text = fmt::format(format, std::forward<Args>(args)...);
  std::fwrite(text.data(), 1, text.size(), stdout);
}
template <class... Args>
void print_err(fmt::format_string<Args...> format, Args&&... args) {
  const std::string text = fmt::format(format, std::forward<Args>(args)...);
  std::fwrite(text.data(), 1, text.size(), stderr);
}

// Writes and flushes; false when nobody reads any more, or the disk is full (errno tells).
bool write_out(std::string_view text);
// It did so once: nothing that follows would be read.
bool output_is_lost();

// After output failed: the error, in the words of errno.
Error output_error();

// A bar on standard error that redraws itself; nothing if that is no terminal.
class ProgressBar {
 public:
  explicit ProgressBar(std::string label);
  ~ProgressBar();  // wipes the bar
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  void show(int64_t done, int64_t total);
  void wipe();

 private:
  std::string label_;
  bool drawn_ = false;
};

// While it lives, Ctrl-C calls `on_interrupt` (from a thread of its own) instead of ending the
// program; a second one within the same scope ends the program with exit code 130.
class InterruptScope {
 public:
  explicit InterruptScope(std::function<void()> on_interrupt);
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;
  bool interrupted() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace godwit::cli
