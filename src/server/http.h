// Requests and replies as the API files see them. No sockets here: transport.cpp (Boost) speaks
// HTTP.
//
// A handler of POST runs on a worker thread (parsing JSON, decoding base64, submitting to the
// engine); one of another method does little and runs on the I/O thread. It returns an HttpReply: a
// whole body, a Stream that is pulled on the I/O thread whenever the engine says that there is
// more, or a PendingReply that becomes one of the two. The transport cancels either when the client
// has left.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace godwit::server {

// Whether an error of the engine's says that the prompt does not fit into the context, and the code
// by which OpenAI's clients know it.
bool is_too_long(std::string_view message);
constexpr std::string_view kTooLong = "context_length_exceeded";

using Headers = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;     // GET, POST, …
  std::string path;       // decoded, without the query
  std::string parameter;  // what stands for the {…} of the route
  std::string query;      // raw, without '?'
  Headers headers;        // names in lower case
  std::string body;
  std::string remote;  // for logs
  std::string id;      // drawn by the transport; sent back as x-request-id and request-id

  // "" if there is none. Names in lower case.
  std::string_view header(std::string_view name) const;
};

// What a stream gives each time it is pulled.
struct StreamStep {
  std::string bytes;
  bool done = false;
};

class Stream {
 public:
  virtual ~Stream() = default;
  // `notify` may be called from any thread, any number of times; it is set once, before the first
  // pull.
  virtual void on_ready(std::function<void()> notify) = 0;
  // I/O thread; never waits. Empty bytes and not done: nothing now. Called again only when the
  // bytes before were written, so a slow client slows nothing but its own stream.
  virtual StreamStep pull() = 0;
  // What is sent where nothing else was for a while, so that no client or proxy takes the stream
  // for dead; empty: nothing. Between two pulls.
  virtual std::string keep_alive() { return {}; }
  // The client left, or the server drains: stop the work. No pull follows.
  virtual void cancel() = 0;
};

// A whole answer that is not ready yet: pulled like a stream, sent at once with its own status when
// done.
struct HttpReply;
class PendingReply {
 public:
  virtual ~PendingReply() = default;
  virtual void on_ready(std::function<void()> notify) = 0;
  virtual std::unique_ptr<HttpReply> pull() = 0;  // null: nothing now
  virtual void cancel() = 0;
};

// The API styles, each with its own shape of an error.
enum class Dialect { kOpenAi, kAnthropic, kOllama };

struct HttpReply {
  struct Fault {
    Dialect dialect;
    std::string message;
  };
  int status = 200;
  std::string content_type = "application/json";
  Headers headers;
  std::string body;                // when none of the three below is set
  std::optional<Fault> fault;      // becomes a body when the request's id is known
  std::unique_ptr<Stream> stream;  // sent in chunks (text/event-stream, application/x-ndjson)
  std::unique_ptr<PendingReply> pending;
};

using Handler = std::function<HttpReply(const HttpRequest&)>;

struct Route {
  std::string method, path;  // path: exact, or with one trailing parameter "/v1/models/{id}" (the
                             // rest of the path)
  Handler handler;
  std::string name;   // for metrics; empty: the path
  bool open = false;  // served without an API key (health, the page's files)
};

Dialect dialect_of_path(std::string_view path);
// {"error": …} as the dialect has it, for replies and for errors inside a stream. `id`: of the
// request, which Anthropic's errors repeat.
std::string error_body(Dialect dialect, int status, std::string_view message,
                       std::string_view id = {});
HttpReply error_reply(Dialect dialect, int status, std::string_view message);

// "%41" → "A". False: not percent-encoding, or a byte 0.
bool percent_decode(std::string_view text, std::string& decoded);
bool equal_ignoring_case(std::string_view a, std::string_view b);
std::string_view status_text(int status);

}  // namespace godwit::server
