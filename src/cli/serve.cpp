// godwit serve: the server until a signal. The first SIGTERM or SIGINT lets running answers finish,
// a second ends them.
#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/mapped_file.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "server/api.h"
#include "server/server.h"

namespace godwit::cli {
namespace {

namespace fs = std::filesystem;

// "models/Qwen3.5-4B/" → "Qwen3.5-4B", "x/model.gguf" → "model"
std::string name_of(const std::string& path) {
  const fs::path clean = fs::path(path).lexically_normal();
  const fs::path last = clean.has_filename() ? clean.filename() : clean.parent_path().filename();
  return last.extension() == ".gguf" ? last.stem().string() : last.string();
}

// What its headers tell of a further model; drafts are for those that have a drafting head.
Status check_model(const std::string& name, engine::EngineOptions& options) {
  const int drafts = std::exchange(options.draft_tokens, 0);
  const auto info = engine::Engine::plan(options);
  if (!info) return in_context("--also " + name, info.error());
  if (info->drafting) {
    options.draft_tokens = drafts;
  } else if (drafts > 0) {
    log_warn("--also {}: {} has no drafting head: nothing is drafted", name, options.model);
  }
  return {};
}

Result<std::vector<server::ModelSet::Entry>> model_entries(const ServeOptions& options) {
  std::string path = options.model.model;
  if (path.empty()) {
    TRY(path, demonstration_model());
  }
  std::string folder = options.cache_folder;
  if (folder.empty() && !options.no_disk_cache && !options.model.no_prefix_cache)
    folder = conversations_folder();
  const auto settings = [&](const std::string& model) {
    engine::EngineOptions engine = engine_options(options.model, model);
    engine.max_sequences = options.parallel;
    engine.queue_limit = options.queue;
    engine.cache_folder = folder;
    return engine;
  };
  std::vector<server::ModelSet::Entry> entries = {
      {options.name.empty() ? name_of(path) : options.name, settings(path)}};
  for (const std::string& also : options.also) {
    const size_t equals = also.find('=');
    if (equals == 0 || equals == std::string::npos || equals + 1 == also.size())
      return bad_input("--also: expected NAME=MODEL, found '{}'", also);
    engine::EngineOptions engine = settings(also.substr(equals + 1));
    engine.mmproj.clear();
    TRY_STATUS(check_model(also.substr(0, equals), engine));
    entries.push_back({also.substr(0, equals), std::move(engine)});
  }
  return entries;
}

// One key a line; empty lines and # comments are skipped.
Status read_keys(const std::string& path, std::vector<std::string>& keys) {
  TRY(const std::string text, read_file(path, 1 << 20));
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty() && line.front() != '#') keys.push_back(std::move(line));
    begin = end + 1;
  }
  if (keys.empty()) return bad_input("{}: expected a key on a line, found none", path);
  return {};
}

Result<server::ServerOptions> server_options(const ServeOptions& options) {
  server::ServerOptions server;
  server.host = options.host;
  server.port = options.port;
  server.unix_socket = options.unix_socket;
  server.api_keys = options.api_keys;
  if (!options.api_key_file.empty()) TRY_STATUS(read_keys(options.api_key_file, server.api_keys));
  server.insecure = options.insecure;
  server.tls_certificate = options.tls_certificate;
  server.tls_key = options.tls_key;
  server.cors_origins = options.cors_origins;
  server.allowed_hosts = options.allowed_hosts;
  server.max_body_bytes = static_cast<size_t>(options.max_body_mb) << 20;
  server.drain_timeout = std::chrono::seconds(options.drain_seconds);
  for (const std::string& root : options.media_roots) {
    std::error_code ignored;
    if (!fs::is_directory(root, ignored))
      return bad_input("--media-root {}: expected a folder, found none there", root);
  }
  return server;
}

// A connection is a file: systems often allow a program 1,024 unless it asks for more.
void allow_files(int connections) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = std::min<rlim_t>(
      limit.rlim_max, std::max<rlim_t>(limit.rlim_cur, static_cast<rlim_t>(connections) + 256));
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

// Waits for signals, which no other thread takes, and unloads idle models meanwhile.
class SignalWatcher {
 public:
  SignalWatcher(server::Server& server, server::ModelSet& models)
      : thread_([this, &server, &models] {
          const sigset_t set = stop_signals();
          const timespec tick{1, 0};
          while (!done_) {
            if (sigtimedwait(&set, nullptr, &tick) < 0) {
              models.unload_idle();
            } else if (!done_) {
              server.stop();
            }
          }
        }) {}
  ~SignalWatcher() {
    done_ = true;
    pthread_kill(thread_.native_handle(), SIGTERM);
    thread_.join();
  }

 private:
  std::atomic<bool> done_{false};
  std::thread thread_;
};

// -v: every request, and what clients send in vain. GODWIT_LOG goes before it.
void choose_log_level(bool verbose) {
  if (verbose && !std::getenv("GODWIT_LOG")) set_log_level(LogLevel::kInfo);
}

Result<int> serve(const ServeOptions& options) {
  choose_log_level(options.model.verbose);
  TRY(auto entries, model_entries(options));
  TRY(server::ServerOptions settings, server_options(options));
  allow_files(settings.max_connections);
  const sigset_t set = stop_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);  // before there are threads: all inherit it

  server::ModelSet models(std::move(entries), static_cast<size_t>(options.memory_mb) << 20,
                          std::chrono::minutes(options.unload_minutes));
  TRY_STATUS(models.share_memory());
  server::Metrics metrics;
  const server::Api api{models, metrics,
                        server::MediaSource(options.media_roots, options.remote_media),
                        std::time(nullptr)};
  settings.on_request = [&](const server::RequestReport& report) { metrics.request_done(report); };
  // A port that is taken is told before minutes of loading.
  TRY(const auto server, server::Server::bind(settings, server::all_routes(api)));
  std::string name;
  {
    const auto first = models.use("");
    if (!first) {
      const server::ModelFault& fault = first.error();
      return tl::unexpected<Error>(
          fault.cause.message.empty() ? Error{fault.message, ErrorKind::kFailed} : fault.cause);
    }
    name = first->name;
  }  // not in use from here on: it may be unloaded like any other
  const SignalWatcher watcher(*server, models);
  print_err("godwit: serving {} at {}\n", name, server->address());
  server->run();
  return kDone;
}

}  // namespace

int serve_command(const ServeOptions& options) {
  const auto code = serve(options);
  return code ? *code : report(code.error());
}

}  // namespace godwit::cli
