#include "base/folder.h"

#include <algorithm>

namespace godwit {
namespace fs = std::filesystem;

std::vector<KeptFile> files_by_use(const std::string& folder, std::string_view ending) {
  std::vector<KeptFile> files;
  for_each_entry(folder, [&](const fs::directory_entry& entry) {
    const std::string path = entry.path().string();
    std::error_code no_size, no_time;
    if (!path.ends_with(ending) || !entry.is_regular_file(no_size)) return;
    const KeptFile file{path, entry.file_size(no_size), entry.last_write_time(no_time)};
    if (!no_size && !no_time) files.push_back(file);
  });
  std::sort(files.begin(), files.end(),
            [](const KeptFile& a, const KeptFile& b) { return a.used < b.used; });
  return files;
}

uint64_t total_bytes(const std::vector<KeptFile>& files) {
  uint64_t bytes = 0;
  for (const KeptFile& file : files) bytes += file.bytes;
  return bytes;
}

std::vector<std::string> remove_first(std::vector<KeptFile>& files, uint64_t limit) {
  std::vector<std::string> gone;
  std::vector<KeptFile> rest;
  uint64_t bytes = total_bytes(files);
  for (KeptFile& file : files) {
    std::error_code error;
    if (bytes > limit) fs::remove(file.path, error);
    if (bytes <= limit || error) {
      rest.push_back(std::move(file));
    } else {  // also if another program was first
      bytes -= file.bytes;
      gone.push_back(std::move(file.path));
    }
  }
  files = std::move(rest);
  return gone;
}

void remove_stale(const std::string& folder, std::string_view part, std::chrono::seconds age) {
  const auto now = fs::file_time_type::clock::now();
  for_each_entry(folder, [&](const fs::directory_entry& entry) {
    std::error_code error;
    if (entry.path().filename().string().find(part) == std::string::npos) return;
    const auto written = entry.last_write_time(error);
    if (!error && now - written > age) fs::remove(entry.path(), error);
  });
}

}  // namespace godwit
