// The HTTP transport over real sockets: framing, limits, times, access, clients that leave.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "tests/server/server_fixture.h"
#include "tests/temporary_folder.h"

namespace godwit::server {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

// A stream that a test feeds.
struct Tap {
  std::mutex mutex;
  std::string bytes;
  bool done = false;
  std::atomic<bool> cancelled{false};
  std::atomic<int> pulls{0};
  std::function<void()> notify;

  void give(const std::string& more, bool last = false) {
    const std::lock_guard lock(mutex);
    bytes += more;
    done = last;
    if (notify) notify();
  }
};

class TapStream final : public Stream {
 public:
  explicit TapStream(std::shared_ptr<Tap> tap) : tap_(std::move(tap)) {}
  void on_ready(std::function<void()> notify) override {
    const std::lock_guard lock(tap_->mutex);
    tap_->notify = std::move(notify);
  }
  StreamStep pull() override {
    const std::lock_guard lock(tap_->mutex);
    ++tap_->pulls;
    return {std::exchange(tap_->bytes, {}), tap_->done};
  }
  std::string keep_alive() override { return ": still here\n\n"; }
  void cancel() override { tap_->cancelled = true; }

 private:
  std::shared_ptr<Tap> tap_;
};

class TapReply final : public PendingReply {
 public:
  explicit TapReply(std::shared_ptr<Tap> tap) : tap_(std::move(tap)) {}
  void on_ready(std::function<void()> notify) override {
    const std::lock_guard lock(tap_->mutex);
    tap_->notify = std::move(notify);
  }
  std::unique_ptr<HttpReply> pull() override {
    const std::lock_guard lock(tap_->mutex);
    if (!tap_->done) return nullptr;
    auto reply = std::make_unique<HttpReply>();
    reply->body = tap_->bytes;
    return reply;
  }
  void cancel() override { tap_->cancelled = true; }

 private:
  std::shared_ptr<Tap> tap_;
};

class Transport : public testing::Test {
 protected:
  // Routes that echo, stream from a tap, wait for a tap, and throw.
  std::vector<Route> routes() {
    const auto tap = tap_;
    return {{"GET", "/hello",
             [](const HttpRequest&) {
               HttpReply reply;
               reply.body = "\"hello\"";
               return reply;
             }},
            {"POST", "/echo",
             [](const HttpRequest& request) {
               HttpReply reply;
               reply.body = request.body;
               return reply;
             }},
            {"GET", "/items/{id}",
             [](const HttpRequest& request) {
               HttpReply reply;
               reply.body = request.parameter + "?" + request.query;
               return reply;
             }},
            {"POST", "/stream",
             [tap](const HttpRequest&) {
               HttpReply reply;
               reply.content_type = "text/event-stream";
               reply.stream = std::make_unique<TapStream>(tap);
               return reply;
             }},
            {"POST", "/wait",
             [tap](const HttpRequest&) {
               HttpReply reply;
               reply.pending = std::make_unique<TapReply>(tap);
               return reply;
             }},
            {"GET", "/throw", [](const HttpRequest&) -> HttpReply { throw std::bad_alloc(); }},
            {"GET", "/open", [](const HttpRequest&) { return HttpReply(); }, "", true}};
  }
  void serve(ServerOptions options = {}) {
    options.on_request = [this](const RequestReport& report) {
      const std::lock_guard lock(reports_mutex_);
      reports_.push_back(report);
    };
    server_ = std::make_unique<RunningServer>(options, routes());
  }
  int last_status() {
    const std::lock_guard lock(reports_mutex_);
    return reports_.empty() ? 0 : reports_.back().status;
  }
  Reply raw(const std::string& bytes) {
    Client client(server_->port());
    EXPECT_TRUE(client.send(bytes));
    return client.read();
  }

