#include "tests/cli/program.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "tests/temporary_folder.h"

extern char** environ;

namespace godwit::cli {
namespace {

std::string read_all(int fd) {
  std::string text;
  char buffer[4096];
  for (ssize_t got; (got = ::read(fd, buffer, sizeof buffer)) > 0;) text.append(buffer, got);
  ::close(fd);
  return text;
}

struct Pipe {
  int ends[2];
  Pipe() {
    if (::pipe2(ends, O_CLOEXEC) != 0) std::perror("pipe2");
  }
};

// What the program keeps between starts goes to a folder of this test run's own.
void keep_cache_apart() {
  static const TemporaryFolder folder;
  ::setenv("XDG_CACHE_HOME", folder.path().c_str(), 1);
}

}  // namespace

ProgramResult run_program(const std::vector<std::string>& arguments, const std::string& input) {
  keep_cache_apart();
  std::vector<std::string> words = {GODWIT_BINARY_DIR "/godwit"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  Pipe in, out, err;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.ends[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out.ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err.ends[1], STDERR_FILENO);
  pid_t child = -1;
  const int failed = posix_spawn(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  for (int fd : {in.ends[0], out.ends[1], err.ends[1]}) ::close(fd);
  ProgramResult result;
  if (failed) return result;
  std::thread writer([&] {
    for (size_t at = 0; at < input.size();) {
      const ssize_t written = ::write(in.ends[1], input.data() + at, input.size() - at);
      if (written <= 0) break;
      at += written;
    }
    ::close(in.ends[1]);
  });
  std::thread errors([&] { result.err = read_all(err.ends[0]); });
  result.out = read_all(out.ends[0]);
  errors.join();
  writer.join();
  int status = 0;
  ::waitpid(child, &status, 0);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

}  // namespace godwit::cli
