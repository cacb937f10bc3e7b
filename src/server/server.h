// Server: the HTTP transport around the routes. One I/O thread (coroutines), a few workers for
// JSON.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "server/http.h"

namespace godwit::server {

// One request that was answered, for metrics and logs.
struct RequestReport {
  std::string route, method, path, remote, id;
  int status = 0;  // 499: the client left before the answer
  double seconds = 0;
  size_t request_bytes = 0, reply_bytes = 0;
};

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;                         // 0: any free one (bound_port() tells)
  std::string unix_socket;                 // path; instead of host and port
  std::vector<std::string> api_keys;       // empty: none asked for
  bool insecure = false;                   // allow a public address without an API key
  std::string tls_certificate, tls_key;    // PEM files; both or neither
  std::vector<std::string> cors_origins;   // empty: closed; "*": all
  std::vector<std::string> allowed_hosts;  // on a loopback address: names beside localhost's own

  int max_connections = 1280;
  size_t max_header_bytes = 64 << 10;
  size_t max_body_bytes = size_t{64} << 20;
  size_t max_bodies_bytes = size_t{512} << 20;  // of all requests being read together
  // body_timeout grows by a second for every 64 KB that arrived.
  std::chrono::milliseconds header_timeout{15000}, body_timeout{30000}, write_timeout{60000},
      idle_timeout{120000}, drain_timeout{30000};
  std::chrono::milliseconds keep_alive_interval{10000};  // of a stream that has nothing to send
  int workers = 4;  // at work at the same time, beside those that wait for a model to load
  std::function<void(const RequestReport&)> on_request;  // I/O thread
};

class Server {
 public:
  // Checks the options (public address without key, unreadable certificate) and binds.
  static Result<std::unique_ptr<Server>> bind(const ServerOptions& options,
                                              std::vector<Route> routes);
  virtual ~Server() = default;
  virtual int bound_port() const = 0;
  virtual std::string address() const = 0;  // "http://127.0.0.1:8080"
  // Serves until stop(); then refuses new connections, lets running answers finish up to
  // drain_timeout, and returns.
  virtual void run() = 0;
  virtual void stop() = 0;  // any thread; again: what still runs is cancelled at once
};

}  // namespace godwit::server
