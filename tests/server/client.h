// A bare HTTP client over loopback: it sends what it is told, byte by byte if need be, and waits at
// most a few seconds for anything.
#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <string>
#include <utility>

namespace godwit::server {

struct Reply {
  int status = 0;  // 0: none came
  std::map<std::string, std::string> headers;
  std::string body;
  bool complete = false;
};

class Client {
 public:
  explicit Client(int port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  explicit Client(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Client() { close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void half_close() { ::shutdown(fd_, SHUT_WR); }
  void reset_on_close() {
    const linger now{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  void small_buffers() {
    const int bytes = 4096;
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  }

  bool send(const std::string& bytes) {
    for (size_t sent = 0; sent < bytes.size();) {
      const ssize_t n = ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return false;
      sent += static_cast<size_t>(n);
    }
    return true;
  }

  // Whatever comes next; "" at the end or after `milliseconds`.
  std::string receive(int milliseconds = 5000) {
    pollfd wait{fd_, POLLIN, 0};
    if (::poll(&wait, 1, milliseconds) <= 0) return {};
    char bytes[16384];
    const ssize_t n = ::recv(fd_, bytes, sizeof bytes, 0);
    ended_ = n <= 0;
    return n > 0 ? std::string(bytes, static_cast<size_t>(n)) : std::string();
  }
  bool ended() const { return ended_; }
  // True if the server closes within the time.
  bool closes(int milliseconds = 5000) {
    for (int i = 0; i < 1000 && !ended_; ++i) {
      if (receive(milliseconds).empty()) break;
    }
    return ended_;
  }
  // Reads until `text` has come.
  bool wait_for(const std::string& text) {
    for (int i = 0; i < 1000; ++i) {
      if (rest_.find(text) != std::string::npos) return true;
      const std::string more = receive();
      if (more.empty()) return false;
      rest_ += more;
    }
    return false;
  }

  // How often `text` has come and was not read yet.
  int count(const std::string& text) {
    rest_ += receive(0);
    int times = 0;
    for (size_t at = 0; (at = rest_.find(text, at)) != std::string::npos; at += text.size())
      ++times;
    return times;
  }

  // One whole reply.
  Reply read(bool is_head = false) {
    Reply reply;
    size_t head_end = std::string::npos;
    while ((head_end = rest_.find("\r\n\r\n")) == std::string::npos) {
      const std::string more = receive();
      if (more.empty()) return reply;
      rest_ += more;
    }
    parse_head(rest_.substr(0, head_end), reply);
    rest_.erase(0, head_end + 4);
    if (is_head || reply.status == 204 || reply.status == 100) {
      reply.complete = true;
    } else if (reply.headers.count("content-length") > 0) {
      const size_t n = std::strtoull(reply.headers["content-length"].c_str(), nullptr, 10);
      reply.complete = fill(n);
      reply.body = rest_.substr(0, n);
      rest_.erase(0, std::min(n, rest_.size()));
    } else if (reply.headers["transfer-encoding"] == "chunked") {
      read_chunks(reply);
    } else {
      while (fill(rest_.size() + 1)) {
      }
      reply.body = std::exchange(rest_, {});
      reply.complete = ended_;
    }
    return reply;
  }

  Reply ask(const std::string& method, const std::string& path, const std::string& body = {},
            const std::string& headers = {}) {
    std::string request = method + " " + path + " HTTP/1.1\r\nhost: localhost\r\n" + headers;
    if (!body.empty() || method == "POST")
      request += "content-length: " + std::to_string(body.size()) + "\r\n";
    send(request + "\r\n" + body);
    return read(method == "HEAD");
  }

 private:
  bool fill(size_t n) {
    while (rest_.size() < n) {
      const std::string more = receive();
      if (more.empty()) return false;
      rest_ += more;
    }
    return true;
  }
  static void parse_head(const std::string& head, Reply& reply) {
    if (head.rfind("HTTP/1.1 ", 0) != 0) return;
    reply.status = std::atoi(head.c_str() + 9);
    for (size_t line = head.find("\r\n"); line != std::string::npos;) {
      const size_t begin = line + 2, colon = head.find(": ", begin);
      line = head.find("\r\n", begin);
      if (colon == std::string::npos) break;
      reply.headers[head.substr(begin, colon - begin)] =
          head.substr(colon + 2, (line == std::string::npos ? head.size() : line) - colon - 2);
    }
  }
  void read_chunks(Reply& reply) {
    for (int i = 0; i < 100000; ++i) {
      size_t eol = std::string::npos;
      while ((eol = rest_.find("\r\n")) == std::string::npos) {
        if (!fill(rest_.size() + 1)) return;
      }
      const size_t n = std::strtoull(rest_.c_str(), nullptr, 16);
      if (!fill(eol + 2 + n + 2)) return;
      reply.body += rest_.substr(eol + 2, n);
      rest_.erase(0, eol + 2 + n + 2);
      if (n == 0) {
        reply.complete = true;
        return;
      }
    }
  }

  int fd_;
  bool connected_ = false, ended_ = false;
  std::string rest_;
};

}  // namespace godwit::server
