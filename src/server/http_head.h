// The head of a request, checked, and of a reply, written: HTTP without sockets.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "server/http.h"

namespace godwit::server {

struct HeadFault {
  int status;
  std::string message;
};

// "/v1/models?x=1" or "http://host/v1/models" → path and query.
std::optional<HeadFault> read_target(std::string_view target, HttpRequest& request);
// Host, Transfer-Encoding, Content-Encoding, Expect.
std::optional<HeadFault> check_headers(const HttpRequest& request, bool is_http11);

// `connection`: "close", "keep-alive" or nothing. `framing`: "content-length: 5", or nothing.
std::string reply_head(const HttpReply& reply, std::string_view id, std::string_view connection,
                       std::string_view framing);

}  // namespace godwit::server
