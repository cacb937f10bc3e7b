// The HTTP transport, the only file that knows Boost: sockets, TLS, HTTP/1.1, limits and times.
//
//   accept ─► Session (a coroutine on the I/O thread) ─► handler (worker thread) ─► reply
//                │ ▲                                                                  │
//                │ └── pulls a Stream or PendingReply when its bell rings ◄───────────┘
//                └──── keeps one read under way, so that a client that leaves is noticed
//
// A session waits in one place only: wait(deadline), a timer that a finished read or write, a
// handler's reply or a bell cancels. Every loop looks at the state before it waits again, so no
// signal is lost. An idle stream costs a socket, a coroutine and a read buffer of 4 KB.
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <cctype>
#include <filesystem>
#include <optional>
#include <random>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/log.h"
#include "base/visible.h"
#include "server/access.h"
#include "server/http_head.h"
#include "server/router.h"
#include "server/server.h"
#include "server/workers.h"

namespace godwit::server {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Socket = asio::generic::stream_protocol::socket;

constexpr size_t kHeadRead = 4 << 10, kBodyRead = 64 << 10;  // bytes of one read
constexpr size_t kWriteBytes = 64 << 10;                     // of one write, with its own time
constexpr size_t kBodyBytesPerSecond = 64 << 10;  // slower than this, body_timeout runs out
constexpr auto kLong = std::chrono::hours(24);

// Bytes → HttpRequest. The parser's own rules refuse smuggling (two lengths, a length beside
// chunks).
class RequestParser final : public http::basic_parser<true> {
 public:
  explicit RequestParser(HttpRequest& request) : request_(request) {}

  std::string target;
  bool method_known = true, is_http11 = true;
  size_t head_bytes = 0;

