#include "checkpoint/faults.h"

namespace godwit::checkpoint {

tl::unexpected<Error> Faults::error(std::string_view where) const {
  std::string message = fmt::format("{}: ", where);
  for (const auto& fault : told_) message += (&fault == &told_.front() ? "" : "; ") + fault;
  if (count_ > told_.size()) message += fmt::format("; and {} more", count_ - told_.size());
  return tl::unexpected<Error>({std::move(message), ErrorKind::kBadInput});
}

}  // namespace godwit::checkpoint
