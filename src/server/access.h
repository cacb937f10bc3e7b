// Who may ask: the address that is bound, the Host and Origin headers, the API key.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "server/server.h"

namespace godwit::server {

// "127.0.0.1", "::1", "localhost": reached from this machine alone.
bool is_loopback(std::string_view host);
// A public address needs a key, unless --insecure is spelled out.
Status check_exposure(const ServerOptions& options);

class Access {
 public:
  explicit Access(const ServerOptions& options);

  // nullopt: come in. Looks at the head of the request only.
  std::optional<HttpReply> refuse(const HttpRequest& request, bool open_route) const;
  // The answer to a preflight of an allowed origin.
  HttpReply preflight(const HttpRequest& request) const;
  // What a reply to an allowed origin carries.
  Headers cors_headers(const HttpRequest& request) const;

 private:
  bool host_allowed(std::string_view host) const;
  bool origin_allowed(std::string_view origin) const;
  bool key_allowed(const HttpRequest& request) const;

  using Digest = std::array<uint8_t, 32>;
  std::vector<Digest> keys_;  // SHA-256: of one length, and not the keys themselves
  std::vector<std::string> origins_;
  std::vector<std::string> hosts_;  // beside localhost's own names
  bool check_host_;
};

}  // namespace godwit::server
