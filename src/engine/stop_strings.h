// StopStrings: cuts a stream of text before the first of some strings, wherever the pieces are cut.
// Text that may be the beginning of one is held back until that is known.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace godwit::engine {

class StopStrings {
 public:
  explicit StopStrings(std::vector<std::string> strings = {});  // empty ones are ignored

  // Text that may be shown now. After a string was found, nothing more comes.
  std::string push(std::string_view text);
  // The stream ended: what was held back.
  std::string finish();
  const std::optional<std::string>& found() const { return found_; }

 private:
  std::vector<std::string> strings_;
  std::string pending_;
  std::optional<std::string> found_;
};

}  // namespace godwit::engine
