#include "cli/terminal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "base/visible.h"

namespace godwit::cli {
namespace {

// A terminal that says that it knows no control sequences is sent none.
bool is_dumb() {
  const char* kind = std::getenv("TERM");
  return kind && std::string_view(kind) == "dumb";
}

bool colour_wanted() {
  const char* none = std::getenv("NO_COLOR");
  return !(none && *none) && !is_dumb();
}

int terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

bool output_lost = false;       // write_out failed once
int interrupt_pipe_write = -1;  // written by the signal handler

void on_sigint(int) {
  const int saved = errno;
  if (interrupt_pipe_write >= 0) {
    [[maybe_unused]] const auto written = ::write(interrupt_pipe_write, "i", 1);
  }
  errno = saved;
}

}  // namespace

bool stdout_is_terminal() { return isatty(STDOUT_FILENO); }
bool stderr_is_terminal() { return isatty(STDERR_FILENO); }
bool stdin_is_terminal() { return isatty(STDIN_FILENO); }

Style stdout_style() {
  if (!stdout_is_terminal() || !colour_wanted()) return {};
  return {"\x1b[2m", "\x1b[1m", "\x1b[36m", "\x1b[0m"};
}

std::string printable(std::string_view text) {
  return stdout_is_terminal() ? visible(text, "\n\t") : std::string(text);
}

bool write_out(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) {  // whoever shares the stream does not want it to wait
      pollfd ready{STDOUT_FILENO, POLLOUT, 0};
      ::poll(&ready, 1, -1);
      continue;
    }
    if (written <= 0) {
      output_lost = true;
      return false;
    }
    text.remove_prefix(written);
  }
  return true;
}

bool output_is_lost() { return output_lost; }

Error output_error() {
  return {fmt::format("standard output: cannot write: {}", std::strerror(errno ? errno : EIO)),
          ErrorKind::kFailed};
}

ProgressBar::ProgressBar(std::string label) : label_(std::move(label)) {}
ProgressBar::~ProgressBar() { wipe(); }

void ProgressBar::show(int64_t done, int64_t total) {
  if (!stderr_is_terminal() || is_dumb() || total <= 0) return;
  const int room =
      std::max(10, std::min(40, terminal_width() - static_cast<int>(label_.size()) - 20));
  const int filled = static_cast<int>(room * std::min(done, total) / total);
  const std::string bar = std::string(filled, '=') + std::string(room - filled, ' ');
  print_err("\r\x1b[K{} [{}] {}/{}", label_, bar, done, total);
  std::fflush(stderr);
  drawn_ = true;
}

void ProgressBar::wipe() {
  if (!drawn_) return;
  print_err("\r\x1b[K");
  std::fflush(stderr);
  drawn_ = false;
}

struct InterruptScope::State {
  int pipe_ends[2] = {-1, -1};
  struct sigaction previous {};
  std::thread watcher;
  std::atomic<bool> interrupted{false};
};

InterruptScope::InterruptScope(std::function<void()> on_interrupt)
    : state_(std::make_unique<State>()) {
  if (::pipe2(state_->pipe_ends, O_CLOEXEC) != 0)
    return;  // without a pipe Ctrl-C keeps its usual meaning
  interrupt_pipe_write = state_->pipe_ends[1];
  struct sigaction action {};
  action.sa_handler = on_sigint;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, &state_->previous);
  state_->watcher = std::thread([state = state_.get(), on_interrupt = std::move(on_interrupt)] {
    for (char signal; ::read(state->pipe_ends[0], &signal, 1) == 1 && signal == 'i';) {
      if (state->interrupted.exchange(true)) _exit(130);
      on_interrupt();
    }
  });
}

InterruptScope::~InterruptScope() {
  if (!state_->watcher.joinable()) return;
  sigaction(SIGINT, &state_->previous, nullptr);
  interrupt_pipe_write = -1;
  [[maybe_unused]] const auto written = ::write(state_->pipe_ends[1], "q", 1);
  state_->watcher.join();
  ::close(state_->pipe_ends[0]);
  ::close(state_->pipe_ends[1]);
}

bool InterruptScope::interrupted() const { return state_->interrupted; }

}  // namespace godwit::cli
