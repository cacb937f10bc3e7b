// LineReader: a line of input with editing and history on a terminal (libedit), plain lines
// otherwise.
#pragma once

#include <optional>
#include <string>

namespace godwit::cli {

class LineReader {
 public:
  explicit LineReader(std::string history_file);  // empty: no file
  ~LineReader();
  // nullopt at the end of input. Ctrl-C at the prompt gives an empty line.
  std::optional<std::string> read(const std::string& prompt);

 private:
  std::string history_file_;
  bool terminal_;
};

}  // namespace godwit::cli
