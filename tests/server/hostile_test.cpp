// Thousands of hostile requests against all routes, while a healthy stream runs beside them: each
// is answered with its status, the stream loses nothing, and afterwards the server has as many
// file descriptors and as much memory as before.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <sstream>

#include "server/api.h"
#include "tests/sanitizers.h"
#include "tests/server/fake_engine.h"
#include "tests/server/server_fixture.h"

namespace godwit::server {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using testing::HasSubstr;

#ifdef GODWIT_SANITIZED
constexpr bool kMemoryIsPlain = false;  // freed memory is kept in quarantine
#else
constexpr bool kMemoryIsPlain = true;
#endif
constexpr size_t kMaxBody = 256 << 10;

size_t open_files() {
  const std::filesystem::directory_iterator files("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(files), end(files)));
}

size_t resident_bytes() {
  size_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

// An answer that goes on beside the attacks: every number must arrive, in order.
class HealthyStream {
 public:
  HealthyStream(FakeModels& models, int port) : client_(port) {
    client_.send(request());
    while (!generation_) {
      for (const auto& started : models.engine->generations()) generation_ = started;
      std::this_thread::sleep_for(milliseconds(1));
    }
    feeder_ = std::thread([this] {
      while (!stop_) {
        generation_->text(Event::Kind::kContent, fmt::format("<{}>", sent_++));
        std::this_thread::sleep_for(milliseconds(1));
      }
      generation_->done();
    });
    reader_ = std::thread([this] { reply_ = client_.read(); });
  }
  ~HealthyStream() {
    if (feeder_.joinable()) finish();
  }
  void finish() {
    while (sent_ < 100) std::this_thread::sleep_for(milliseconds(1));
    stop_ = true;
    feeder_.join();
    reader_.join();
    std::string wanted;
    for (int i = 0; i < sent_; ++i) wanted += fmt::format("<{}>", i);
    std::string found;
    for (size_t at = 0; (at = reply_.body.find("\"content\":\"<", at)) != std::string::npos;) {
      at += 11;
      found += reply_.body.substr(at, reply_.body.find('"', at) - at);
    }
    EXPECT_EQ(found, wanted);
    EXPECT_TRUE(reply_.complete);
    EXPECT_TRUE(reply_.body.ends_with("data: [DONE]\n\n"));
  }

 private:
  static std::string request() {
    const std::string body =
        R"({"messages":[{"role":"user","content":"Go on"}],"stream":true,"user":"healthy"})";
    return "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  Client client_;
  std::shared_ptr<FakeGeneration> generation_;
  std::atomic<bool> stop_{false};
  std::atomic<int> sent_{0};
  Reply reply_;
  std::thread feeder_, reader_;
};

class Hostile : public testing::Test {
 protected:
  Hostile() : api_{models_.set, metrics_, MediaSource(), 0} {
    ServerOptions options;
    options.header_timeout = options.body_timeout = milliseconds(600);
    options.max_body_bytes = kMaxBody;
    options.max_header_bytes = 16 << 10;
    options.on_request = [this](const RequestReport& report) { metrics_.request_done(report); };
    server_ = std::make_unique<RunningServer>(options, all_routes(api_));
    healthy_ = std::make_unique<HealthyStream>(models_, server_->port());
    models_.engine->say([](FakeGeneration& g, const engine::GenerationRequest&) {
      g.text(Event::Kind::kContent, "ok");
      g.done();
    });
  }
  // The attack again and again: what still grows after the first time grows for ever.
  void attack(const std::function<void()>& run, int again = 5) {
    run();
    models_.engine->forget();
    const size_t files = open_files(), bytes = resident_bytes();
    for (int i = 0; i < again; ++i) {
      run();
      models_.engine->forget();
    }
    EXPECT_TRUE(eventually([&] { return open_files() <= files; })) << open_files() << " " << files;
    if (kMemoryIsPlain) {
      EXPECT_LT(resident_bytes(), bytes + (2 << 20));
    }
    EXPECT_EQ(Client(server_->port()).ask("GET", "/health").status, 200);
    const Reply reply = Client(server_->port()).ask("POST", "/v1/chat/completions", kGood);
    EXPECT_THAT(reply.body, HasSubstr("\"content\":\"ok\""));
    healthy_->finish();
    server_->stop();
    RecordProperty("requests", requests_);
  }

  // The status of one request on a connection of its own, closed for writing when all is sent.
  // 0: closed without a word.
  int raw(const std::string& bytes) {
    ++requests_;
    Client client(server_->port());
    client.send(bytes);
    client.half_close();
    return client.read().status;
  }
  // On a connection that is kept.
  Reply post(const std::string& path, const std::string& body) {
    ++requests_;
    if (!kept_) kept_ = std::make_unique<Client>(server_->port());
    Reply reply = kept_->ask("POST", path, body);
    if (reply.status == 0 || reply.headers["connection"] == "close") kept_.reset();
    return reply;
  }

  inline static const std::string kGood = R"({"messages":[{"role":"user","content":"Hi"}]})";
  inline static const std::string kHost = "host: localhost\r\n";

  FakeModels models_;
  Metrics metrics_;
  Api api_;
  std::unique_ptr<RunningServer> server_;
  std::unique_ptr<HealthyStream> healthy_;
  std::unique_ptr<Client> kept_;
  int requests_ = 0;
};

// ---- HTTP

std::string chat_request(const std::string& body) {
  return "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: "
         "application/json\r\ncontent-length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

TEST_F(Hostile, HeadsAndFraming) {
  std::vector<std::pair<std::string, std::set<int>>> cases;
  const auto add = [&](const std::string& bytes, std::set<int> expected) {
    cases.emplace_back(bytes, std::move(expected));
  };
  // A byte that may not stand in a name, a value, a path, a method, a version.
  for (int c = 0; c < 256; ++c) {
    const std::string byte(1, static_cast<char>(c));
    const bool control = c < 32 || c == 127;
    const bool separator = control || c > 126 || std::strchr("\"(),/:;<=>?@[\\]{} ", c);
    if (separator && c != ':')
      add(std::string("GET /health HTTP/1.1\r\n") + kHost + "x" + byte + "y: 1\r\n\r\n", {400});
    if (control && c != '\t')
      add(std::string("GET /health HTTP/1.1\r\n") + kHost + "x: a" + byte + "b\r\n\r\n", {400});
    if (separator && c != ' ')
      add(std::string("GE") + byte + "T /health HTTP/1.1\r\n" + kHost + "\r\n", {400});
    if (control || c == ' ')
      add(std::string("GET /a") + byte + "b HTTP/1.1\r\n" + kHost + "\r\n", {400});
    if (c != '1')
      add(std::string("GET /health HTTP/1.") + byte + "\r\n" + kHost + "\r\n", {200, 400, 505});
    if (!std::isxdigit(c))
      add(std::string("GET /%") + byte + "0 HTTP/1.1\r\n" + kHost + "\r\n", {400});
  }
  for (const char* method : {"get", "TRACE", "CONNECT", "PATCH", "LINK", "QUERY", "BREW",
                             "PROPFIND", "SUBSCRIBE", "PURGE"})
    add(std::string(method) + " /health HTTP/1.1\r\n" + kHost + "\r\n", {400, 405, 501});
  const std::string post = "POST /v1/chat/completions HTTP/1.1\r\n" + kHost;
  for (const char* length :
       {"-1", "+1", "0x10", "1e3", " ", "18446744073709551616", "5, 6", "5;", "٣"})
    add(post + "content-length: " + length + "\r\n\r\nhello", {400});
  for (const char* coding : {"gzip", "chunked, gzip", "identity", "chunked, chunked", "xchunked"})
    add(post + "transfer-encoding: " + coding + "\r\n\r\n0\r\n\r\n", {400, 501});
  for (const char* chunk :
       {"g\r\n", "-1\r\n", "0x5\r\nhello", "5\nhello\n", "5 hello", "\r\n", "fffffffffffffffff\r\n",
        "5\r\nhelloX", "5\r\nhel", "1;\r\r\n", "7fffffffffffffff\r\n"})
    add(post + "transfer-encoding: chunked\r\n\r\n" + chunk, {400, 413});
  add(post + "transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n", {400});
  add(post + "content-length: 5\r\ncontent-length: 5\r\n\r\nhello", {400});
  add(post + "content-length: 1000000000000\r\n\r\n", {413});
  add(post + "content-length: 5\r\nexpect: the unexpected\r\n\r\nhello", {417});
  add(post + "content-length: 5\r\ncontent-encoding: br\r\n\r\nhello", {415});
  add(std::string("GET /") + std::string(9000, 'a') + " HTTP/1.1\r\n" + kHost + "\r\n", {414});
  add(std::string("GET /health HTTP/1.1\r\n") + kHost + "x: " + std::string(17000, 'a') +
          "\r\n\r\n",
      {431});
  std::string many = "GET /health HTTP/1.1\r\n" + kHost;
  for (int i = 0; i < 2000; ++i) many += fmt::format("x{}: y\r\n", i);
  add(many + "\r\n", {431});
  for (const char* path :
       {"/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//health", "/assets/../../x",
        "/v1/models/../../../etc/passwd", "/v1/responses/", "/v1/models/%00"})
    add(std::string("GET ") + std::string(path) + " HTTP/1.1\r\n" + kHost + "\r\n", {400, 404});
  for (const char* host :
       {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[::2]"})
    add(std::string("GET /health HTTP/1.1\r\nhost: ") + std::string(host) + "\r\n\r\n", {403});
  add("GET /health HTTP/1.1\r\n\r\n", {400});

  attack([&] {
    for (const auto& [bytes, expected] : cases)
      EXPECT_TRUE(expected.count(raw(bytes))) << raw(bytes) << " for " << bytes.substr(0, 90);
  });
  EXPECT_GE(requests_, 1000);
}

TEST_F(Hostile, CutAndBentRequests) {
  const std::string good = chat_request(kGood);
  const size_t head_end = good.find("\r\n\r\n") + 4;
  std::mt19937 random(7);
  std::vector<std::string> bent;
  for (int i = 0; i < 700; ++i) {
    std::string bytes = good;
    for (int k = 0; k <= i % 3; ++k) {
      const size_t at = random() % bytes.size();
      if (i % 4 == 0) bytes.erase(at, 1 + random() % 5);
      if (i % 4 == 1) bytes.insert(at, 1, static_cast<char>(random()));
      if (i % 4 > 1) bytes[at] = static_cast<char>(random());
    }
    bent.push_back(std::move(bytes));
  }
  const std::set<int> possible = {0, 200, 400, 403, 404, 405, 413, 415, 417, 431, 501, 505};
  attack([&] {
    for (size_t n = 0; n < good.size(); ++n)
      EXPECT_EQ(raw(good.substr(0, n)), n < head_end ? 0 : 400) << n;
    for (const std::string& bytes : bent) EXPECT_TRUE(possible.count(raw(bytes))) << bytes;
  });
}

TEST_F(Hostile, SlowLorisAndAbruptEnds) {
  const std::string good = chat_request(kGood);
  attack(
      [&] {
        std::vector<std::unique_ptr<Client>> slow;
        for (int i = 0; i < 100; ++i) {
          slow.push_back(std::make_unique<Client>(server_->port()));
          slow.back()->send(good.substr(0, i % 2 == 0 ? 20 : good.size() - 20));
        }
        for (int i = 0; i < 300; ++i) {  // meanwhile: nothing sent, closed, reset in every part
          Client client(server_->port());
          if (i % 3 > 0) client.send(good.substr(0, good.size() * (i % 50) / 49));
          if (i % 2 == 0) client.reset_on_close();
          ++requests_;
        }
        for (int i = 0; i < 8; ++i) {  // alive, but no faster
          for (const auto& client : slow) client->send("x");
          std::this_thread::sleep_for(milliseconds(100));
        }
        for (const auto& client : slow) {
          ++requests_;
          EXPECT_EQ(client->read().status, 408);
          EXPECT_TRUE(client->closes());
        }
      },
      2);
}

TEST_F(Hostile, OversizedBodies) {
  const std::string post = "POST /api/chat HTTP/1.1\r\nhost: localhost\r\n";
  std::string chunks;
  for (int i = 0; i < 40; ++i) chunks += fmt::format("4000\r\n{}\r\n", std::string(0x4000, ' '));
  attack([&] {
    for (int i = 0; i < 10; ++i) {
      EXPECT_EQ(raw(post + "content-length: 4000000\r\n\r\n" + std::string(4'000'000, ' ')), 413);
      EXPECT_EQ(raw(post + "transfer-encoding: chunked\r\n\r\n" + chunks), 413);
      EXPECT_EQ(raw(post + "transfer-encoding: chunked\r\n\r\n1;" + std::string(40'000, 'a')), 400);
    }
  });
}

// ---- Bodies

// A body for each route with every field that it reads.
const json& whole_bodies() {
  static const json bodies = json::parse(R"json({
    "/v1/chat/completions": {
      "model": "m",
      "messages": [
        {"role": "user", "content": [
          {"type": "text", "text": "t"},
          {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}},
          {"type": "video", "video": ["data:image/png;base64,aGVsbG8="], "fps": 2.5}]},
        {"role": "assistant", "content": "c", "tool_calls": [
          {"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "content": "c", "tool_call_id": "1"}],
      "tools": [{"type": "function", "function": {
        "name": "f", "description": "d", "parameters": {}, "strict": false}}],
      "tool_choice": "auto", "response_format": {"type": "text"},
      "temperature": 0.5, "top_p": 0.9, "top_k": 5, "min_p": 0.1, "presence_penalty": 0.1,
      "frequency_penalty": 0.1, "repetition_penalty": 1.1, "seed": 1, "logit_bias": {"7": 1.5},
      "reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": true},
      "enable_thinking": true, "thinking_budget": 5, "max_tokens": 5, "max_completion_tokens": 5,
      "stop": ["a"], "ignore_eos": false, "stream": false,
      "stream_options": {"include_usage": true, "include_progress": true}, "logprobs": true,
      "top_logprobs": 1, "n": 1, "prompt_cache_key": "k", "add_generation_prompt": true,
      "continue_final_message": false, "user": "u", "metadata": {}, "store": false,
      "service_tier": "auto", "parallel_tool_calls": true, "safety_identifier": "s",
      "add_special_tokens": true},
    "/v1/completions": {
      "model": "m", "prompt": ["a", "b"], "max_tokens": 5, "stop": ["a"], "ignore_eos": false,
      "temperature": 0.5, "logprobs": 1, "echo": false, "n": 1, "best_of": 1, "stream": false,
      "stream_options": {"include_usage": true}, "response_format": {"type": "text"},
      "suffix": ""},
    "/v1/responses": {
      "model": "m", "instructions": "i",
      "input": [
        {"type": "message", "role": "user", "content": [
          {"type": "input_text", "text": "t"},
          {"type": "input_image", "image_url": "data:image/png;base64,aGVsbG8="}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}],
          "encrypted_content": "e"},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "o"}],
      "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {},
        "strict": false}],
      "tool_choice": "auto", "reasoning": {"effort": "low", "summary": "auto"},
      "text": {"format": {"type": "text"}}, "include": ["reasoning.encrypted_content"],
      "temperature": 0.5, "top_logprobs": 1, "background": false, "max_output_tokens": 5,
      "stream": false, "store": false, "prompt_cache_key": "k"},
    "/v1/messages": {
      "model": "m", "max_tokens": 5, "system": [{"type": "text", "text": "s"}],
      "messages": [
        {"role": "user", "content": [
          {"type": "text", "text": "t"},
          {"type": "image", "source": {"type": "base64", "data": "aGVsbG8="}},
          {"type": "document", "source": {"type": "text", "data": "d"}}]},
        {"role": "assistant", "content": [
          {"type": "thinking", "thinking": "t"},
          {"type": "tool_use", "id": "1", "name": "f", "input": {}}]},
        {"role": "user", "content": [
          {"type": "tool_result", "tool_use_id": "1", "content": "c"}]}],
      "tools": [{"name": "f", "description": "d", "input_schema": {}, "type": "custom"}],
      "tool_choice": {"type": "auto"}, "thinking": {"type": "enabled", "budget_tokens": 5},
      "output_config": {"effort": "low"}, "temperature": 0.5, "top_p": 0.5, "top_k": 5,
      "stop_sequences": ["a"], "stream": false},
    "/api/chat": {
      "model": "m",
      "messages": [
        {"role": "user", "content": "c", "images": ["aGVsbG8="]},
        {"role": "assistant", "content": "c", "thinking": "t", "tool_calls": [
          {"id": "1", "function": {"name": "f", "arguments": {}}}]},
        {"role": "tool", "content": "c", "tool_call_id": "1"}],
      "tools": [{"type": "function", "function": {"name": "f", "description": "d"}}],
      "options": {"num_predict": 5, "repeat_penalty": 1.1, "stop": ["a"], "temperature": 0.5,
        "top_p": 0.9, "top_k": 5, "min_p": 0.1, "presence_penalty": 0.1, "seed": 1,
        "frequency_penalty": 0.1, "logit_bias": {"7": 1.5}},
      "think": false, "format": "", "keep_alive": "5m", "logprobs": true, "top_logprobs": 1,
      "stream": false},
    "/api/generate": {
      "model": "m", "prompt": "p", "system": "s", "suffix": "", "raw": false,
      "images": ["aGVsbG8="], "options": {"seed": 1}, "think": true, "stream": false},
    "/v1/embeddings": {
      "model": "m", "input": ["a", "b"], "encoding_format": "float", "dimensions": 8},
    "/api/embed": {"model": "m", "input": ["a"], "truncate": true, "options": {}},
    "/api/embeddings": {"model": "m", "prompt": "p"},
    "/tokenize": {"model": "m", "prompt": "p", "special": true},
    "/detokenize": {"model": "m", "tokens": [65, 66]},
    "/api/show": {"model": "fake"}})json");
  return bodies;
}

// "/messages/0/content" → "messages[0].content"
std::string path_of(const std::string& pointer) {
  std::string path;
  std::istringstream parts(pointer.substr(1));
  for (std::string part; std::getline(parts, part, '/');) {
    const bool is_index = std::isdigit(static_cast<unsigned char>(part[0])) && part != "7";
    if (is_index) {
      path += "[" + part + "]";
    } else {
      path += (path.empty() ? "" : ".") + part;
    }
  }
  return path;
}

// Fields that take values of more than one kind, or another shape (refused for what it says).
bool may_be(const std::string& pointer, const json& given) {
  const auto ends = [&](std::string_view key) { return pointer.ends_with(key); };
  const auto in = [&](std::string_view key) { return pointer.find(key) != std::string::npos; };
  const bool text = given.is_string(), list = given.is_array(), object = given.is_object();
  if (ends("/arguments") || ends("/tool_choice")) return text || object;
  if (ends("/content") || ends("/output") || ends("/system") || ends("/input") || ends("/prompt"))
    return text || list;
  if (ends("/stop") || ends("/stop_sequences") || ends("/images") || ends("/include")) return text;
  if (in("/prompt/")) return list || text;
  if (ends("/image_url") || ends("/video") || in("/video/")) return text || object || list;
  if (ends("/think")) return text || given.is_boolean();
  if (pointer == "/format" || pointer == "/keep_alive") return true;
  return in("/content/") && text;  // a part may be a string
}

std::string message_of(const Reply& reply) {
  const json body = json::parse(reply.body, nullptr, false);
  const json error = body.is_object() ? body.value("error", json()) : json();
  if (error.is_string()) return error;
  return error.is_object() ? error.value("message", "") : "";
}

TEST_F(Hostile, WrongTypesOfEveryField) {
  const json wrong[] = {true,           1.5,
                        1e300,          -1e300,
                        "\x01 odd",     json::array({json::array()}),
                        {{"odd", 1.5}}, json::array({7, "x", nullptr})};
  const auto kind_fits = [](const json& a, const json& b) {
    if (a.is_number() && b.is_number()) return b == 1.5 && a.is_number_float();
    return a.type() == b.type();
  };
  attack([&] {
    for (const auto& [path, whole] : whole_bodies().items()) {
      EXPECT_EQ(post(path, whole.dump()).status, 200)
          << path << message_of(post(path, whole.dump()));
      const json leaves = whole.flatten();
      for (const auto& [pointer, unused] : leaves.items()) {
        // Every value, and every list and object that it stands in.
        for (std::string at = pointer; !at.empty(); at.resize(at.rfind('/'))) {
          const json::json_pointer target(at);
          for (const json& given : wrong) {
            if (kind_fits(whole[target], given) || may_be(at, given)) continue;
            json body = whole;
            body[target] = given;
            const Reply reply = post(path, body.dump());
            EXPECT_EQ(reply.status, 400) << path << " " << at << " " << given;
            EXPECT_THAT(message_of(reply), HasSubstr(path_of(at)))
                << path << " " << at << " " << given;
          }
        }
      }
      for (const json& given : wrong) {
        if (given.is_object()) continue;
        EXPECT_EQ(post(path, given.dump()).status, 400) << path;
      }
    }
  });
  EXPECT_GE(requests_, 2000);
}

TEST_F(Hostile, BodiesThatAreNotJson) {
  std::vector<std::string> bad = {"",
                                  "null",
                                  "[]",
                                  "7",
                                  "\"x\"",
                                  "{",
                                  "}",
                                  "{]",
                                  "{\"a\"}",
                                  "{\"a\":}",
                                  "{\"a\":1,}",
                                  "{'a':1}",
                                  "{\"a\":NaN}",
                                  "{\"a\":01}",
                                  "{\"a\":+1}",
                                  "{\"a\":.5}",
                                  "{\"a\":1e}",
                                  "{\"a\":\"\n\"}",
                                  "{\"a\":\"\\x\"}",
                                  "{\"a\":\"\\ud80\"}",
                                  "{\"a\":\"\\ud800\\udc0\"}",
                                  "{} {}",
                                  "{}x",
                                  "\xEF\xBB\xBF{",
                                  std::string("{}\0", 3)};
  for (const int depth : {65, 100, 1000, 60'000}) {
    bad.push_back(std::string("{\"a\":") + std::string(depth, '[') + std::string(depth, ']') + "}");
    bad.push_back(std::string("{\"a\":") + std::string(depth, '['));
    std::string objects;
    for (int i = 0; i < std::min(depth, 10'000); ++i) objects += "{\"a\":";
    bad.push_back(objects);
  }
  // Bytes that are not UTF-8, in a key and in a value: overlong, surrogates, cut, beyond the last.
  for (const char* bytes :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xED\xA0\x80",
        "\xED\xBF\xBF", "\xF0\x80\x80\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF",
        "\xFE\xFF", "\xC3", "\xE2\x82", "\xF0\x9F\x98"}) {
    bad.push_back("{\"messages\":[{\"role\":\"user\",\"content\":\"" + std::string(bytes) +
                  "\"}]}");
    bad.push_back(fmt::format(R"({{"{}":1}})", bytes));
  }
  attack([&] {
    for (const auto& [path, unused] : whole_bodies().items()) {
      for (const std::string& body : bad) {
        const Reply reply = post(path, body);
        EXPECT_EQ(reply.status, 400) << path << " " << body.substr(0, 80);
        EXPECT_FALSE(message_of(reply).empty());
      }
    }
  });
}

// The corpus of the fuzz target, whole, cut anywhere and bent, to every route that takes a body.
TEST_F(Hostile, FuzzCorpus) {
  std::vector<std::string> bodies;
  std::mt19937 random(11);
  const std::string folder = GODWIT_SOURCE_DIR "/fuzz/corpus/request_json";
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    std::ifstream in(file.path(), std::ios::binary);
    const std::string body{std::istreambuf_iterator<char>(in), {}};
    bodies.push_back(body);
    for (size_t n = 1; n < body.size(); n += 1 + body.size() / 16)
      bodies.push_back(body.substr(0, n));
    for (int i = 0; i < 16; ++i) {
      std::string bent = body;
      for (int k = 0; k < 3; ++k) bent[random() % bent.size()] = static_cast<char>(random());
      bodies.push_back(std::move(bent));
    }
  }
  ASSERT_GT(bodies.size(), 100u);
  attack([&] {
    for (const auto& [path, unused] : whole_bodies().items()) {
      for (const std::string& body : bodies) {
        const Reply reply = post(path, body);
        EXPECT_TRUE(reply.complete);
        EXPECT_THAT(reply.status, testing::AnyOf(200, 400, 404)) << path << " " << body;
        EXPECT_EQ(message_of(reply).empty(), reply.status == 200) << path << " " << body;
      }
    }
  });
}

// Streams that have begun and have nothing to say for now.
TEST_F(Hostile, AThousandIdleStreamsAreCheap) {
  constexpr size_t kStreams = 1000;
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur < 2 * kStreams + 100) GTEST_SKIP() << "the system allows too few files";
  models_.engine->say([](FakeGeneration& g, const engine::GenerationRequest&) {
    g.text(Event::Kind::kContent, "begun");
  });
  const std::string request =
      chat_request(R"({"messages":[{"role":"user","content":"Hi"}],"stream":true})");
  const size_t bytes = resident_bytes();
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 0; i < kStreams; ++i) {
    clients.push_back(std::make_unique<Client>(server_->port()));
    clients.back()->send(request);
  }
  for (const auto& client : clients) ASSERT_TRUE(client->wait_for("begun"));
  if (kMemoryIsPlain) {
    EXPECT_LT(resident_bytes(), bytes + (size_t{64} << 20));
  }
  RecordProperty("bytes", static_cast<int>(resident_bytes() - bytes));
  const auto started = models_.engine->generations();
  for (size_t i = 1; i < started.size(); ++i) started[i]->done();  // the first is the healthy one
  for (const auto& client : clients) EXPECT_TRUE(client->wait_for("[DONE]"));
  healthy_->finish();
}

}  // namespace
}  // namespace godwit::server