  std::shared_ptr<Tap> tap_ = std::make_shared<Tap>();
  std::mutex reports_mutex_;
  std::vector<RequestReport> reports_;
  std::unique_ptr<RunningServer> server_;
};

TEST_F(Transport, KeepsTheConnectionAndAnswersInOrder) {
  serve();
  Client client(server_->port());
  for (int i = 0; i < 5; ++i) {
    const Reply reply = client.ask("POST", "/echo", "body " + std::to_string(i));
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.body, "body " + std::to_string(i));
    EXPECT_THAT(reply.headers.at("x-request-id"), HasSubstr("req_"));
  }
  // Three requests at once.
  client.send(
      "GET /items/a HTTP/1.1\r\nhost: localhost\r\n\r\n"
      "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n\r\nabc"
      "GET /items/b%20c/d?x=1 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
  EXPECT_EQ(client.read().body, "a?");
  EXPECT_EQ(client.read().body, "abc");
  EXPECT_EQ(client.read().body, "b c/d?x=1");
  EXPECT_TRUE(client.closes());
}

TEST_F(Transport, TakesChunkedBodiesByteByByte) {
  serve();
  Client client(server_->port());
  const std::string request =
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;x=y\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\ntrailer: x\r\n\r\n";
  for (const char c : request) ASSERT_TRUE(client.send(std::string(1, c)));
  EXPECT_EQ(client.read().body, "hello world");
  EXPECT_EQ(client.ask("GET", "/hello").status, 200);
}

TEST_F(Transport, HeadGetsTheHeadOnly) {
  serve();
  Client client(server_->port());
  const Reply reply = client.ask("HEAD", "/hello");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.at("content-length"), "7");
  EXPECT_EQ(client.ask("GET", "/hello").body, "\"hello\"");
}

TEST_F(Transport, Http10ClosesUnlessToldOtherwise) {
  serve();
  Client client(server_->port());
  client.send("GET /hello HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
  EXPECT_EQ(client.read().headers.at("connection"), "keep-alive");
  client.send("GET /hello HTTP/1.0\r\n\r\n");
  EXPECT_EQ(client.read().status, 200);
  EXPECT_TRUE(client.closes());
  // A stream without chunks.
  tap_->give("data: x\n\n", true);
  const Reply reply = raw("POST /stream HTTP/1.0\r\n\r\n");
  EXPECT_EQ(reply.body, "data: x\n\n");
  EXPECT_TRUE(reply.complete);
}

TEST_F(Transport, RefusesWithTheRightStatus) {
  ServerOptions options;
  options.max_body_bytes = 1000;
  options.max_header_bytes = 16384;
  serve(options);
  const std::string host = "host: localhost\r\n";
  const std::pair<std::string, int> cases[] = {
      {"nonsense\r\n\r\n", 400},
      {"GET /hello\r\n\r\n", 400},
      {std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 15), 400},
      {"GET /hello HTTP/2.0\r\n" + host + "\r\n", 505},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"GET /hello HTTP/1.1\r\n\r\n", 400},
      {"GET /hello HTTP/1.1\r\n" + host + host + "\r\n", 400},
      {"GET /hello HTTP/1.1\r\n" + host + "bad header\r\n\r\n", 400},
      {"GET /hello HTTP/1.1\n" + host + "\n", 400},
      {"GET hello HTTP/1.1\r\n" + host + "\r\n", 400},
      {"GET /%zz HTTP/1.1\r\n" + host + "\r\n", 400},
      {"GET /a%00b HTTP/1.1\r\n" + host + "\r\n", 400},
      {"GET /nothing HTTP/1.1\r\n" + host + "\r\n", 404},
      {"GET /../hello HTTP/1.1\r\n" + host + "\r\n", 404},
      {"GET /echo HTTP/1.1\r\n" + host + "\r\n", 405},
      {"BREW /hello HTTP/1.1\r\n" + host + "\r\n", 501},
      {"GET /" + std::string(9000, 'a') + " HTTP/1.1\r\n" + host + "\r\n", 414},
      {"GET /" + std::string(20000, 'a') + " HTTP/1.1\r\n" + host + "\r\n", 414},
      {"GET /hello HTTP/1.1\r\n" + host + "x: " + std::string(20000, 'a') + "\r\n\r\n", 431},
      {"POST /echo HTTP/1.1\r\n" + host + "content-length: 1001\r\n\r\n", 413},
      {"POST /echo HTTP/1.1\r\n" + host + "content-length: 99999999999999999999\r\n\r\n", 400},
      {"POST /echo HTTP/1.1\r\n" + host + "content-length: -1\r\n\r\n", 400},
      {"POST /echo HTTP/1.1\r\n" + host + "content-length: 3\r\ncontent-length: 4\r\n\r\nabc", 400},
      {"POST /echo HTTP/1.1\r\n" + host +
           "content-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc",
       400},
      {"POST /echo HTTP/1.1\r\n" + host + "transfer-encoding: gzip\r\n\r\n", 501},
      {"POST /echo HTTP/1.1\r\n" + host + "transfer-encoding: gzip, chunked\r\n\r\n", 501},
      {"POST /echo HTTP/1.1\r\n" + host + "content-encoding: gzip\r\ncontent-length: 1\r\n\r\nx",
       415},
      {"POST /echo HTTP/1.1\r\n" + host + "transfer-encoding: chunked\r\n\r\nzz\r\n", 400},
      {"POST /echo HTTP/1.1\r\n" + host + "transfer-encoding: chunked\r\n\r\nfff\r\n", 413},
      {"POST /echo HTTP/1.1\r\n" + host + "transfer-encoding: chunked\r\n\r\n1;" +
           std::string(40000, 'a'),
       400},
      {"POST /echo HTTP/1.1\r\n" + host + "expect: tea\r\ncontent-length: 1\r\n\r\n", 417},
      {"GET /throw HTTP/1.1\r\n" + host + "\r\n", 500},
      {"OPTIONS /echo HTTP/1.1\r\n" + host + "\r\n", 204},
      {"GET http://localhost/hello HTTP/1.1\r\n" + host + "\r\n", 200},
      {"\r\n\r\nGET /hello HTTP/1.1\r\n" + host + "\r\n", 200},
  };
  for (const auto& [bytes, status] : cases)
    EXPECT_EQ(raw(bytes).status, status) << bytes.substr(0, 100);
  EXPECT_EQ(raw("PUT /echo HTTP/1.1\r\nhost: localhost\r\n\r\n").headers.at("allow"), "POST");
  Client client(server_->port());  // nothing was lost for the others
  EXPECT_EQ(client.ask("GET", "/hello").status, 200);
}

