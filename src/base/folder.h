// Folders: their entries, and what is kept in one below a limit.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace godwit {

// One that vanishes or cannot be read while the folder is walked ends the walk with an error: the
// standard's range-for would throw.
template <class Visit>  // visit(const std::filesystem::directory_entry&)
std::error_code for_each_entry(const std::string& folder, const Visit& visit) {
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error))
    visit(*entry);
  return error;
}

struct KeptFile {
  std::string path;
  uint64_t bytes;
  std::filesystem::file_time_type used;
};

// The files whose names end so, those that were used (written or touched) longest ago first. What
// cannot be looked at is left out.
std::vector<KeptFile> files_by_use(const std::string& folder, std::string_view ending);
uint64_t total_bytes(const std::vector<KeptFile>& files);

// Removes files from the front until the rest take at most `limit` bytes, or nothing more can be
// removed. The paths of those that are gone; `files` has the rest.
std::vector<std::string> remove_first(std::vector<KeptFile>& files, uint64_t limit);

// Removes files whose names hold `part`, if nobody has written to them for so long.
void remove_stale(const std::string& folder, std::string_view part, std::chrono::seconds age);

}  // namespace godwit
