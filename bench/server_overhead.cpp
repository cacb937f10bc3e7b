// What the server costs over engine.h: the same requests given to one engine directly and over
// HTTP, by turns. Time to the first token of one stream, and tokens per second of several.
//   server_overhead [MODEL [STREAMS [TOKENS [ROUNDS]]]]
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <semaphore>
#include <thread>

#include "base/check.h"
#include "server/api.h"
#include "server/server.h"
#include "tests/server/client.h"

namespace godwit::server {
namespace {

using engine::Event;
using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

const std::string kQuestion = "Tell me about the sea.";

std::shared_ptr<engine::Generation> submit(engine::Engine& engine, int tokens) {
  engine::GenerationRequest request;
  request.messages.emplace_back();
  request.messages.back().role = "user";
  request.messages.back().content.emplace_back();
  request.messages.back().content.back().text = kQuestion;
  request.sampling.temperature = 0.0f;
  request.thinking = engine::Thinking::kOff;
  request.max_tokens = tokens;
  request.ignore_end = true;
  auto generation = engine.submit(std::move(request));
  CHECK(generation);
  return std::move(*generation);
}

// Seconds to the first token of one answer.
double engine_first(engine::Engine& engine) {
  const auto begin = Clock::now();
  const auto generation = submit(engine, 2);
  double first = 0;
  while (const auto event = generation->next()) {
    if (event->kind == Event::Kind::kContent && first == 0)
      first = Seconds(Clock::now() - begin).count();
  }
  return first;
}

// Tokens per second of several answers at once, drained by one thread, as the server does.
double engine_speed(engine::Engine& engine, int streams, int tokens) {
  const auto begin = Clock::now();
  std::counting_semaphore<> bell(0);
  std::atomic<bool> rung{false};
  std::vector<std::shared_ptr<engine::Generation>> running;
  for (int i = 0; i < streams; ++i) {
    running.push_back(submit(engine, tokens));
    running.back()->on_event([&] {
      if (!rung.exchange(true)) bell.release();
    });
  }
  int sum = 0;
  while (!running.empty()) {
    bell.acquire();
    rung = false;
    std::erase_if(running, [&](const auto& generation) {
      while (const auto event = generation->poll()) {
        if (event->kind != Event::Kind::kDone) continue;
        sum += event->usage.completion_tokens;
        generation->on_event({});
        return true;
      }
      return false;
    });
  }
  return sum / Seconds(Clock::now() - begin).count();
}

// The same over HTTP.
double server_first(Client& client, int tokens) {
  const auto begin = Clock::now();
  const std::string body = fmt::format(
      R"({{"messages":[{{"role":"user","content":"{}"}}],"temperature":0,"enable_thinking":false,)"
      R"("max_tokens":{},"ignore_eos":true,"stream":true}})",
      kQuestion, tokens);
  client.send(fmt::format(
      "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{}",
      body.size(), body));
  // The first chunk tells the role; the second has the first token's text.
  CHECK(client.wait_for("\"content\":\"\"") && client.wait_for("\"delta\":{\"content\":"));
  const double first = Seconds(Clock::now() - begin).count();
  CHECK(client.read().complete);
  return first;
}

double server_speed(const std::vector<std::unique_ptr<Client>>& clients, int tokens) {
  const auto begin = Clock::now();
  std::vector<std::thread> threads;
  for (const auto& client : clients) threads.emplace_back([&] { server_first(*client, tokens); });
  for (std::thread& thread : threads) thread.join();
  return static_cast<double>(clients.size()) * tokens / Seconds(Clock::now() - begin).count();
}

double median(std::vector<double> list) {
  std::sort(list.begin(), list.end());
  return list[list.size() / 2];
}

int run(const std::string& model, int streams, int tokens, int rounds) {
  engine::EngineOptions options;
  options.model = model;
  options.context = 4096;
  options.max_sequences = streams;
  ModelSet models({{"model", options}});
  auto use = models.use("");
  CHECK_MSG(use, "the model cannot be opened");
  Metrics metrics;
  const Api api{models, metrics, MediaSource(), 0};
  ServerOptions settings;
  settings.port = 0;
  auto server = Server::bind(settings, all_routes(api));
  CHECK(server);
  std::thread serving([&] { (*server)->run(); });
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < streams; ++i)
    clients.push_back(std::make_unique<Client>((*server)->bound_port()));

  engine_first(*use->engine);
  server_first(*clients[0], 2);
  std::vector<double> direct, served, added;
  for (int i = 0; i < 20 * rounds; ++i) {
    direct.push_back(engine_first(*use->engine) * 1e3);
    served.push_back(server_first(*clients[0], 2) * 1e3);
    added.push_back(served.back() - direct.back());
  }
  fmt::print("first token: {:.3f} ms over engine.h, {:.3f} ms over HTTP; {:+.3f} ms\n",
             median(direct), median(served), median(added));

  std::vector<double> engine_speeds, server_speeds, losses;
  for (int i = 0; i < rounds; ++i) {
    engine_speeds.push_back(engine_speed(*use->engine, streams, tokens));
    server_speeds.push_back(server_speed(clients, tokens));
    losses.push_back(100 * (1 - server_speeds.back() / engine_speeds.back()));
  }
  const double micros = 1e6 * (1 / median(server_speeds) - 1 / median(engine_speeds));
  fmt::print(
      "{} streams: {:.1f} tokens/s over engine.h, {:.1f} over HTTP with its clients; {:.2f} % "
      "lost, "
      "{:.1f} us a token\n",
      streams, median(engine_speeds), median(server_speeds), median(losses), micros);
  clients.clear();
  (*server)->stop();
  serving.join();
  return 0;
}

}  // namespace
}  // namespace godwit::server

int main(int argc, char** argv) {
  const auto number = [&](int i, int otherwise) {
    return i < argc ? std::max(1, std::atoi(argv[i])) : otherwise;
  };
  return godwit::server::run(argc > 1 ? argv[1] : GODWIT_SOURCE_DIR "/models/nano", number(2, 4),
                             number(3, 400), number(4, 11));
}
