#include "engine/stop_strings.h"

#include <algorithm>
#include <utility>

namespace godwit::engine {

StopStrings::StopStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {
  std::erase(strings_, std::string());
}

std::string StopStrings::push(std::string_view text) {
  if (found_) return {};
  pending_ += text;
  // The first to be complete ends the stream; of those that end together, the longest (it began
  // first).
  size_t first_end = std::string::npos, begin = 0;
  for (const std::string& string : strings_) {
    const size_t at = pending_.find(string);
    if (at == std::string::npos) continue;
    const size_t end = at + string.size();
    if (end < first_end || (end == first_end && at < begin)) {
      first_end = end;
      begin = at;
      found_ = string;
    }
  }
  if (found_) {
    pending_.resize(begin);
    return std::exchange(pending_, {});
  }
  size_t held = 0;  // longest end of the text that begins a stop string
  for (const std::string& string : strings_) {
    for (size_t n = std::min(string.size() - 1, pending_.size()); n > held; --n) {
      if (std::string_view(pending_).ends_with(std::string_view(string).substr(0, n))) {
        held = n;
        break;
      }
    }
  }
  std::string shown = pending_.substr(0, pending_.size() - held);
  pending_.erase(0, shown.size());
  return shown;
}

std::string StopStrings::finish() { return std::exchange(pending_, {}); }

}  // namespace godwit::engine
