#include "checkpoint/printable.h"

namespace godwit::checkpoint {

std::string printable(std::string_view name) {
  constexpr size_t kShown = 100;
  std::string out = "'";
  for (const char c : name.substr(0, kShown)) {
    if (c == '\'' || c == '\\') out += '\\';
    if (c >= 0x20 && c < 0x7f) {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  if (name.size() > kShown) out += "…";
  return out + "'";
}

tl::unexpected<Error> Faults::error(std::string_view where) const {
  std::string message = fmt::format("{}: ", where);
  for (const auto& fault : told_) message += (&fault == &told_.front() ? "" : "; ") + fault;
  if (count_ > told_.size()) message += fmt::format("; and {} more", count_ - told_.size());
  return tl::unexpected<Error>({std::move(message), ErrorKind::kBadInput});
}

}  // namespace godwit::checkpoint
