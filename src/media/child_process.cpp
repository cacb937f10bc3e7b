#include "media/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "base/visible.h"

namespace godwit::media {
namespace {

constexpr int kChildInput = 3;
constexpr size_t kErrorBytes = 4096;  // kept of standard error

struct Pipe {
  int read = -1, write = -1;
  ~Pipe() {
    close_one(read);
    close_one(write);
  }
  static void close_one(int& fd) {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }
};

struct Child {
  pid_t pid = -1;
  // Kills the whole group if it still runs.
  ~Child() {
    if (pid > 0) {
      ::kill(-pid, SIGKILL);
      wait();
    }
  }
  int wait() {
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    pid = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
};

std::vector<std::string> small_environment() {
  std::vector<std::string> variables = {"LC_ALL=C", "AV_LOG_FORCE_NOCOLOR=1"};
  for (const char* name : {"PATH", "LD_LIBRARY_PATH"}) {
    if (const char* value = std::getenv(name)) variables.push_back(std::string(name) + "=" + value);
  }
  return variables;
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (const std::string& s : strings) result.push_back(const_cast<char*>(s.c_str()));
  result.push_back(nullptr);
  return result;
}

Status spawn(const std::vector<std::string>& command, int input_fd, const Pipe& out,
             const Pipe& err, Child& child) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out.write, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err.write, STDERR_FILENO);
  if (input_fd >= 0) posix_spawn_file_actions_adddup2(&actions, input_fd, kChildInput);
  posix_spawn_file_actions_addclosefrom_np(&actions, input_fd >= 0 ? kChildInput + 1 : kChildInput);
  // Signals that this program blocks or ignores (a closed pipe's above all) must work in the child.
  sigset_t none, defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const std::vector<std::string> environment = small_environment();
  const int error = posix_spawnp(&child.pid, command[0].c_str(), &actions, &attributes,
                                 pointers(command).data(), pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error == 0) return {};
  child.pid = -1;
  if (error == ENOENT)
    return failed("the program {} is missing: install the package ffmpeg", command[0]);
  return failed("cannot start {}: {}", command[0], std::strerror(error));
}

// One line without control characters.
std::string first_line(std::string_view text) {
  constexpr size_t kLongest = 200;
  std::string line(text.substr(0, std::min(text.find('\n'), kLongest)));
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 32) c = ' ';
  }
  return visible(line);
}

// Reads both pipes until both end.
Status drain(Pipe& out, Pipe& err, const std::string& program, const ChildOptions& options,
             std::string& errors, FunctionRef<Status(std::string_view)> on_output) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::seconds(options.seconds);
  std::vector<char> buffer(1 << 16);
  while (out.read >= 0 || err.read >= 0) {
    if (Clock::now() >= deadline) {
      return bad_input("{} took longer than {} seconds and was stopped", program, options.seconds);
    }
    if (options.cancelled && options.cancelled->load()) return failed("cancelled");
    pollfd waits[2] = {{out.read, POLLIN, 0}, {err.read, POLLIN, 0}};
    constexpr int kMilliseconds = 100;  // between looks at the clock and the flag
    if (::poll(waits, 2, kMilliseconds) <= 0) continue;
    for (int i = 0; i < 2; ++i) {
      if (!(waits[i].revents & (POLLIN | POLLHUP | POLLERR))) continue;
      int& fd = i == 0 ? out.read : err.read;
      const ssize_t got = ::read(fd, buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) {
        Pipe::close_one(fd);
      } else if (i == 0) {
        TRY_STATUS(on_output({buffer.data(), static_cast<size_t>(got)}));
      } else {
        errors.append(buffer.data(), std::min(static_cast<size_t>(got),
                                              kErrorBytes - std::min(kErrorBytes, errors.size())));
      }
    }
  }
  return {};
}

}  // namespace

Result<ChildResult> run_child(const std::vector<std::string>& command, const ChildOptions& options,
                              FunctionRef<Status(std::string_view)> on_output) {
  Pipe out, err;
  int ends[2];
  for (Pipe* pipe : {&out, &err}) {
    if (::pipe2(ends, O_CLOEXEC) != 0)
      return failed("cannot make a pipe: {}", std::strerror(errno));
    pipe->read = ends[0];
    pipe->write = ends[1];
  }
  Child child;
  TRY_STATUS(spawn(command, options.input_fd, out, err, child));
  if (options.max_memory) {
    const rlimit limit{options.max_memory, options.max_memory};
    ::prlimit(child.pid, RLIMIT_AS, &limit, nullptr);
  }
  Pipe::close_one(out.write);
  Pipe::close_one(err.write);
  std::string errors;
  TRY_STATUS(drain(out, err, command[0], options, errors, on_output));
  ChildResult result;
  result.exit_code = child.wait();
  result.first_error = first_line(errors);
  return result;
}

}  // namespace godwit::media
