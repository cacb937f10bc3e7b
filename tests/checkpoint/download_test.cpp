// Downloads from a small hub on the loopback interface, which breaks lines and lies where a test
// asks it to.
#include "checkpoint/download.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <map>
#include <mutex>
#include <thread>

#include "base/sha256.h"
#include "checkpoint/json.h"
#include "tests/checkpoint/files.h"

namespace godwit::checkpoint {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;

struct Reply {
  int status = 200;
  std::string headers, body;
  size_t cut_after = std::string::npos;  // bytes of the body, then the line breaks
};

// One request at a time, one connection each.
class Hub {
 public:
  Hub() {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_, 8), 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~Hub() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::vector<std::string> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

  // Set before a download starts.
  std::map<std::string, std::string> files;  // of the repository a/b
  std::function<std::optional<Reply>(const std::string& path, int nth)>
      special;  // nth request of this path

 private:
  void serve() {
    for (;;) {
      const int connection = ::accept(listener_, nullptr, nullptr);
      if (connection < 0) return;
      std::string request;
      char buffer[4096];
      while (request.find("\r\n\r\n") == std::string::npos) {
        const ssize_t got = ::recv(connection, buffer, sizeof buffer, 0);
        if (got <= 0) break;
        request.append(buffer, static_cast<size_t>(got));
      }
      const Reply reply = answer(request);
      std::string text =
          fmt::format("HTTP/1.1 {} X\r\nContent-Length: {}\r\nConnection: close\r\n{}\r\n",
                      reply.status, reply.body.size(), reply.headers);
      text += reply.body.substr(0, reply.cut_after);
      for (size_t sent = 0; sent < text.size();) {
        const ssize_t n = ::send(connection, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
        if (n <= 0) break;
        sent += static_cast<size_t>(n);
      }
      ::close(connection);
    }
  }

  Reply answer(const std::string& request) {
    const std::string path = request.substr(4, request.find(' ', 4) - 4);
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    const int nth = seen_[path]++;
    if (special)
      if (auto reply = special(path, nth)) return *reply;
    if (path == "/api/models/a/b/tree/main?recursive=true") return {200, "", listing()};
    const std::string prefix = "/a/b/resolve/main/";
    if (!path.starts_with(prefix) || !files.contains(path.substr(prefix.size())))
      return {404, "", "no"};
    const std::string& body = files[path.substr(prefix.size())];
    const size_t range = request.find("Range: bytes=");
    if (range == std::string::npos) return {200, "", body};
    const size_t start = std::stoul(request.substr(range + 13));
    return {206,
            fmt::format("Content-Range: bytes {}-{}/{}\r\n", start, body.size() - 1, body.size()),
            body.substr(start)};
  }

 public:
  std::string listing() const {
    Json list = Json::array(
        {Json::object({{"type", Json::string("directory")}, {"path", Json::string("sub")}})});
    for (const auto& [name, body] : files) {
      Json entry = Json::object({{"type", Json::string("file")},
                                 {"path", Json::string(name)},
                                 {"size", Json::integer(static_cast<int64_t>(body.size()))}});
      if (name.ends_with(".safetensors"))
        entry.set("lfs", Json::object({{"oid", Json::string(sha256_hex(body))}}));
      list.items().push_back(std::move(entry));
    }
    return list.dump();
  }

 private:
  int listener_ = -1, port_ = 0;
  std::thread thread_;
  std::mutex mutex_;
  std::vector<std::string> requests_;
  std::map<std::string, int> seen_;
};

class Downloading : public ::testing::Test {
 protected:
  Downloading() {
    for (int i = 0; i < 300000; ++i) weights_ += static_cast<char>(i * 31 + i / 7);
    hub_.files = {{"config.json", "{}"},
                  {"model.safetensors", weights_},
                  {"merges.txt", "unneeded"},
                  {"sub/x.safetensors", "x"},
                  {"tokenizer.json", ""}};
    request_.name = "a/b";
    request_.folder = folder_ / "model";
    request_.endpoint = hub_.url();
    request_.retry_pause_ms = 1;
    ::setenv("no_proxy", "127.0.0.1", 1);
  }
  std::string error() {
    const auto status = download_model(request_);
    return status ? "no error" : status.error().message;
  }
  std::string at(const std::string& name) const { return request_.folder + "/" + name; }

