#include "checkpoint/download.h"

#include <curl/curl.h>
#include <fnmatch.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include "base/sha256.h"
#include "base/visible.h"
#include "checkpoint/json.h"

namespace godwit::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxListing = 64 << 20;
constexpr int kMaxPages = 100;

struct RemoteFile {
  std::string path;
  uint64_t size = 0;
  std::string sha256;  // hex; empty: the hub has none (small files)
};

// What a transfer's callbacks need. `accept` gets the status before the first byte, and says
// whether bytes are wanted.
struct Sink {
  std::function<bool(long status)> accept;
  std::function<bool(std::string_view)> write;
  std::function<bool()> go_on = [] { return true; };
  CURL* curl = nullptr;
  bool accepted = false;
  std::string link_header;
};

size_t on_body(char* data, size_t size, size_t count, void* user) {
  auto& sink = *static_cast<Sink*>(user);
  if (!sink.accepted) {
    long status = 0;
    curl_easy_getinfo(sink.curl, CURLINFO_RESPONSE_CODE, &status);
    if (!sink.accept(status)) return 0;
    sink.accepted = true;
  }
  return sink.write({data, size * count}) ? size * count : 0;
}

size_t on_header(char* data, size_t size, size_t count, void* user) {
  auto& sink = *static_cast<Sink*>(user);
  const std::string_view line(data, size * count);
  constexpr std::string_view kLink = "link:";
  if (line.size() > kLink.size() && curl_strnequal(line.data(), kLink.data(), kLink.size()))
    sink.link_header = line.substr(kLink.size());
  return line.size();
}

int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Sink*>(user)->go_on() ? 0 : 1;
}

struct Outcome {
  CURLcode code = CURLE_OK;
  long status = 0;
  std::string reason;

  bool ok() const { return code == CURLE_OK && status >= 200 && status < 300; }
  // Worth another try: the line broke, or the server is busy.
  bool is_passing() const {
    if (code == CURLE_OK) return status == 429 || status >= 500;
    return code != CURLE_WRITE_ERROR && code != CURLE_ABORTED_BY_CALLBACK &&
           code != CURLE_URL_MALFORMAT && code != CURLE_UNSUPPORTED_PROTOCOL &&
           code != CURLE_PEER_FAILED_VERIFICATION;
  }
};

class Client {
 public:
  explicit Client(const DownloadRequest& request) : curl_(curl_easy_init()) {
    if (!request.token.empty())
      headers_.reset(
          curl_slist_append(nullptr, ("Authorization: Bearer " + request.token).c_str()));
  }

  // One GET, from byte `start` of the file.
  Outcome get(const std::string& url, uint64_t start, Sink& sink) {
    CURL* curl = curl_.get();
    char message[CURL_ERROR_SIZE] = "";
    sink.curl = curl;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers_.get());  // not sent on to another host
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "godwit");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 30L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT,
                     1L);  // a minute without a byte is a broken line
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 60L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &sink);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &sink);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &sink);
    if (start > 0) curl_easy_setopt(curl, CURLOPT_RANGE, fmt::format("{}-", start).c_str());
    Outcome outcome;
    outcome.code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &outcome.status);
    outcome.reason = outcome.code == CURLE_OK ? fmt::format("HTTP status {}", outcome.status)
                     : *message               ? message
                                              : curl_easy_strerror(outcome.code);
    return outcome;
  }

  std::string escape(const std::string& text) {
    const std::unique_ptr<char, void (*)(void*)> escaped(
        curl_easy_escape(curl_.get(), text.c_str(), static_cast<int>(text.size())), curl_free);
    return escaped.get();
  }

 private:
  struct Free {
    void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };
  std::unique_ptr<CURL, Free> curl_;
  std::unique_ptr<curl_slist, Free> headers_;
};

tl::unexpected<Error> transfer_error(const std::string& url, const Outcome& outcome) {
  if (outcome.code == CURLE_OK && (outcome.status == 401 || outcome.status == 403))
    return bad_input("{}: not allowed (HTTP status {}); a private or gated model needs HF_TOKEN",
                     url, outcome.status);
  if (outcome.code == CURLE_OK && outcome.status == 404) return bad_input("{}: not found", url);
  return failed("{}: {}", url, outcome.reason);
}