TEST_F(Transport, ErrorsHaveTheShapeOfTheDialect) {
  serve();
  Client client(server_->port());
  EXPECT_THAT(client.ask("GET", "/v1/nothing").body, HasSubstr("{\"error\":{\"message\":"));
  EXPECT_THAT(client.ask("GET", "/v1/messages/x").body, HasSubstr("{\"type\":\"error\""));
  EXPECT_THAT(client.ask("GET", "/api/nothing").body, HasSubstr("{\"error\":\""));
}

TEST_F(Transport, Expect100Continue) {
  serve();
  Client client(server_->port());
  client.send(
      "POST /echo HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: "
      "2\r\n\r\n");
  EXPECT_EQ(client.read().status, 100);
  client.send("ok");
  EXPECT_EQ(client.read().body, "ok");
  // Refused before the body is asked for.
  client.send(
      "POST /nothing HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: "
      "2\r\n\r\n");
  EXPECT_EQ(client.read().status, 404);
}

TEST_F(Transport, ARefusalReachesAClientThatStillSends) {
  ServerOptions options;
  options.max_body_bytes = 1000;
  serve(options);
  Client client(server_->port());
  client.send("POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2000000\r\n\r\n");
  client.send(std::string(2000000, 'x'));
  EXPECT_EQ(client.read().status, 413);
}

TEST_F(Transport, SlowSendersAreTimedOut) {
  ServerOptions options;
  options.header_timeout = milliseconds(200);
  options.body_timeout = milliseconds(200);
  options.idle_timeout = milliseconds(300);
  serve(options);
  Client header(server_->port()), body(server_->port()), idle(server_->port());
  header.send("GET /hello HTTP/1.1\r\nx: ");
  body.send("POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nab");
  for (int i = 0; i < 10; ++i) {  // slow-loris: alive, but no faster
    header.send("y");
    std::this_thread::sleep_for(milliseconds(30));
  }
  EXPECT_EQ(header.read().status, 408);
  EXPECT_EQ(body.read().status, 408);
  EXPECT_TRUE(idle.closes());
}

TEST_F(Transport, ABodyThatEndsEarly) {
  serve();
  Client client(server_->port());
  client.send("POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nab");
  client.half_close();
  EXPECT_EQ(client.read().status, 400);
}

TEST_F(Transport, AHalfClosedClientGetsAQuickAnswer) {
  serve();
  Client client(server_->port());
  client.send("GET /hello HTTP/1.1\r\nhost: localhost\r\n\r\n");
  client.half_close();
  EXPECT_EQ(client.read().status, 200);
}