  Folder folder_;
  Hub hub_;
  DownloadRequest request_;
  std::string weights_;
};

TEST_F(Downloading, BringsWhatAModelNeeds) {
  DownloadProgress last;
  request_.progress = [&](const DownloadProgress& progress) {
    EXPECT_GE(progress.done, last.done);
    last = progress;
    return true;
  };
  request_.token = "secret";
  EXPECT_EQ(error(), "no error");
  EXPECT_EQ(slurp(at("model.safetensors")), weights_);
  EXPECT_EQ(slurp(at("config.json")), "{}");
  EXPECT_TRUE(std::filesystem::exists(at("tokenizer.json")));
  EXPECT_FALSE(std::filesystem::exists(at("merges.txt")));
  EXPECT_FALSE(std::filesystem::exists(at("model.safetensors.part")));
  EXPECT_EQ(last.done, weights_.size() + 2);
  EXPECT_EQ(last.total, last.done);
  EXPECT_THAT(hub_.requests(), Each(HasSubstr("Authorization: Bearer secret\r\n")));
  request_.progress = nullptr;
  const size_t count = hub_.requests().size();
  EXPECT_EQ(error(), "no error");  // all is there: only the listing is asked for
  EXPECT_EQ(hub_.requests().size(), count + 1);
}

TEST_F(Downloading, BrokenLinesGoOnWhereTheyBroke) {
  hub_.special = [&](const std::string& path, int nth) -> std::optional<Reply> {
    if (!path.ends_with("model.safetensors") || nth > 0) return std::nullopt;
    return Reply{200, "", weights_, 100000};
  };
  EXPECT_EQ(error(), "no error");
  EXPECT_EQ(slurp(at("model.safetensors")), weights_);
  EXPECT_THAT(hub_.requests(), Contains(HasSubstr("Range: bytes=100000-")));
}

TEST_F(Downloading, ALaterRunResumes) {
  request_.retries = 0;
  hub_.special = [&](const std::string& path, int nth) -> std::optional<Reply> {
    if (!path.ends_with("model.safetensors") || nth > 1) return std::nullopt;
    return nth == 0 ? Reply{200, "", weights_, 1000} : Reply{503, "", "busy"};
  };
  EXPECT_THAT(error(), HasSubstr("HTTP status 503"));
  EXPECT_EQ(slurp(at("model.safetensors.part")), weights_.substr(0, 1000));
  EXPECT_EQ(error(), "no error");
  EXPECT_EQ(slurp(at("model.safetensors")), weights_);
}

TEST_F(Downloading, AServerWithoutRangesSendsItAllAgain) {
  hub_.special = [&](const std::string& path, int nth) -> std::optional<Reply> {
    if (!path.ends_with("model.safetensors")) return std::nullopt;
    return Reply{200, "", weights_, nth == 0 ? 5000 : std::string::npos};
  };
  EXPECT_EQ(error(), "no error");
  EXPECT_EQ(slurp(at("model.safetensors")), weights_);
}

TEST_F(Downloading, WrongBytesAreThrownAway) {
  std::filesystem::create_directories(request_.folder);
  std::ofstream(at("model.safetensors.part")) << "rubbish";
  EXPECT_THAT(error(),
              AllOf(HasSubstr("model.safetensors: expected SHA-256"), HasSubstr("thrown away")));
  EXPECT_FALSE(std::filesystem::exists(at("model.safetensors")));
  EXPECT_FALSE(std::filesystem::exists(at("model.safetensors.part")));
  EXPECT_EQ(error(), "no error");
}

TEST_F(Downloading, MoreOrFewerBytesThanListed) {
  request_.retries = 1;
  hub_.special = [&](const std::string& path, int) -> std::optional<Reply> {
    if (path.ends_with("config.json")) return Reply{200, "", "{}too long"};
    return std::nullopt;
  };
  EXPECT_THAT(error(), HasSubstr("config.json: expected 2 bytes, found more"));
  hub_.special = [&](const std::string& path, int) -> std::optional<Reply> {
    if (path.ends_with("config.json")) return Reply{200, "", ""};
    return std::nullopt;
  };
  EXPECT_THAT(error(), HasSubstr("expected 2 bytes, found 0"));
}

TEST_F(Downloading, BusyServersAreAskedAgain) {
  hub_.special = [&](const std::string&, int nth) -> std::optional<Reply> {
    if (nth < 2) return Reply{nth == 0 ? 429 : 500, "", "later"};
    return std::nullopt;
  };
  EXPECT_EQ(error(), "no error");
}

TEST_F(Downloading, Refusals) {
  hub_.special = [&](const std::string&, int) { return Reply{401, "", "who?"}; };
  EXPECT_THAT(error(), HasSubstr("not allowed (HTTP status 401)"));
  hub_.special = [&](const std::string&, int) { return Reply{404, "", ""}; };
  EXPECT_THAT(error(), HasSubstr("not found"));
  hub_.special = [&](const std::string&, int) { return Reply{200, "", "<html>"}; };
  EXPECT_THAT(error(), HasSubstr("malformed JSON"));
  hub_.special = [&](const std::string&, int) {
    return Reply{200, "", R"([{"type":"file","path":"config.json","size":-1}])"};
  };
  EXPECT_THAT(error(), HasSubstr("expected a size"));
  hub_.special = nullptr;
  request_.name = "c/d";
  EXPECT_THAT(error(), HasSubstr("not found"));
  for (const char* name : {"", "../x", "a/b/c", "a/", "a b", "a/..", "-x?y"}) {
    request_.name = name;
    EXPECT_THAT(error(), HasSubstr("expected a repository's name")) << name;
  }
  request_.name = "a/b";
  request_.endpoint = "ftp://127.0.0.1";
  EXPECT_NE(error(), "no error");
  request_.endpoint = "http://127.0.0.1:1";
  EXPECT_NE(error(), "no error");
}

TEST_F(Downloading, NamesThatLeadOutOfTheFolderAreLeftOut) {
  hub_.special = [&](const std::string& path, int) -> std::optional<Reply> {
    if (!path.starts_with("/api")) return std::nullopt;
    return Reply{
        200, "",
        R"([{"type":"file","path":"../config.json","size":2},{"type":"file","path":"..","size":2},
                              {"type":"file","path":"/tmp/config.json","size":2},
                              {"type":"file","path":"model.safetensors","size":300000}])"};
  };
  EXPECT_EQ(error(), "no error");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "config.json"));
}