class Download {
 public:
  explicit Download(const DownloadRequest& request) : request_(request), client_(request) {}

  Status run() {
    TRY(const auto listed, list_files());
    TRY(const auto files, choose(listed));
    std::error_code error;
    fs::create_directories(request_.folder, error);
    if (error) return failed("{}: cannot make the folder: {}", request_.folder, error.message());
    for (const auto& file : files) progress_.total += file.size;
    for (const auto& file : files) TRY_STATUS(bring(file));
    return {};
  }

 private:
  // ---- the listing

  Result<std::vector<RemoteFile>> list_files() {
    std::vector<RemoteFile> files;
    std::string url = fmt::format("{}/api/models/{}/tree/{}?recursive=true", request_.endpoint,
                                  request_.name, client_.escape(request_.revision));
    for (int page = 0; page < kMaxPages && !url.empty(); ++page) {
      std::string body, next;
      TRY_STATUS(get_text(url, body, next));
      auto json = parse_json(body, 16);
      if (!json) return in_context(url, std::move(json.error()));
      if (!json->is_array()) return failed("{}: expected a list of files", url);
      for (const Json& entry : json->items()) {
        TRY(auto file, read_entry(entry, url));
        if (file) files.push_back(std::move(*file));
      }
      url = next;
    }
    return files;
  }

  Status get_text(const std::string& url, std::string& body, std::string& next) {
    Outcome outcome;
    for (int attempt = 0;; ++attempt) {
      body.clear();
      Sink sink;
      sink.accept = [](long) { return true; };
      sink.write = [&](std::string_view bytes) {
        if (body.size() + bytes.size() > kMaxListing) return false;
        body += bytes;
        return true;
      };
      outcome = client_.get(url, 0, sink);
      if (outcome.ok()) {
        next = next_page(sink.link_header);
        return {};
      }
      // Only a busy server is asked again: one that cannot be reached now is more likely misspelt.
      if (outcome.code != CURLE_OK || !outcome.is_passing() || attempt >= request_.retries)
        return transfer_error(url, outcome);
      pause(attempt);
    }
  }

  // <https://…>; rel="next"
  static std::string next_page(std::string_view link) {
    const size_t open = link.find('<'), close = link.find('>');
    if (open == std::string_view::npos || close == std::string_view::npos || close < open ||
        link.find("rel=\"next\"", close) == std::string_view::npos)
      return {};
    return std::string(link.substr(open + 1, close - open - 1));
  }

  // Only files at the top of the repository: a model folder has no others, and a name cannot lead
  // out of the folder.
  static Result<std::optional<RemoteFile>> read_entry(const Json& entry, const std::string& url) {
    const Json *type = entry.find("type"), *path = entry.find("path"), *size = entry.find("size");
    if (!type || !type->is_string() || !path || !path->is_string())
      return failed("{}: expected entries with \"type\" and \"path\"", url);
    const std::string& name = path->as_string();
    if (type->as_string() != "file" || name.empty() || name[0] == '.' ||
        name.find('/') != std::string::npos || name.find('\0') != std::string::npos)
      return std::nullopt;
    const auto bytes = size ? size->as_int64() : std::nullopt;
    if (!bytes || *bytes < 0) return failed("{}: {}: expected a size", url, in_quotes(name));
    RemoteFile file{name, static_cast<uint64_t>(*bytes), {}};
    const Json* lfs = entry.find("lfs");
    const Json* oid = lfs ? lfs->find("oid") : nullptr;
    if (oid && oid->is_string()) file.sha256 = oid->as_string();
    return file;
  }