TEST_F(Transport, StreamsAsItComes) {
  serve();
  Client client(server_->port());
  client.send("POST /stream HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
  tap_->give("data: 1\n\n");
  ASSERT_TRUE(client.wait_for("data: 1\n\n"));
  tap_->give("data: 2\n\n");
  ASSERT_TRUE(client.wait_for("data: 2\n\n"));
  tap_->give("data: 3\n\n", true);
  const Reply reply = client.read();
  EXPECT_TRUE(reply.complete);
  EXPECT_EQ(reply.headers.at("content-type"), "text/event-stream");
  EXPECT_EQ(reply.body, "data: 1\n\ndata: 2\n\ndata: 3\n\n");
  EXPECT_EQ(client.ask("GET", "/hello").status, 200);  // the connection goes on
}

TEST_F(Transport, AStreamWithNothingToSaySaysThatItLives) {
  ServerOptions options;
  options.keep_alive_interval = std::chrono::milliseconds(20);
  serve(options);
  Client client(server_->port());
  client.send("POST /stream HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
  ASSERT_TRUE(client.wait_for(": still here\n\n"));
  tap_->give("data: 1\n\n");
  // In chunks of their own: 9 and 14 bytes.
  ASSERT_TRUE(client.wait_for("data: 1\n\n\r\ne\r\n: still here\n\n"));
  tap_->give("data: 2\n\n", true);
  const Reply reply = client.read();
  EXPECT_TRUE(reply.complete);
  EXPECT_TRUE(reply.body.ends_with("data: 2\n\n"));
}

TEST_F(Transport, AClientThatLeavesCancels) {
  serve();
  for (const char* path : {"/stream", "/wait"}) {
    tap_->cancelled = false;
    Client client(server_->port());
    client.send("POST " + std::string(path) +
                " HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
    EXPECT_FALSE(client.closes(50));
    EXPECT_FALSE(tap_->cancelled);
    client.close();
    EXPECT_TRUE(eventually([&] { return tap_->cancelled.load(); })) << path;
    EXPECT_TRUE(eventually([&] { return last_status() == 499; })) << path;
  }
}

TEST_F(Transport, AnAnswerThatTakesItsTime) {
  serve();
  Client client(server_->port());
  client.send("POST /wait HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
  EXPECT_FALSE(client.closes(50));
  tap_->give("done", true);
  EXPECT_EQ(client.read().body, "done");
}

TEST_F(Transport, ASlowReaderHoldsNothingButItsStream) {
  ServerOptions options;
  options.write_timeout = milliseconds(400);
  serve(options);
  Client slow(server_->port());
  slow.small_buffers();
  slow.send("POST /stream HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
  for (int i = 0; i < 64; ++i) tap_->give(std::string(size_t{1} << 18, 'x'));
  std::this_thread::sleep_for(milliseconds(100));
  const int pulls = tap_->pulls;
  Client other(server_->port());
  EXPECT_EQ(other.ask("GET", "/hello").status, 200);
  EXPECT_TRUE(eventually([&] { return tap_->cancelled.load(); }));  // the write took too long
  EXPECT_LE(tap_->pulls - pulls, 1);  // and nothing was pulled meanwhile
}

TEST_F(Transport, Keys) {
  ServerOptions options;
  options.api_keys = {"first", "second"};
  serve(options);
  Client client(server_->port());
  EXPECT_EQ(client.ask("GET", "/hello").status, 401);
  EXPECT_EQ(client.ask("GET", "/hello", "", "authorization: Bearer wrong\r\n").status, 401);
  EXPECT_EQ(client.ask("GET", "/hello", "", "authorization: Bearer secon\r\n").status, 401);
  EXPECT_EQ(client.ask("GET", "/hello", "", "authorization: Bearer second\r\n").status, 200);
  EXPECT_EQ(client.ask("GET", "/hello", "", "x-api-key: first\r\n").status, 200);
  const std::string both[] = {"authorization: Bearer wrong\r\nx-api-key: first\r\n",
                              "authorization: Bearer second\r\nx-api-key: wrong\r\n"};
  for (const std::string& keys : both)
    EXPECT_EQ(client.ask("GET", "/hello", "", keys).status, 200) << keys;
  EXPECT_EQ(client.ask("GET", "/hello", "", "authorization: Basic first\r\n").status, 401);
  EXPECT_EQ(client.ask("GET", "/open").status, 200);
}

TEST_F(Transport, OriginsAndHosts) {
  ServerOptions options;
  options.cors_origins = {"https://good.example"};
  options.allowed_hosts = {"proxy.example:8443"};
  serve(options);
  Client client(server_->port());
  const Reply good = client.ask("GET", "/hello", "", "origin: https://good.example\r\n");
  EXPECT_EQ(good.status, 200);
  EXPECT_EQ(good.headers.at("access-control-allow-origin"), "https://good.example");
  EXPECT_EQ(client.ask("GET", "/hello", "", "origin: https://bad.example\r\n").status, 403);
  EXPECT_EQ(client.ask("GET", "/hello", "", "origin: null\r\n").status, 403);
  const Reply own = client.ask("GET", "/hello", "", "origin: http://localhost\r\n");
  EXPECT_EQ(own.status, 200);
  EXPECT_EQ(own.headers.count("access-control-allow-origin"), 0u);
  const Reply preflight = client.ask("OPTIONS", "/echo", "",
                                     "origin: https://good.example\r\n"
                                     "access-control-request-method: POST\r\n"
                                     "access-control-request-headers: content-type\r\n");
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(preflight.headers.at("access-control-allow-headers"), "content-type");
  EXPECT_EQ(preflight.headers.at("access-control-allow-origin"), "https://good.example");
  EXPECT_EQ(client.ask("OPTIONS", "/echo", "", "origin: https://bad.example\r\n").status, 403);
  // A name that a stranger's name server gave to 127.0.0.1.
  EXPECT_EQ(raw("GET /hello HTTP/1.1\r\nhost: rebound.example:80\r\n\r\n").status, 403);
  for (const char* host :
       {"localhost:1", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST", "Proxy.example:443"})
    EXPECT_EQ(raw("GET /hello HTTP/1.1\r\nhost: " + std::string(host) + "\r\n\r\n").status, 200);
}

TEST_F(Transport, APublicAddressWantsAKey) {
  ServerOptions options;
  options.host = "0.0.0.0";
  options.port = 0;
  const auto bare = Server::bind(options, {});
  ASSERT_FALSE(bare);
  EXPECT_THAT(bare.error().message, HasSubstr("--insecure"));
  options.insecure = true;
  EXPECT_TRUE(Server::bind(options, {}));
  options.insecure = false;
  options.api_keys = {"key"};
  EXPECT_TRUE(Server::bind(options, {}));
  options.api_keys = {""};
  EXPECT_FALSE(Server::bind(options, {}));
}

TEST_F(Transport, BindFaults) {
  ServerOptions options;
  options.port = 0;
  serve();
  ServerOptions taken;
  taken.port = server_->port();
  const auto second = Server::bind(taken, {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::kFailed);
  options.host = "no such host";
  options.insecure = true;
  EXPECT_FALSE(Server::bind(options, {}));
  options = {};
  options.tls_certificate = "/nonexistent.pem";
  EXPECT_FALSE(Server::bind(options, {}));  // no key
  options.tls_key = "/nonexistent.key";
  const auto tls = Server::bind(options, {});
  ASSERT_FALSE(tls);
  EXPECT_THAT(tls.error().message, HasSubstr("/nonexistent.pem"));
}

TEST_F(Transport, TooManyConnections) {
  ServerOptions options;
  options.max_connections = 3;
  serve(options);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<Client>(server_->port()));
    ASSERT_EQ(clients.back()->ask("GET", "/hello").status, 200);
  }
  Client one_more(server_->port());
  EXPECT_EQ(one_more.read().status, 503);
  clients.pop_back();
  EXPECT_TRUE(eventually([&] {
    Client again(server_->port());
    return again.ask("GET", "/hello").status == 200;
  }));
}

TEST_F(Transport, UnixSocket) {
  const TemporaryFolder folder;
  const std::string path = folder / "socket";
  ServerOptions options;
  options.unix_socket = path;
  serve(options);
  EXPECT_EQ(server_->address(), "unix:" + path);
  Client client(path);
  ASSERT_TRUE(client.connected());
  EXPECT_EQ(client.ask("GET", "/hello").status, 200);
  EXPECT_FALSE(Server::bind(options, {}));  // somebody listens
  const auto permissions = std::filesystem::status(path).permissions();
  EXPECT_EQ(permissions & std::filesystem::perms::others_all, std::filesystem::perms::none);
  server_.reset();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(Transport, DrainLetsAnswersFinish) {
  serve();
  Client streaming(server_->port()), idle(server_->port());
  ASSERT_EQ(idle.ask("GET", "/hello").status, 200);
  streaming.send("POST /stream HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
  tap_->give("data: 1\n\n");
  ASSERT_TRUE(streaming.wait_for("data: 1"));
  server_->drain();
  EXPECT_TRUE(idle.closes());
  EXPECT_TRUE(eventually([&] { return !Client(server_->port()).connected(); }));
  tap_->give("data: 2\n\n", true);
  const Reply reply = streaming.read();
  EXPECT_TRUE(reply.complete);
  EXPECT_THAT(reply.body, HasSubstr("data: 2"));
  server_->join();
}

TEST_F(Transport, DrainCancelsWhatDoesNotEnd) {
  ServerOptions options;
  options.drain_timeout = milliseconds(200);
  serve(options);
  Client streaming(server_->port());
  streaming.send("POST /stream HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
  tap_->give("data: 1\n\n");
  ASSERT_TRUE(streaming.wait_for("data: 1"));
  server_->drain();
  EXPECT_TRUE(eventually([&] { return tap_->cancelled.load(); }));
  server_->join();
}

}  // namespace
}  // namespace godwit::server
