// What the server costs over engine.h: the same requests given to one engine directly and over
// HTTP, by turns. Time to the first token of one stream, and tokens per second of several.
//   server_overhead [MODEL [STREAMS [TOKENS [ROUNDS]]]]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
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

// Of one answer: seconds to the first token, and tokens.
struct Run {
  double first = 0;
  int tokens = 0;
};

Run ask_engine(engine::Engine& engine, int tokens) {
  const auto begin = Clock::now();
  engine::GenerationRequest request;
  request.messages.emplace_back();
  request.messages.back().role = "user";
  request.messages.back().content.emplace_back();
  request.messages.back().content.back().text = kQuestion;
  request.sampling.temperature = 0.0f;
  request.thinking = engine::Thinking::kOff;
  request.max_tokens = tokens;
  request.ignore_end = true;
  const auto generation = engine.submit(std::move(request));
  CHECK(generation);
  Run run;
  while (const auto event = (*generation)->next()) {
    if (event->kind == Event::Kind::kContent && run.first == 0)
      run.first = Seconds(Clock::now() - begin).count();
    if (event->kind == Event::Kind::kDone) run.tokens = event->usage.completion_tokens;
  }
  return run;
}

Run ask_server(Client& client, int tokens) {
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
  Run run{Seconds(Clock::now() - begin).count(), tokens};
  CHECK(client.read().complete);
  return run;
}

double median(std::vector<double> list) {
  std::sort(list.begin(), list.end());
  return list[list.size() / 2];
}

// Tokens per second of `streams` answers at once.
template <class Ask>
double speed(int streams, const Ask& ask) {
  const auto begin = Clock::now();
  std::vector<std::thread> threads;
  std::vector<int> tokens(streams, 0);
  for (int i = 0; i < streams; ++i) threads.emplace_back([&, i] { tokens[i] = ask(i).tokens; });
  for (std::thread& thread : threads) thread.join();
  int sum = 0;
  for (const int n : tokens) sum += n;
  return sum / Seconds(Clock::now() - begin).count();
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

  ask_engine(*use->engine, 2);
  ask_server(*clients[0], 2);
  std::vector<double> direct, served, added;
  for (int i = 0; i < 20 * rounds; ++i) {
    direct.push_back(ask_engine(*use->engine, 2).first * 1e3);
    served.push_back(ask_server(*clients[0], 2).first * 1e3);
    added.push_back(served.back() - direct.back());
  }
  fmt::print("first token: {:.3f} ms over engine.h, {:.3f} ms over HTTP; {:+.3f} ms\n",
             median(direct), median(served), median(added));

  std::vector<double> engine_speeds, server_speeds, losses;
  for (int i = 0; i < rounds; ++i) {
    engine_speeds.push_back(speed(streams, [&](int) { return ask_engine(*use->engine, tokens); }));
    server_speeds.push_back(speed(streams, [&](int c) { return ask_server(*clients[c], tokens); }));
    losses.push_back(100 * (1 - server_speeds.back() / engine_speeds.back()));
  }
  fmt::print("{} streams: {:.1f} tokens/s over engine.h, {:.1f} over HTTP; {:.2f} % lost\n",
             streams, median(engine_speeds), median(server_speeds), median(losses));
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
