// godwit pull: downloads a model; what was cut off goes on where it stopped.
#include <atomic>
#include <cstdlib>
#include <filesystem>

#include "checkpoint/download.h"
#include "cli/session.h"
#include "cli/terminal.h"

namespace godwit::cli {
namespace {

namespace fs = std::filesystem;

Result<std::string> default_folder(const std::string& name) {
  const char *cache = std::getenv("XDG_CACHE_HOME"), *home = std::getenv("HOME");
  if (cache && *cache) return (fs::path(cache) / "godwit/models" / name).string();
  if (home && *home) return (fs::path(home) / ".cache/godwit/models" / name).string();
  return bad_input("--output: needed, because neither XDG_CACHE_HOME nor HOME is set");
}

Result<int> pull(const PullOptions& options) {
  const bool two_parts = std::count(options.name.begin(), options.name.end(), '/') == 1 &&
                         options.name.front() != '/' && options.name.back() != '/';
  if (!two_parts || options.name.find("..") != std::string::npos)
    return bad_input("NAME: expected OWNER/MODEL (Qwen/Qwen3.5-0.8B), found '{}'", options.name);
  std::string folder = options.output;
  if (folder.empty()) {
    TRY(folder, default_folder(options.name));
  }
  auto request = checkpoint::download_request_from_environment(options.name, folder);
  request.files = options.files;
  if (!options.revision.empty()) request.revision = options.revision;

  std::atomic<bool> stop{false};
  const InterruptScope interrupt([&] { stop = true; });
  ProgressBar bar("downloading");
  request.progress = [&](const checkpoint::DownloadProgress& progress) {
    bar.show(static_cast<int64_t>(progress.done), static_cast<int64_t>(progress.total));
    return !stop.load();
  };
  const auto done = checkpoint::download_model(request);
  bar.wipe();
  if (stop) {
    print_err("godwit: stopped; the same command goes on from here\n");
    return kInterrupted;
  }
  if (!done) return tl::unexpected<Error>(done.error());
  print_out("{}\n", folder);
  return kDone;
}

}  // namespace

int pull_command(const PullOptions& options) {
  const auto code = pull(options);
  return code ? *code : report(code.error());
}

}  // namespace godwit::cli
