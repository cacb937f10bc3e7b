// The server with the demonstration model behind it: what the reference answers is what arrives
// over HTTP, streamed or not, with pictures, clips and tools.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "server/api.h"
#include "tests/server/server_fixture.h"

namespace godwit::server {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::string kFolder = GODWIT_SOURCE_DIR "/tests/goldens/nano/";

class NanoServer : public testing::Test {
 protected:
  static ModelSet& models() {
    static ModelSet set = [] {
      engine::EngineOptions options;
      options.model = GODWIT_SOURCE_DIR "/models/nano";
      options.threads = 1;
      options.context = 2048;
      options.max_sequences = 4;
      options.cache_bytes = size_t{64} << 20;
      return ModelSet({{"nano", options}});
    }();
    return set;
  }
  NanoServer()
      : api_{models(), metrics_, MediaSource({kFolder}, false), 0},
        server_({}, all_routes(api_)),
        client_(server_.port()) {}

  Reply chat(const json& body) { return client_.ask("POST", "/v1/chat/completions", body.dump()); }
  json answer(const json& body) {
    const Reply reply = chat(body);
    EXPECT_EQ(reply.status, 200) << reply.body;
    return json::parse(reply.body, nullptr, false);
  }
  static json user(const std::string& text) {
    return {{"messages", {{{"role", "user"}, {"content", text}}}},
            {"temperature", 0},
            {"max_tokens", 60}};
  }
  // All zero until the first request has loaded the model.
  engine::EngineStats stats() { return models().states().front().stats; }

