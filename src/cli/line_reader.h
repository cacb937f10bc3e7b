// Lines of input: read_line() bounds them; LineReader has editing and history on a terminal
// (libedit), plain lines otherwise.
#pragma once

#include <istream>
#include <optional>
#include <string>

#include "base/result.h"

namespace godwit::cli {

// Beyond what any context holds; a pipe that never ends must not take the memory first.
constexpr size_t kMostInput = size_t{64} << 20;

// nullopt at the end of input. A line of more than kMostInput bytes is an error.
Result<std::optional<std::string>> read_line(std::istream& in);

class LineReader {
 public:
  explicit LineReader(std::string history_file);  // empty: no file
  ~LineReader();
  // nullopt at the end of input. Ctrl-C at the prompt gives an empty line.
  Result<std::optional<std::string>> read(const std::string& prompt);

 private:
  void drop_history();

  std::string history_file_;
  bool terminal_;
};

}  // namespace godwit::cli