 private:
  using View = boost::beast::string_view;
  void on_request_impl(http::verb verb, View method, View uri, int version, error_code&) override {
    method_known = verb != http::verb::unknown;
    request_.method = std::string(method);
    target = std::string(uri);
    is_http11 = version == 11;
  }
  void on_response_impl(int, View, int, error_code&) override {}
  void on_field_impl(http::field, View name, View field, error_code&) override {
    if (head_done_) return;  // a trailer
    std::string lower(name);
    for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    request_.headers.emplace_back(std::move(lower), std::string(field));
  }
  void on_header_impl(error_code&) override { head_done_ = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(View bytes, error_code&) override {
    request_.body.append(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_chunk_header_impl(std::uint64_t, View, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, View bytes, error_code&) override {
    request_.body.append(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_finish_impl(error_code&) override {}

  HttpRequest& request_;
  bool head_done_ = false;
};

// A connection's bytes, with or without TLS.
class Wire {
 public:
  using Handler = std::function<void(error_code, size_t)>;
  virtual ~Wire() = default;
  virtual void handshake(Handler done) = 0;
  virtual void read(asio::mutable_buffer into, Handler done) = 0;
  virtual void write(asio::const_buffer all, Handler done) = 0;
  virtual Socket& socket() = 0;
};

class PlainWire final : public Wire {
 public:
  explicit PlainWire(Socket socket) : socket_(std::move(socket)) {}
  void handshake(Handler done) override { done({}, 0); }
  void read(asio::mutable_buffer into, Handler done) override {
    socket_.async_read_some(into, std::move(done));
  }
  void write(asio::const_buffer all, Handler done) override {
    asio::async_write(socket_, all, std::move(done));
  }
  Socket& socket() override { return socket_; }

 private:
  Socket socket_;
};

class TlsWire final : public Wire {
 public:
  TlsWire(Socket socket, asio::ssl::context& tls) : stream_(std::move(socket), tls) {}
  void handshake(Handler done) override {
    stream_.async_handshake(asio::ssl::stream_base::server,
                            [done = std::move(done)](error_code ec) { done(ec, 0); });
  }
  void read(asio::mutable_buffer into, Handler done) override {
    stream_.async_read_some(into, std::move(done));
  }
  void write(asio::const_buffer all, Handler done) override {
    asio::async_write(stream_, all, std::move(done));
  }
  Socket& socket() override { return stream_.next_layer(); }

 private:
  asio::ssl::stream<Socket> stream_;
};

class Session;

// What the sessions share; the I/O thread's, but for `workers`.
struct Core {
  Core(const ServerOptions& o, std::vector<Route> routes)
      : options(o), access(o), router(std::move(routes)), workers(o.workers) {}

  const ServerOptions options;
  const Access access;
  const Router router;
  // Bells of engine threads may outlive the server: they keep this alive.
  std::shared_ptr<asio::io_context> io = std::make_shared<asio::io_context>(1);
  Workers workers;
  std::unordered_map<Session*, std::weak_ptr<Session>> sessions;
  size_t bodies_bytes = 0;  // of all requests being read or handled
  bool draining = false, aborted = false;
  std::function<void()> on_session_end;
};

std::string draw_request_id() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  return fmt::format("req_{:016x}", random());
}

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Core& core, std::unique_ptr<Wire> wire, std::string remote)
      : core_(core), wire_(std::move(wire)), remote_(std::move(remote)), timer_(*core.io) {}

  static asio::awaitable<void> run(std::shared_ptr<Session> self) {
    try {
      bool open = co_await self->shake_hands();
      while (open) open = co_await self->exchange();
    } catch (const std::exception& fault) {  // out of memory
      log_warn("{}: {}", self->remote_, fault.what());
    }
    self->close();
    self->core_.sessions.erase(self.get());
    self->core_.on_session_end();
  }
  void wake() { timer_.cancel(); }
  // The server gives up waiting for this session.
  void abort() {
    close();
    wake();
  }

 private:
  // ---- Waiting, reading, writing

  asio::awaitable<void> wait(Clock::time_point deadline) {
    timer_.expires_at(deadline);
    error_code ignored;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  asio::awaitable<void> wait() { return wait(Clock::now() + kLong); }

  void close() {
    error_code ignored;
    wire_->socket().close(ignored);
  }
  bool gone() const { return ended_ || core_.aborted; }

  asio::awaitable<bool> shake_hands() {
    bool done = false, good = false;
    wire_->handshake([self = shared_from_this(), &done, &good](error_code ec, size_t) {
      done = true;
      good = !ec;
      self->wake();
    });
    const auto deadline = Clock::now() + core_.options.header_timeout;
    while (!done) {
      co_await wait(deadline);
      if (!done && Clock::now() >= deadline) close();
    }
    co_return good;
  }

  // One read under way, unless enough lies here already.
  void start_read() {
    if (reading_ || ended_ || in_.size() > core_.options.max_header_bytes) return;
    reading_ = true;
    if (read_buffer_.size() != read_size_) read_buffer_ = std::vector<char>(read_size_);
    wire_->read(asio::buffer(read_buffer_), [self = shared_from_this()](error_code ec, size_t n) {
      self->reading_ = false;
      self->in_.append(self->read_buffer_.data(), n);
      if (ec) self->ended_ = true;
      self->wake();
    });
  }

  // False: the client has left or takes too long.
  asio::awaitable<bool> write(std::string bytes) {
    out_ = std::move(bytes);
    reply_bytes_ += out_.size();
    for (size_t begin = 0; begin < out_.size(); begin += kWriteBytes) {
      const size_t n = std::min(kWriteBytes, out_.size() - begin);
      writing_ = true;
      wire_->write(asio::buffer(out_.data() + begin, n),
                   [self = shared_from_this()](error_code ec, size_t) {
                     self->writing_ = false;
                     if (ec) self->write_failed_ = true;
                     self->wake();
                   });
      const auto deadline = Clock::now() + core_.options.write_timeout;
      while (writing_) {
        co_await wait(deadline);
        if (writing_ && Clock::now() >= deadline) close();
      }
      if (write_failed_) co_return false;
    }
    out_.clear();
    co_return true;
  }

  // ---- One request and its reply

  // False: the connection ends.
  asio::awaitable<bool> exchange() {
    const bool arrived = co_await first_byte();
    if (!arrived) co_return false;
    begin_ = Clock::now();
    reply_bytes_ = 0;
    request_ = {};
    request_.remote = remote_;
    request_.id = draw_request_id();
    match_ = {};
    parser_.emplace(request_);
    parser_->header_limit(static_cast<std::uint32_t>(core_.options.max_header_bytes));
    parser_->body_limit(core_.options.max_body_bytes);

    std::optional<HttpReply> refusal = co_await read_request();
    if (!refusal && gone() && !parser_->is_done()) co_return false;
    bool again = false;
    if (refusal) {
      again = co_await answer(std::move(*refusal));
    } else {
      again = co_await handle();
    }
    const size_t request_bytes = request_.body.size() + parser_->head_bytes;
    release_body();
    report(request_bytes);
    const bool whole = parser_->is_done();
    if (!whole) co_await linger();
    co_return again&& whole;
  }

  asio::awaitable<bool> first_byte() {
    const auto deadline = Clock::now() + core_.options.idle_timeout;
    read_size_ = kHeadRead;
    for (;;) {
      // Empty lines before a request are allowed.
      const size_t skip = in_.find_first_not_of("\r\n");
      in_.erase(0, skip == std::string::npos ? in_.size() : skip);
      if (!in_.empty()) co_return true;
      if (gone() || core_.draining || Clock::now() >= deadline) co_return false;
      start_read();
      co_await wait(deadline);
    }
  }

  // The head, its checks, the body. A reply: refused; the body was perhaps not read.
  asio::awaitable<std::optional<HttpReply>> read_request() {
    auto deadline = begin_ + core_.options.header_timeout;
    for (;;) {
      if (auto bad = feed()) co_return bad;
      if (parser_->is_header_done()) break;
      if (gone()) co_return std::nullopt;
      if (Clock::now() >= deadline) co_return refuse(408, "the header took too long");
      start_read();
      co_await wait(deadline);
    }
    if (auto bad = check_head()) co_return bad;
    if (equal_ignoring_case(request_.header("expect"), "100-continue") && !parser_->is_done() &&
        in_.empty()) {
      const bool told = co_await write("HTTP/1.1 100 Continue\r\n\r\n");
      if (!told) co_return std::nullopt;
    }
    const auto body_begin = Clock::now();
    read_size_ = kBodyRead;
    for (;;) {
      if (auto bad = feed()) co_return bad;
      if (parser_->is_done()) break;
      if (gone()) co_return refuse(400, "the body ended early");
      deadline = body_begin + core_.options.body_timeout +
                 std::chrono::seconds(request_.body.size() / kBodyBytesPerSecond);
      if (Clock::now() >= deadline) co_return refuse(408, "the body took too long");
      start_read();
      co_await wait(deadline);
    }
    read_size_ = kHeadRead;
    co_return std::nullopt;
  }

  // Gives the parser what has arrived, up to the end of the head or of the request.
  std::optional<HttpReply> feed() {
    const bool in_head = !parser_->is_header_done();
    while (!in_.empty() && !parser_->is_done()) {
      error_code ec;
      const size_t before = request_.body.size();
      const size_t n = parser_->put(asio::buffer(in_), ec);
      if (in_head) parser_->head_bytes += n;
      core_.bodies_bytes += request_.body.size() - before;
      body_charge_ += request_.body.size() - before;
      if (ec && ec != http::error::need_more) return refuse_syntax(ec);
      in_.erase(0, n);
      if (in_head && parser_->head_bytes > core_.options.max_header_bytes)
        return refuse(431, "the header is too long");
      if (core_.bodies_bytes > core_.options.max_bodies_bytes)
        return refuse(503, "too many large requests at once");
      if (ec) {
        if (in_.size() <= core_.options.max_header_bytes) return std::nullopt;
        return refuse(in_head ? 431 : 400, "a line of the request is too long");
      }
      if (in_head && parser_->is_header_done()) return std::nullopt;
    }
    return std::nullopt;
  }

  HttpReply refuse(int status, std::string_view message) const {
    return error_reply(dialect_of_path(request_.path.empty() ? parser_->target : request_.path),
                       status, message);
  }

  HttpReply refuse_syntax(error_code ec) const {
    if (ec == http::error::body_limit) {
      return refuse(413, fmt::format("the body is too large: expected at most {} bytes",
                                     core_.options.max_body_bytes));
    }
    if (ec == http::error::header_limit) {
      const bool in_target = request_.method.empty();
      return refuse(in_target ? 414 : 431,
                    in_target ? "the address is too long" : "the header is too long");
    }
    const size_t version = in_.find(" HTTP/");
    if (ec == http::error::bad_version && version < in_.find('\n') &&
        in_.compare(version + 6, 2, "1.") != 0)
      return refuse(505, "expected HTTP/1.1 or HTTP/1.0");
    return refuse(400, fmt::format("this is not HTTP: {}", ec.message()));
  }

  // ---- The head

  std::optional<HttpReply> check_head() {
    if (!parser_->method_known)
      return refuse(501, fmt::format("the method {} is not known", in_quotes(request_.method)));
    if (const auto bad = read_target(parser_->target, request_))
      return refuse(bad->status, bad->message);
    if (const auto bad = check_headers(request_, parser_->is_http11))
      return refuse(bad->status, bad->message);
    match_ = core_.router.find(request_.method, request_.path);
    const bool is_options = request_.method == "OPTIONS";
    const bool open = is_options || (match_.route && match_.route->open) || match_.allowed.empty();
    if (auto bad = core_.access.refuse(request_, open)) return bad;
    if (match_.allowed.empty())
      return refuse(404, fmt::format("there is nothing at {}", in_quotes(request_.path)));
    if (match_.route) {
      request_.parameter = match_.parameter;
      return std::nullopt;
    }
    HttpReply reply;
    if (!is_options) {
      reply = refuse(405, fmt::format("{} is not for {}: expected {}", in_quotes(request_.path),
                                      request_.method, match_.allowed));
    } else if (!request_.header("origin").empty()) {
      reply = core_.access.preflight(request_);
    } else {
      reply.status = 204;
    }
    reply.headers.emplace_back("allow", match_.allowed);
    return reply;
  }

  // ---- The reply

  asio::awaitable<bool> handle() {
    std::unique_ptr<HttpReply> made;
    if (request_.method == "POST") {
      core_.workers.post([self = shared_from_this(), &made] {
        auto reply = self->call_handler();
        asio::post(*self->core_.io, [self, &made, reply = std::move(reply)]() mutable {
          made = std::move(reply);
          self->wake();
        });
      });
    } else {
      made = call_handler();
    }
    while (!made) co_await wait();
    release_body();
    if (made->pending) {
      const auto pending = std::move(made->pending);
      pending->on_ready(bell());
      for (made = pending->pull(); !made; made = pending->pull()) {
        if (gone()) {
          pending->cancel();
          status_ = 499;
          co_return false;
        }
        start_read();
        co_await wait();
      }
    }
    co_return co_await answer(std::move(*made));
  }

  std::unique_ptr<HttpReply> call_handler() const {
    auto reply = std::make_unique<HttpReply>();
    try {
      *reply = match_.route->handler(request_);
    } catch (const std::exception& fault) {  // out of memory, above all
      log_warn("{}: {}", request_.path, fault.what());
      *reply = error_reply(dialect_of_path(request_.path), 500, "internal error");
    }
    return reply;
  }

  // What a Stream rings when it has more; any thread.
  std::function<void()> bell() {
    auto rung = std::make_shared<std::atomic<bool>>(false);
    return [weak = weak_from_this(), io = core_.io, rung] {
      if (rung->exchange(true)) return;
      asio::post(*io, [weak, rung] {
        rung->store(false);
        if (const auto self = weak.lock()) self->wake();
      });
    };
  }

  asio::awaitable<bool> answer(HttpReply reply) {
    status_ = reply.status;
    const bool keep =
        parser_->is_header_done() && parser_->is_done() && parser_->keep_alive() && !core_.draining;
    for (auto& header : core_.access.cors_headers(request_))
      reply.headers.push_back(std::move(header));
    if (const auto& fault = reply.fault)
      reply.body = error_body(fault->dialect, reply.status, fault->message, request_.id);
    if (reply.stream) {
      const bool sent = co_await send_stream(reply, keep);
      co_return sent&& keep && parser_->is_http11;
    }
    std::string bytes = head_of(reply, keep, fmt::format("content-length: {}", reply.body.size()));
    if (request_.method != "HEAD") bytes += reply.body;
    const bool sent = co_await write(std::move(bytes));
    co_return sent&& keep;
  }

  std::string head_of(const HttpReply& reply, bool keep, std::string_view framing) const {
    const std::string_view connection = !keep ? "close" : !parser_->is_http11 ? "keep-alive" : "";
    return reply_head(reply, request_.id, connection, framing);
  }

  // Pulled only when the bytes before are written. HTTP/1.0 knows no chunks: the end of the
  // connection is the end of the stream.
  asio::awaitable<bool> send_stream(HttpReply& reply, bool keep) {
    const bool chunked = parser_->is_http11;
    std::string bytes =
        head_of(reply, keep && chunked, chunked ? "transfer-encoding: chunked" : "");
    Stream& stream = *reply.stream;
    stream.on_ready(bell());
    const auto interval = core_.options.keep_alive_interval;
    for (auto quiet_until = Clock::now() + interval;;) {
      StreamStep step = stream.pull();
      if (step.bytes.empty() && !step.done && Clock::now() >= quiet_until) {
        step.bytes = stream.keep_alive();
        quiet_until = Clock::now() + interval;
      }
      if (!step.bytes.empty())
        bytes +=
            chunked ? fmt::format("{:x}\r\n{}\r\n", step.bytes.size(), step.bytes) : step.bytes;
      if (step.done && chunked) bytes += "0\r\n\r\n";
      if (!bytes.empty()) {
        const bool sent = co_await write(std::exchange(bytes, {}));
        if (!sent || (gone() && !step.done)) {
          stream.cancel();
          status_ = 499;
          co_return false;
        }
        quiet_until = Clock::now() + interval;
        if (!step.done) continue;
      }
      if (step.done) co_return true;
      if (gone()) {
        stream.cancel();
        status_ = 499;
        co_return false;
      }
      start_read();
      co_await wait(quiet_until);
    }
  }

  void release_body() {
    core_.bodies_bytes -= std::exchange(body_charge_, 0);
    request_.body = {};
  }

  void report(size_t request_bytes) const {
    RequestReport report;
    report.route = match_.route ? match_.route->name : "other";
    report.method = request_.method;
    report.path = request_.path;
    report.remote = remote_;
    report.id = request_.id;
    report.status = status_;
    report.seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
    report.request_bytes = request_bytes;
    report.reply_bytes = reply_bytes_;
    log_info("{} {} {} {} {:.3f} s", remote_, report.method, parser_->target.substr(0, 200),
             status_, report.seconds);
    if (core_.options.on_request) core_.options.on_request(report);
  }

  // What the client still sends is read away for a moment: closing at once would throw the reply
  // away with it.
  asio::awaitable<void> linger() {
    error_code ignored;
    wire_->socket().shutdown(Socket::shutdown_send, ignored);
    const auto deadline = Clock::now() + std::min<Clock::duration>(std::chrono::seconds(2),
                                                                   core_.options.header_timeout);
    for (size_t read = 0; read < (size_t{8} << 20) && Clock::now() < deadline && !gone();) {
      read += in_.size();
      in_.clear();
      start_read();
      co_await wait(deadline);
    }
  }

  Core& core_;
  const std::unique_ptr<Wire> wire_;
  const std::string remote_;
  asio::steady_timer timer_;
  std::vector<char> read_buffer_;
  size_t read_size_ = kHeadRead;
  std::string in_, out_;  // arrived and not parsed; being written
  bool reading_ = false, writing_ = false, ended_ = false, write_failed_ = false;

  // Of the request at hand.
  HttpRequest request_;
  RouteMatch match_;
  std::optional<RequestParser> parser_;
  Clock::time_point begin_;
  size_t body_charge_ = 0, reply_bytes_ = 0;
  int status_ = 0;
};

class HttpServer final : public Server {
 public:
  HttpServer(const ServerOptions& options, std::vector<Route> routes)
      : core_(options, std::move(routes)), tcp_(*core_.io), local_(*core_.io), timer_(*core_.io) {
    core_.on_session_end = [this] {
      if (core_.draining && core_.sessions.empty()) timer_.cancel();
    };
  }
  ~HttpServer() override {
    core_.workers.join();
    if (!socket_path_.empty()) ::unlink(socket_path_.c_str());
  }

  Status listen() {
    TRY_STATUS(load_tls());
    return core_.options.unix_socket.empty() ? listen_tcp() : listen_unix();
  }
  int bound_port() const override { return port_; }
  std::string address() const override {
    if (!socket_path_.empty()) return "unix:" + socket_path_;
    const std::string& host = core_.options.host;
    const bool is_v6 = host.find(':') != std::string::npos && host.front() != '[';
    return fmt::format("{}://{}{}{}:{}", tls_ ? "https" : "http", is_v6 ? "[" : "", host,
                       is_v6 ? "]" : "", port_);
  }

  void run() override {
    if (tcp_.is_open()) accept(tcp_);
    if (local_.is_open()) accept(local_);
    core_.io->run();
  }
  void stop() override {
    asio::post(*core_.io, [this] { drain(); });
  }

 private:
  Status load_tls() {
    const ServerOptions& options = core_.options;
    if (options.tls_certificate.empty()) return {};
    tls_.emplace(asio::ssl::context::tls_server);
    tls_->set_options(asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1);
    error_code ec;
    tls_->use_certificate_chain_file(options.tls_certificate, ec);
    if (ec)
      return bad_input("{}: expected a PEM certificate: {}", options.tls_certificate, ec.message());
    tls_->use_private_key_file(options.tls_key, asio::ssl::context::pem, ec);
    if (ec)
      return bad_input("{}: expected the PEM key of {}: {}", options.tls_key,
                       options.tls_certificate, ec.message());
    return {};
  }

  Status listen_tcp() {
    const ServerOptions& options = core_.options;
    if (options.port < 0 || options.port > 65535)
      return bad_input("port: expected 0 to 65535, found {}", options.port);
    asio::ip::tcp::resolver resolver(*core_.io);
    error_code ec;
    std::string host = options.host;
    if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
    const auto found =
        resolver.resolve(host, std::to_string(options.port), asio::ip::resolver_base::passive, ec);
    if (ec || found.empty())
      return bad_input("host {}: expected an address of this machine: {}", host, ec.message());
    const asio::ip::tcp::endpoint endpoint = found.begin()->endpoint();
    tcp_.open(endpoint.protocol(), ec);
    if (!ec) tcp_.set_option(asio::socket_base::reuse_address(true), ec);
    if (!ec) tcp_.bind(endpoint, ec);
    if (!ec) tcp_.listen(1024, ec);
    if (ec) return failed("cannot listen on {}:{}: {}", host, options.port, ec.message());
    port_ = tcp_.local_endpoint().port();
    return {};
  }

  // A socket file that a killed server left is replaced; one that answers is not.
  Status listen_unix() {
    const std::string& path = core_.options.unix_socket;
    if (path.size() > 100)
      return bad_input("unix socket: expected a path of at most 100 bytes, found {}", path.size());
    const asio::local::stream_protocol::endpoint endpoint(path);
    std::error_code ignored;
    if (std::filesystem::is_socket(path, ignored)) {
      asio::local::stream_protocol::socket probe(*core_.io);
      error_code refused;
      probe.connect(endpoint, refused);
      if (!refused) return failed("{}: another server listens here", path);
      ::unlink(path.c_str());
    }
    error_code ec;
    local_.open(endpoint.protocol(), ec);
    const mode_t before = ::umask(0177);  // for its owner only
    if (!ec) local_.bind(endpoint, ec);
    ::umask(before);
    if (!ec) local_.listen(1024, ec);
    if (ec) return failed("cannot listen on {}: {}", path, ec.message());
    socket_path_ = path;
    return {};
  }

  template <class Acceptor>
  void accept(Acceptor& acceptor) {
    acceptor.async_accept([this, &acceptor](error_code ec, auto socket) {
      if (!acceptor.is_open()) return;
      if (!ec) {
        open_session(std::move(socket));
        accept(acceptor);
      } else {  // no file descriptors left: others will close
        timer_.expires_after(std::chrono::milliseconds(50));
        timer_.async_wait([this, &acceptor](error_code) {
          if (acceptor.is_open()) accept(acceptor);
        });
      }
    });
  }

  static std::string name_of(const asio::ip::tcp::socket& socket) {
    error_code ec;
    const auto endpoint = socket.remote_endpoint(ec);
    return ec ? "?" : fmt::format("{}:{}", endpoint.address().to_string(), endpoint.port());
  }
  static std::string name_of(const asio::local::stream_protocol::socket&) { return "unix"; }
  static void prepare(asio::ip::tcp::socket& socket) {
    error_code ignored;
    socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  }
  static void prepare(asio::local::stream_protocol::socket&) {}

  template <class S>
  void open_session(S accepted) {
    const std::string remote = name_of(accepted);
    prepare(accepted);
    Socket socket(std::move(accepted));
    if (core_.sessions.size() >= static_cast<size_t>(core_.options.max_connections)) {
      static constexpr std::string_view kFull =
          "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n"
          "content-length: 0\r\n\r\n";
      error_code ignored;
      if (!tls_) {
        socket.non_blocking(true, ignored);
        socket.send(asio::buffer(kFull), 0, ignored);
      }
      return;
    }
    std::unique_ptr<Wire> wire;
    if (tls_) {
      wire = std::make_unique<TlsWire>(std::move(socket), *tls_);
    } else {
      wire = std::make_unique<PlainWire>(std::move(socket));
    }
    const auto session = std::make_shared<Session>(core_, std::move(wire), remote);
    core_.sessions.emplace(session.get(), session);
    asio::co_spawn(*core_.io, Session::run(session), asio::detached);
  }

  void drain() {
    error_code ignored;
    tcp_.close(ignored);
    local_.close(ignored);
    if (core_.draining) return abort_all();
    core_.draining = true;
    wake_all();
    if (core_.sessions.empty()) return;
    timer_.expires_after(core_.options.drain_timeout);
    timer_.async_wait([this](error_code ec) {
      if (!ec) abort_all();
    });
  }
  void wake_all() {
    for (const auto& [unused, weak] : core_.sessions) {
      if (const auto session = weak.lock()) session->wake();
    }
  }
  void abort_all() {
    core_.aborted = true;
    if (!core_.sessions.empty())
      log_warn("{} requests under way are cut off: the server stops", core_.sessions.size());
    for (const auto& [unused, weak] : core_.sessions) {
      if (const auto session = weak.lock()) session->abort();
    }
  }

  Core core_;
  std::optional<asio::ssl::context> tls_;
  asio::ip::tcp::acceptor tcp_;
  asio::local::stream_protocol::acceptor local_;
  asio::steady_timer timer_;  // of accepting again, then of draining
  int port_ = 0;
  std::string socket_path_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::bind(const ServerOptions& options,
                                             std::vector<Route> routes) {
  TRY_STATUS(check_exposure(options));
  auto server = std::make_unique<HttpServer>(options, std::move(routes));
  TRY_STATUS(server->listen());
  return server;
}

}  // namespace godwit::server
