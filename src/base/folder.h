// A folder's entries. One that vanishes or cannot be read while it is walked ends the walk with an
// error: the standard's range-for would throw.
#pragma once

#include <filesystem>
#include <string>
#include <system_error>

namespace godwit {

template <class Visit>  // visit(const std::filesystem::directory_entry&)
std::error_code for_each_entry(const std::string& folder, const Visit& visit) {
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error))
    visit(*entry);
  return error;
}

}  // namespace godwit
