#include "server/http_head.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

namespace godwit::server {
namespace {

constexpr size_t kMaxTarget = 8 << 10;

std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[64];
  const size_t n = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return std::string(text, n);
}

}  // namespace

std::optional<HeadFault> read_target(std::string_view target, HttpRequest& request) {
  if (target.size() > kMaxTarget) return HeadFault{414, "the address is too long"};
  for (const std::string_view scheme : {"http://", "https://"}) {  // the form for proxies
    if (!target.starts_with(scheme)) continue;
    target.remove_prefix(scheme.size());
    target.remove_prefix(std::min(target.find('/'), target.size()));
    if (target.empty()) target = "/";
  }
  const size_t question = target.find('?');
  if (question != std::string_view::npos) request.query = target.substr(question + 1);
  const std::string_view path = target.substr(0, question);
  if (!percent_decode(path, request.path) ||
      (!path.starts_with('/') && !(path == "*" && request.method == "OPTIONS")))
    return HeadFault{400, "the address is not a path"};
  return std::nullopt;
}

std::optional<HeadFault> check_headers(const HttpRequest& request, bool is_http11) {
  int hosts = 0;
  for (const auto& [name, text] : request.headers) {
    hosts += name == "host";
    if (name == "transfer-encoding" && !equal_ignoring_case(text, "chunked"))
      return HeadFault{501, "transfer encodings other than chunked are not supported"};
    if (name == "content-encoding" && !equal_ignoring_case(text, "identity"))
      return HeadFault{415, "compressed bodies are not supported"};
    if (name == "expect" && !equal_ignoring_case(text, "100-continue"))
      return HeadFault{417, "expected nothing but 100-continue"};
  }
  if (hosts > 1) return HeadFault{400, "there is more than one Host header"};
  if (is_http11 && request.header("host").empty())
    return HeadFault{400, "the Host header is missing"};
  return std::nullopt;
}

std::string reply_head(const HttpReply& reply, std::string_view id, std::string_view connection,
                       std::string_view framing) {
  std::string head = fmt::format("HTTP/1.1 {} {}\r\ndate: {}\r\nserver: godwit\r\n", reply.status,
                                 status_text(reply.status), http_date());
  if (reply.status != 204 && !framing.empty()) head += fmt::format("{}\r\n", framing);
  if (!reply.content_type.empty()) head += fmt::format("content-type: {}\r\n", reply.content_type);
  if (!connection.empty()) head += fmt::format("connection: {}\r\n", connection);
  head += fmt::format("x-request-id: {0}\r\nrequest-id: {0}\r\n", id);  // OpenAI's, Anthropic's
  for (const auto& [name, text] : reply.headers) head += fmt::format("{}: {}\r\n", name, text);
  return head + "\r\n";
}

}  // namespace godwit::server
