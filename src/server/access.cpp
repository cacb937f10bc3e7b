#include "server/access.h"

#include <algorithm>

#include "base/sha256.h"
#include "base/visible.h"

namespace godwit::server {
namespace {

std::array<uint8_t, 32> digest_of(std::string_view text) {
  Sha256 hash;
  hash.update(text);
  return hash.finish();
}

// "[::1]:8080" → "[::1]", "localhost:8080" → "localhost"
std::string_view without_port(std::string_view host) {
  const size_t colon = host.rfind(':');
  const size_t bracket = host.rfind(']');
  if (colon == std::string_view::npos || (bracket != std::string_view::npos && bracket > colon))
    return host;
  return host.substr(0, colon);
}

// "http://localhost:8080" → "localhost:8080"
std::string_view host_of_origin(std::string_view origin) {
  const size_t scheme = origin.find("://");
  return scheme == std::string_view::npos ? std::string_view() : origin.substr(scheme + 3);
}

}  // namespace

bool is_loopback(std::string_view host) {
  return equal_ignoring_case(host, "localhost") || host == "::1" || host == "[::1]" ||
         (host.rfind("127.", 0) == 0 && std::all_of(host.begin(), host.end(), [](char c) {
            return c == '.' || (c >= '0' && c <= '9');
          }));
}

Status check_exposure(const ServerOptions& options) {
  for (const std::string& key : options.api_keys) {
    if (key.empty()) return bad_input("api key: expected some text, found an empty key");
  }
  if (options.tls_certificate.empty() != options.tls_key.empty())
    return bad_input("TLS: expected a certificate and a key, found only one of them");
  if (!options.unix_socket.empty() || is_loopback(options.host)) return {};
  if (!options.api_keys.empty() || options.insecure) return {};
  return bad_input(
      "host {}: others can reach this address; give an API key (--api-key), or say --insecure",
      options.host);
}

Access::Access(const ServerOptions& options)
    : origins_(options.cors_origins),
      check_host_(options.unix_socket.empty() && is_loopback(options.host)) {
  hosts_.push_back(options.host);
  for (const std::string& host : options.allowed_hosts) hosts_.emplace_back(without_port(host));
  for (const std::string& key : options.api_keys) keys_.push_back(digest_of(key));
}

// A page of another site may be told by its own name server that its host is 127.0.0.1 (DNS
// rebinding); its requests then carry that name.
bool Access::host_allowed(std::string_view host) const {
  if (!check_host_ || host.empty()) return true;  // HTTP/1.0 has none; no browser speaks that
  const std::string_view name = without_port(host);
  return is_loopback(name) || std::any_of(hosts_.begin(), hosts_.end(), [&](const auto& allowed) {
           return equal_ignoring_case(name, allowed);
         });
}

bool Access::origin_allowed(std::string_view origin) const {
  return std::any_of(origins_.begin(), origins_.end(), [&](const std::string& allowed) {
    return allowed == "*" || equal_ignoring_case(allowed, origin);
  });
}

// Some clients send a key of their own as a bearer token and ours as x-api-key, or the other way
// round: one that is right is enough. The time depends on the number of keys only: every digest is
// compared to its end.
bool Access::key_allowed(const HttpRequest& request) const {
  if (keys_.empty()) return true;
  const std::string_view bearer = request.header("authorization");
  const bool is_bearer = equal_ignoring_case(bearer.substr(0, 7), "Bearer ");
  const Digest given[] = {digest_of(request.header("x-api-key")),
                          digest_of(is_bearer ? bearer.substr(7) : std::string_view())};
  int found = 0;
  for (const Digest& digest : given) {
    for (const Digest& key : keys_) {
      unsigned difference = 0;
      for (size_t i = 0; i < key.size(); ++i) difference |= key[i] ^ digest[i];
      found |= static_cast<int>(difference == 0);
    }
  }
  return found != 0;
}

std::optional<HttpReply> Access::refuse(const HttpRequest& request, bool open_route) const {
  const Dialect dialect = dialect_of_path(request.path);
  const std::string_view host = request.header("host");
  if (!host_allowed(host)) {
    return error_reply(dialect, 403,
                       fmt::format("host {} is not served here: expected localhost, 127.0.0.1 "
                                   "or [::1]; start the server with --allow-host {} to allow it",
                                   in_quotes(host), in_quotes(without_port(host))));
  }
  // Closed to pages of other sites: not even a request whose answer they could not read.
  const std::string_view origin = request.header("origin");
  if (!origin.empty() && !equal_ignoring_case(host_of_origin(origin), host) &&
      !origin_allowed(origin)) {
    return error_reply(dialect, 403,
                       fmt::format("origin {0} is not allowed; start the server with --cors {0} "
                                   "to allow it",
                                   in_quotes(origin)));
  }
  if (!open_route && !key_allowed(request)) {
    HttpReply reply = error_reply(
        dialect, 401, "a valid API key is needed: Authorization: Bearer KEY, or x-api-key: KEY");
    reply.headers.emplace_back("www-authenticate", "Bearer");
    return reply;
  }
  return std::nullopt;
}

Headers Access::cors_headers(const HttpRequest& request) const {
  const std::string_view origin = request.header("origin");
  if (origin.empty() || !origin_allowed(origin)) return {};
  return {{"access-control-allow-origin", std::string(origin)},
          {"access-control-expose-headers", "x-request-id, request-id"},
          {"vary", "origin"}};
}

HttpReply Access::preflight(const HttpRequest& request) const {
  HttpReply reply;
  reply.status = 204;
  reply.content_type.clear();
  reply.headers = {{"access-control-allow-methods", "GET, POST, DELETE"},
                   {"access-control-max-age", "600"}};
  const std::string_view wanted = request.header("access-control-request-headers");
  if (!wanted.empty()) reply.headers.emplace_back("access-control-allow-headers", wanted);
  if (request.header("access-control-request-private-network") == "true")
    reply.headers.emplace_back("access-control-allow-private-network", "true");
  return reply;
}

}  // namespace godwit::server
