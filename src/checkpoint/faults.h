// Faults of one file, told together in one line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace godwit::checkpoint {

// At most `kTold` are spelled out, the rest are counted.
class Faults {
 public:
  static constexpr size_t kTold = 8;
  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    if (++count_ <= kTold) told_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }
  bool any() const { return count_ > 0; }
  // `where: first; second; … and 12 more`
  tl::unexpected<Error> error(std::string_view where) const;

 private:
  std::vector<std::string> told_;
  size_t count_ = 0;
};

}  // namespace godwit::checkpoint