  Result<std::vector<RemoteFile>> choose(const std::vector<RemoteFile>& listed) const {
    static const std::vector<std::string> kModelFolder = {
        "*.safetensors",  "*.safetensors.index.json", "*config.json",
        "tokenizer.json", "chat_template.*",          "LICENSE*",
        "README*"};
    const auto& patterns = request_.files.empty() ? kModelFolder : request_.files;
    std::vector<RemoteFile> files;
    std::vector<bool> used(patterns.size());
    bool has_weights = false;
    for (const auto& file : listed) {
      bool wanted = false;
      for (size_t i = 0; i < patterns.size(); ++i) {
        if (::fnmatch(patterns[i].c_str(), file.path.c_str(), 0) != 0) continue;
        used[i] = wanted = true;
      }
      if (!wanted) continue;
      has_weights |= file.path.ends_with(".safetensors");
      files.push_back(file);
    }
    if (request_.files.empty() && !has_weights)
      return bad_input("{}: expected a repository with .safetensors files; {}", request_.name,
                       gguf_hint(listed));
    for (size_t i = 0; i < patterns.size(); ++i)
      if (!request_.files.empty() && !used[i])
        return bad_input("{}: no file {}; {}", request_.name, in_quotes(patterns[i]),
                         gguf_hint(listed));
    // Small files first: what is wrong with them is known before hours of weights.
    std::stable_sort(files.begin(), files.end(), [](const auto& a, const auto& b) {
      return a.path.ends_with(".safetensors") < b.path.ends_with(".safetensors");
    });
    return files;
  }

  static std::string gguf_hint(const std::vector<RemoteFile>& listed) {
    std::string names;
    for (const auto& file : listed)
      if (file.path.ends_with(".gguf")) names += (names.empty() ? "" : ", ") + in_quotes(file.path);
    return names.empty() ? "found no .gguf file either" : "name the files you want of " + names;
  }

  // ---- one file

  Status bring(const RemoteFile& file) {
    progress_.file = file.path;
    progress_.file_size = file.size;
    progress_.file_done = 0;
    const fs::path target = fs::path(request_.folder) / file.path;
    std::error_code none;
    if (fs::exists(target, none) && fs::file_size(target, none) == file.size && !none) {
      progress_.done += file.size;
      progress_.file_done = file.size;
      return report();
    }
    Part part{target.string() + ".part"};
    TRY_STATUS(part.resume(file.size));
    const uint64_t done_before = progress_.done;
    progress_.done += part.size;
    progress_.file_done = part.size;
    if (auto status = fill(file, part); !status) return status;
    progress_.done = done_before + file.size;
    TRY_STATUS(part.finish(file, target.string()));
    return report();
  }

  // path.part, hashed as it grows.
  struct Part {
    std::string path;
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{nullptr, std::fclose};
    Sha256 hash;
    uint64_t size = 0;

    Status open(const char* mode) {
      file.reset(std::fopen(path.c_str(), mode));
      if (!file) return failed("{}: cannot write: {}", path, std::strerror(errno));
      return {};
    }
    // Goes on with what an earlier run left, if that can be a beginning.
    Status resume(uint64_t wanted) {
      std::error_code error;
      const uint64_t there = fs::file_size(path, error);
      if (error || there > wanted) return open("wbe");
      TRY_STATUS(open("r+be"));
      std::vector<char> buffer(1 << 20);
      while (const size_t got = std::fread(buffer.data(), 1, buffer.size(), file.get())) {
        hash.update({buffer.data(), got});
        size += got;
      }
      std::fseek(file.get(), 0, SEEK_END);
      return {};
    }
    Status restart() {
      hash = Sha256();
      size = 0;
      return open("wbe");
    }
    bool append(std::string_view bytes) {
      if (std::fwrite(bytes.data(), 1, bytes.size(), file.get()) != bytes.size()) return false;
      hash.update(bytes);
      size += bytes.size();
      return true;
    }
    Status finish(const RemoteFile& remote, const std::string& target) {
      if (std::fclose(file.release()) != 0)
        return failed("{}: cannot write: {}", path, std::strerror(errno));
      const std::string found = to_hex(hash.finish());
      if (!remote.sha256.empty() && found != remote.sha256) {
        std::remove(path.c_str());
        return failed("{}: expected SHA-256 {}, found {}; the download is thrown away", target,
                      remote.sha256, found);
      }
      if (std::rename(path.c_str(), target.c_str()) != 0)
        return failed("{}: cannot write: {}", target, std::strerror(errno));
      return {};
    }
  };

