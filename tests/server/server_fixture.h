// A running server on a free port of loopback.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "server/server.h"
#include "tests/server/client.h"

namespace godwit::server {

class RunningServer {
 public:
  RunningServer(ServerOptions options, std::vector<Route> routes) {
    options.port = 0;
    auto bound = Server::bind(options, std::move(routes));
    if (!bound) {
      ADD_FAILURE() << bound.error().message;
      std::abort();
    }
    server_ = std::move(*bound);
    thread_ = std::thread([this] { server_->run(); });
  }
  ~RunningServer() { stop(); }
  void stop() {
    if (!thread_.joinable()) return;
    server_->stop();
    server_->stop();
    thread_.join();
  }
  // A gentle stop: running answers may finish. join() waits for them.
  void drain() { server_->stop(); }
  void join() { thread_.join(); }

  int port() const { return server_->bound_port(); }
  std::string address() const { return server_->address(); }

 private:
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

// Waits until `condition`, at most five seconds.
inline bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 500; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return condition();
}

}  // namespace godwit::server
