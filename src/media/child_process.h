// ChildProcess: a program run without a shell, its output handed over as it comes, killed when it
// takes too long.
#pragma once

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

#include "base/function_ref.h"
#include "base/result.h"

namespace godwit::media {

struct ChildOptions {
  int input_fd = -1;      // the child sees it as descriptor 3: "/dev/fd/3"
  int seconds = 60;       // then it is killed
  size_t max_memory = 0;  // of its address space; 0: no limit
  const std::atomic<bool>* cancelled = nullptr;
};

struct ChildResult {
  int exit_code = 0;        // −1: killed by a signal
  std::string first_error;  // first line of its standard error, shortened
};

// `command[0]` is looked up in PATH. `on_output` gets standard output piece by piece; its error
// kills the child and is returned, as are the time limit and cancelling. The child has its own
// process group, no other descriptors and no environment but PATH and the library path: a hostile
// file finds no secrets there.
Result<ChildResult> run_child(const std::vector<std::string>& command, const ChildOptions& options,
                              FunctionRef<Status(std::string_view)> on_output);

}  // namespace godwit::media