  // Transfers until the part is whole; an attempt that brought bytes does not count against the
  // retries.
  Status fill(const RemoteFile& file, Part& part) {
    const std::string url =
        fmt::format("{}/{}/resolve/{}/{}", request_.endpoint, request_.name,
                    client_.escape(request_.revision), client_.escape(file.path));
    for (int attempt = 0; part.size < file.size;) {
      const uint64_t before = part.size;
      Status fault;
      const auto outcome = transfer(url, file, part, fault);
      if (!fault) return fault;
      if (outcome.code == CURLE_ABORTED_BY_CALLBACK) return failed("{}: stopped", file.path);
      if (part.size == file.size) break;
      if (!outcome.ok() && !outcome.is_passing()) return transfer_error(url, outcome);
      attempt = part.size > before ? 0 : attempt + 1;
      if (attempt > request_.retries)
        return outcome.ok() ? failed("{}: expected {} bytes, found {}", url, file.size, part.size)
                            : transfer_error(url, outcome);
      pause(attempt);
    }
    return {};
  }

  Outcome transfer(const std::string& url, const RemoteFile& file, Part& part, Status& fault) {
    Sink sink;
    const uint64_t start = part.size;
    const uint64_t done = progress_.done - part.size;  // by other files
    sink.accept = [&](long status) {
      if (status < 200 || status >= 300) return false;
      if (start > 0 && status != 206) fault = part.restart();  // the server sends the whole file
      return fault.has_value();
    };
    sink.write = [&](std::string_view bytes) {
      if (bytes.size() > file.size - part.size) {
        fault = failed("{}: expected {} bytes, found more", url, file.size);
      } else if (!part.append(bytes)) {
        fault = failed("{}: cannot write: {}", part.path, std::strerror(errno));
      }
      progress_.file_done = part.size;
      progress_.done = done + part.size;
      return fault.has_value();
    };
    sink.go_on = [&] { return report().has_value(); };
    auto outcome = client_.get(url, start, sink);
    // A body that was not wanted ends in a write error; its reason is the status.
    if (!sink.accepted && outcome.code == CURLE_WRITE_ERROR) {
      outcome.code = CURLE_OK;
      outcome.reason = fmt::format("HTTP status {}", outcome.status);
    }
    return outcome;
  }

  Status report() const {
    if (request_.progress && !request_.progress(progress_))
      return failed("{}: stopped", progress_.file);
    return {};
  }

  // Ends early where the caller stops the download; the next transfer then finds that out.
  void pause(int attempt) const {
    using std::chrono::milliseconds;
    const milliseconds slice(100);
    milliseconds left(request_.retry_pause_ms << std::min(attempt, 5));
    for (; left.count() > 0 && report(); left -= slice)
      std::this_thread::sleep_for(std::min(left, slice));
  }

  const DownloadRequest& request_;
  Client client_;
  DownloadProgress progress_;
};

// "model" or "owner/model"
bool is_repository_name(std::string_view name) {
  const size_t slash = name.find('/');
  const auto is_part = [](std::string_view part) {
    return !part.empty() && part[0] != '.' &&
           std::all_of(part.begin(), part.end(), [](unsigned char c) {
             return std::isalnum(c) || c == '.' || c == '-' || c == '_';
           });
  };
  if (slash == std::string_view::npos) return is_part(name);
  return is_part(name.substr(0, slash)) && is_part(name.substr(slash + 1));
}

}  // namespace

DownloadRequest download_request_from_environment(const std::string& name,
                                                  const std::string& folder) {
  DownloadRequest request;
  request.name = name;
  request.folder = folder;
  if (const char* endpoint = std::getenv("HF_ENDPOINT"); endpoint && *endpoint)
    request.endpoint = endpoint;
  if (const char* token = std::getenv("HF_TOKEN")) request.token = token;
  while (request.endpoint.ends_with('/')) request.endpoint.pop_back();
  return request;
}

Status download_model(const DownloadRequest& request) {
  if (!is_repository_name(request.name))
    return bad_input("{}: expected a repository's name such as Qwen/Qwen3.5-0.8B",
                     in_quotes(request.name));
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (ready != CURLE_OK) return failed("cannot start libcurl: {}", curl_easy_strerror(ready));
  return Download(request).run();
}

}  // namespace godwit::checkpoint
