// fetch_url: libcurl, bound to what the address check lets through. The check sees the very address
// that curl is about to connect to, so neither a name server that changes its mind nor a redirect
// gets around it.
#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "server/media_source.h"

namespace godwit::server {
namespace {

struct Fetch {
  const AddressCheck& may_connect;
  size_t max_bytes;
  std::string body;
  bool too_large = false, refused = false;
};

std::string name_of(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    ::inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
  } else if (address->sa_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
    ::inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
  }
  return text;
}

curl_socket_t open_checked(void* data, curlsocktype, curl_sockaddr* address) {
  auto& fetch = *static_cast<Fetch*>(data);
  if (!fetch.may_connect(name_of(&address->addr))) {
    fetch.refused = true;
    return CURL_SOCKET_BAD;
  }
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

size_t take_bytes(char* bytes, size_t, size_t n, void* data) {
  auto& fetch = *static_cast<Fetch*>(data);
  fetch.too_large = fetch.body.size() + n > fetch.max_bytes;
  if (fetch.too_large) return 0;
  fetch.body.append(bytes, n);
  return n;
}

bool is_public_v4(uint32_t a) {  // host order
  struct Block {
    uint32_t address;
    int bits;
  };
  // RFC 6890: this network, private, shared, loopback, link-local, protocol, documentation,
  // relays, benchmarks, multicast and reserved.
  static constexpr Block kBlocks[] = {
      {0x00000000, 8},  {0x0A000000, 8},  {0x64400000, 10}, {0x7F000000, 8},  {0xA9FE0000, 16},
      {0xAC100000, 12}, {0xC0000000, 24}, {0xC0000200, 24}, {0xC0586300, 24}, {0xC0A80000, 16},
      {0xC6120000, 15}, {0xC6336400, 24}, {0xCB007100, 24}, {0xE0000000, 3}};
  for (const Block& block : kBlocks) {
    if ((a ^ block.address) >> (32 - block.bits) == 0) return false;
  }
  return true;
}

uint32_t read_v4(const uint8_t* b) {
  return uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | b[3];
}

}  // namespace

bool is_public_address(const std::string& address) {
  std::array<uint8_t, 16> b{};
  if (::inet_pton(AF_INET, address.c_str(), b.data()) == 1) return is_public_v4(read_v4(b.data()));
  if (::inet_pton(AF_INET6, address.c_str(), b.data()) != 1) return false;
  // Global unicast is 2000::/3; of it not 2001::/23 (Teredo and others) nor documentation. 6to4
  // (2002::/16) carries an IPv4 address.
  if (b[0] >> 5 != 1) return false;
  if (b[0] == 0x20 && b[1] == 0x01 && (b[2] < 2 || (b[2] == 0x0D && b[3] == 0xB8))) return false;
  if (b[0] == 0x20 && b[1] == 0x02) return is_public_v4(read_v4(&b[2]));
  return !(b[0] == 0x3F && b[1] == 0xFF && b[2] < 0x10);  // 3fff::/20: documentation
}

Result<std::string> fetch_url(const std::string& url, size_t max_bytes, int timeout_seconds,
                              const AddressCheck& may_connect) {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  CURL* curl = started == CURLE_OK ? curl_easy_init() : nullptr;
  if (!curl) return failed("cannot start libcurl");
  Fetch fetch{may_connect, max_bytes, {}};
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 3L);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");  // a proxy would hide the address
  curl_easy_setopt(curl, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, static_cast<long>(timeout_seconds));
  curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "godwit");
  curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_checked);
  curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, &fetch);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &fetch);
  const CURLcode code = curl_easy_perform(curl);
  curl_easy_cleanup(curl);
  if (fetch.refused) return bad_input("this address is not public: it is not fetched");
  if (fetch.too_large) return bad_input("expected at most {} bytes, found more", max_bytes);
  if (code != CURLE_OK) return bad_input("cannot fetch it: {}", curl_easy_strerror(code));
  return std::move(fetch.body);
}

}  // namespace godwit::server
