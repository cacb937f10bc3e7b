// Names from files, made fit for one line of an error: quoted, with every byte that is not plain
// ASCII escaped.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace godwit::checkpoint {

// 'blk.0.attn_q.weight', 'a\x1b\xff…' (cut after 100 bytes)
std::string printable(std::string_view name);

// Faults of one file, told together. At most `kTold` are spelled out, the rest are counted.
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