  Metrics metrics_;
  const Api api_;
  RunningServer server_;
  Client client_;
};

// A line of prompts.jsonl as a request: files become file:// URLs, a clip the list of its frames.
json request_of(const json& line) {
  json messages = line["messages"];
  for (json& message : messages) {
    if (!message["content"].is_array()) continue;
    for (json& part : message["content"]) {
      if (part["type"] == "image")
        part["image"] = "file://" + kFolder + part["image"].get<std::string>();
      if (part["type"] != "video") continue;
      std::vector<std::string> frames;
      for (const auto& file :
           std::filesystem::directory_iterator(kFolder + part["video"].get<std::string>()))
        frames.push_back("file://" + file.path().string());
      std::sort(frames.begin(), frames.end());
      part["video"] = frames;
    }
  }
  return {{"messages", messages},
          {"tools", line["tools"]},
          {"enable_thinking", line["enable_thinking"]},
          {"temperature", 0},
          {"max_tokens", 160}};
}

// The message of a stream, put together again.
json message_of_stream(const std::string& body) {
  json message = {{"content", ""}, {"reasoning", ""}, {"calls", json::array()}};
  for (size_t at = 0; (at = body.find("data: {", at)) != std::string::npos;) {
    const size_t end = body.find("\n\n", at);
    const json event = json::parse(body.substr(at + 6, end - at - 6));
    at = end;
    if (event["choices"].empty()) continue;
    const json& delta = event["choices"][0]["delta"];
    const auto append = [&](json& target, const json& piece) {
      target = target.get<std::string>() + piece.get<std::string>();
    };
    if (delta.contains("content")) append(message["content"], delta["content"]);
    if (delta.contains("reasoning_content"))
      append(message["reasoning"], delta["reasoning_content"]);
    for (const json& call : delta.value("tool_calls", json::array())) {
      if (call.contains("id"))
        message["calls"].push_back({{"name", call["function"]["name"]}, {"arguments", ""}});
      append(message["calls"][call["index"].get<size_t>()]["arguments"],
             call["function"]["arguments"]);
    }
  }
  return message;
}

TEST_F(NanoServer, AnswersAsTheReferenceStreamedOrNot) {
  std::ifstream lines(kFolder + "prompts.jsonl");
  int asked = 0, plain = 0, same = 0, calls = 0;
  std::string text;
  for (int number = 0; std::getline(lines, text); ++number) {
    if (number % 8 != 0) continue;
    const json line = json::parse(text);
    json request = request_of(line);
    const json whole = answer(request);
    request["stream"] = true;
    const Reply reply = chat(request);
    const json streamed = message_of_stream(reply.body);
    const json& message = whole["choices"][0]["message"];
    ++asked;
    EXPECT_EQ(streamed["content"], message["content"].is_null() ? json("") : message["content"])
        << line["name"];
    EXPECT_EQ(streamed["reasoning"], message.value("reasoning_content", "")) << line["name"];
    const json listed = message.value("tool_calls", json::array());
    ASSERT_EQ(streamed["calls"].size(), listed.size()) << line["name"];
    for (size_t i = 0; i < listed.size(); ++i) {
      ++calls;
      EXPECT_EQ(streamed["calls"][i]["arguments"], listed[i]["function"]["arguments"]);
      EXPECT_TRUE(json::parse(listed[i]["function"]["arguments"].get<std::string>(), nullptr, false)
                      .is_object());
    }
    if (line["enable_thinking"] == true || !listed.empty()) continue;
    std::string given = line["given"];
    if (given.ends_with("<|im_end|>")) given.resize(given.size() - 10);
    ++plain;
    same += message["content"] == given;
  }
  EXPECT_GE(asked, 10);
  EXPECT_GE(plain, 5);
  EXPECT_GE(calls, 1);
  EXPECT_GE(same, plain - 1) << "of " << plain;  // a near tie may fall the other way
}

TEST_F(NanoServer, ASecondTurnReusesTheFirst) {
  json request = user("What is the code? The code of the red door is 3799.");
  const json first = answer(request);
  request["messages"].push_back(first["choices"][0]["message"]);
  request["messages"].push_back({{"role", "user"}, {"content", "Say it again."}});
  const json second = answer(request);
  const int prompt = first["usage"]["prompt_tokens"];
  EXPECT_GT(second["usage"]["prompt_tokens"], prompt);
  EXPECT_GE(second["usage"]["prompt_tokens_details"]["cached_tokens"], prompt / 2);
  EXPECT_GT(second["usage"]["godwit"]["timings"]["prefill"], 0.0);
}

TEST_F(NanoServer, FaultsOfARequestAreStatuses) {
  const json broken = {{"type", "image_url"},
                       {"image_url", {{"url", "data:image/png;base64,aGVsbG8gd29ybGQ="}}}};
  json request = {{"messages", {{{"role", "user"}, {"content", {broken}}}}}};
  json long_one = user("");
  std::string words;
  for (int i = 0; i < 4000; ++i) words += "word ";
  long_one["messages"][0]["content"] = words;
  for (const bool stream : {false, true}) {
    request["stream"] = stream;
    EXPECT_EQ(chat(request).status, 400);
    long_one["stream"] = stream;
    const Reply reply = chat(long_one);
    EXPECT_EQ(reply.status, 400);
    EXPECT_THAT(reply.body, HasSubstr("context_length_exceeded"));
  }
  EXPECT_EQ(chat(user("Hello")).status, 200);
}

TEST_F(NanoServer, ChoicesSeedsAndLogprobs) {
  json request = user("Hello, who are you?");
  request["temperature"] = 1.5;
  request["n"] = 2;
  request["seed"] = 11;
  request["logprobs"] = true;
  request["top_logprobs"] = 3;
  const json first = answer(request), again = answer(request);
  ASSERT_EQ(first["choices"].size(), 2u);
  for (int i = 0; i < 2; ++i) {
    const json& choice = first["choices"][i];
    EXPECT_EQ(choice["message"]["content"], again["choices"][i]["message"]["content"]);
    std::string joined;
    for (const json& token : choice["logprobs"]["content"]) {
      EXPECT_LE(token["logprob"], 0.0);
      EXPECT_EQ(token["top_logprobs"].size(), 3u);
      joined += token["token"].get<std::string>();
    }
    EXPECT_THAT(joined, testing::StartsWith(choice["message"]["content"].get<std::string>()));
  }
}

TEST_F(NanoServer, CompletionsOfTextAndIds) {
  const json tokens = json::parse(
      client_.ask("POST", "/tokenize", json{{"prompt", "One two three"}}.dump()).body)["tokens"];
  const auto complete = [&](const json& prompt) {
    return json::parse(
        client_
            .ask("POST", "/v1/completions",
                 json{{"prompt", prompt}, {"temperature", 0}, {"max_tokens", 8}}.dump())
            .body);
  };
  const json text = complete("One two three"), ids = complete(tokens);
  EXPECT_EQ(text["choices"][0]["text"], ids["choices"][0]["text"]);
  EXPECT_EQ(text["usage"]["prompt_tokens"], tokens.size());
  EXPECT_LE(text["usage"]["completion_tokens"], 8);
}

TEST_F(NanoServer, LeavingFreesTheEngine) {
  json request = user("Count.");
  request["max_tokens"] = 1900;
  request["ignore_eos"] = true;
  request["n"] = 4;
  for (const bool stream : {false, true}) {
    request["stream"] = stream;
    Client client(server_.port());
    const std::string body = request.dump();
    client.send("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: " +
                std::to_string(body.size()) + "\r\n\r\n" + body);
    ASSERT_TRUE(eventually([&] { return stats().running > 0; }));
    client.close();
    EXPECT_TRUE(eventually([&] { return stats().running + stats().waiting == 0; }));
  }
}

TEST_F(NanoServer, ManyAtOnce) {
  std::vector<std::unique_ptr<Client>> clients;
  const std::string body = user("Hello").dump();
  for (int i = 0; i < 24; ++i) {
    clients.push_back(std::make_unique<Client>(server_.port()));
    clients.back()->send(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: " +
        std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  std::string first;
  for (auto& client : clients) {
    const Reply reply = client->read();
    ASSERT_EQ(reply.status, 200) << reply.body;
    const std::string content = json::parse(reply.body)["choices"][0]["message"]["content"];
    if (first.empty()) first = content;
    EXPECT_EQ(content, first);
  }
}

}  // namespace
}  // namespace godwit::server
