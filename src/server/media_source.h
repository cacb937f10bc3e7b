// MediaSource: where a request's pictures and clips may come from. Data URLs always; file:// only
// under the folders of --media-root (links are followed before the check); http(s) only with
// --remote-media, and never from addresses that are not public.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/chat_message.h"

namespace godwit::server {

// Standard alphabet, padded, no white space.
Result<std::string> decode_base64(std::string_view text);
std::string encode_base64(std::string_view bytes);

class MediaSource {
 public:
  MediaSource() = default;
  MediaSource(std::vector<std::string> roots, bool remote)
      : roots_(std::move(roots)), remote_(remote) {}

  // The bytes behind data:, file://, http:// or https://. `name` is for messages ("messages[0]…").
  // `kind`: "image" or "video"; a data URL of another type is refused.
  Result<std::shared_ptr<const text::MediaBytes>> from_url(const std::string& url,
                                                           std::string_view kind,
                                                           const std::string& name) const;
  // Base64 alone, as Anthropic and Ollama have it.
  static Result<std::shared_ptr<const text::MediaBytes>> from_base64(std::string_view base64,
                                                                     const std::string& name);

 private:
  Result<std::string> read_file_url(std::string_view url) const;

  std::vector<std::string> roots_;
  bool remote_ = false;
};

// GET with at most three redirects, each connection made only to an address that `may_connect`
// accepts ("93.184.216.34", "2606:2800::1").
using AddressCheck = std::function<bool(const std::string& address)>;
bool is_public_address(const std::string& address);
Result<std::string> fetch_url(const std::string& url, size_t max_bytes, int timeout_seconds,
                              const AddressCheck& may_connect);

}  // namespace godwit::server