TEST_F(Downloading, ChosenFiles) {
  hub_.files["m-Q4_K_M.gguf"] = "GGUF4";
  hub_.files["m-Q8_0.gguf"] = "GGUF8";
  request_.files = {"*Q4_K_M.gguf"};
  EXPECT_EQ(error(), "no error");
  EXPECT_EQ(slurp(at("m-Q4_K_M.gguf")), "GGUF4");
  EXPECT_FALSE(std::filesystem::exists(at("config.json")));
  request_.files = {"none.gguf"};
  EXPECT_THAT(
      error(),
      HasSubstr("no file 'none.gguf'; name the files you want of 'm-Q4_K_M.gguf', 'm-Q8_0.gguf'"));
  request_.files.clear();
  hub_.files.erase("model.safetensors");
  EXPECT_THAT(error(), HasSubstr("expected a repository with .safetensors files"));
}

TEST_F(Downloading, FollowsPagesAndRedirects) {
  hub_.special = [&](const std::string& path, int) -> std::optional<Reply> {
    if (path.starts_with("/api") && path.find("cursor") == std::string::npos)
      return Reply{
          200,
          fmt::format(
              "Link: <{}/api/models/a/b/tree/main?recursive=true&cursor=2>; rel=\"next\"\r\n",
              hub_.url()),
          R"([{"type":"file","path":"config.json","size":2}])"};
    if (path.starts_with("/api"))
      return Reply{200, "", R"([{"type":"file","path":"model.safetensors","size":300000}])"};
    if (path.ends_with("main/model.safetensors"))
      return Reply{302, "Location: /elsewhere\r\n", "moved"};
    if (path == "/elsewhere") return Reply{200, "", weights_};
    return std::nullopt;
  };
  EXPECT_EQ(error(), "no error");
  EXPECT_EQ(slurp(at("model.safetensors")), weights_);
  EXPECT_EQ(slurp(at("config.json")), "{}");
}

TEST_F(Downloading, StopsWhenAsked) {
  request_.progress = [&](const DownloadProgress& progress) { return progress.done < 1000; };
  EXPECT_THAT(error(), HasSubstr("stopped"));
  EXPECT_FALSE(std::filesystem::exists(at("model.safetensors")));
  request_.progress = nullptr;
  EXPECT_EQ(error(), "no error");
  EXPECT_EQ(slurp(at("model.safetensors")), weights_);
}

TEST(DownloadRequest, ReadsTheEnvironment) {
  ::setenv("HF_ENDPOINT", "http://hub.example/", 1);
  ::setenv("HF_TOKEN", "t", 1);
  auto request = download_request_from_environment("a/b", "f");
  EXPECT_EQ(request.endpoint, "http://hub.example");
  EXPECT_EQ(request.token, "t");
  ::unsetenv("HF_ENDPOINT");
  ::unsetenv("HF_TOKEN");
  request = download_request_from_environment("a/b", "f");
  EXPECT_EQ(request.endpoint, "https://huggingface.co");
  EXPECT_EQ(request.token, "");
}

}  // namespace
}  // namespace godwit::checkpoint
