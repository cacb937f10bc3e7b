// Runs the built program as a user would, and keeps what it printed.
#pragma once

#include <string>
#include <vector>

namespace godwit::cli {

struct ProgramResult {
  int exit_code = -1;  // 128 + signal if it was killed
  std::string out, err;
};

// `input` goes to its standard input (closed after it).
ProgramResult run_program(const std::vector<std::string>& arguments, const std::string& input = {});

}  // namespace godwit::cli
