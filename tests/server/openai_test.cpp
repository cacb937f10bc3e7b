// OpenAI's routes and the server's own, over real sockets, answered by a fake engine. Replies are
// read by another JSON library than the one that wrote them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "server/api.h"
#include "tests/server/fake_engine.h"
#include "tests/server/server_fixture.h"

namespace godwit::server {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;
using Kind = Event::Kind;

// "data: …" lines of a stream, but for [DONE].
std::vector<json> events_of(const std::string& body) {
  std::vector<json> events;
  for (size_t at = 0; (at = body.find("data: ", at)) != std::string::npos;) {
    const size_t end = body.find("\n\n", at);
    const std::string data = body.substr(at + 6, end - at - 6);
    if (data != "[DONE]") events.push_back(json::parse(data));
    at = end;
  }
  return events;
}

class OpenAi : public testing::Test {
 protected:
  OpenAi() : api_{models_.set, metrics_, MediaSource(), 1700000000} {
    ServerOptions options;
    options.on_request = [this](const RequestReport& report) { metrics_.request_done(report); };
    std::vector<Route> routes;
    for (const auto& list : {openai_chat_routes(api_), openai_completion_routes(api_),
                             openai_model_routes(api_), own_routes(api_), ollama_routes(api_)})
      routes.insert(routes.end(), list.begin(), list.end());
    server_ = std::make_unique<RunningServer>(options, std::move(routes));
    client_ = std::make_unique<Client>(server_->port());
    models_.engine->say([](FakeGeneration& g, const engine::GenerationRequest&) {
      g.progress(6, 12);
      g.text(Kind::kContent, "Hello");
      g.text(Kind::kContent, " there");
      g.done();
    });
  }
  Reply post(const std::string& path, const json& body) {
    return client_->ask("POST", path, body.dump());
  }
  Reply chat(json body) {
    if (!body.contains("messages")) body["messages"] = {{{"role", "user"}, {"content", "Hi"}}};
    return post("/v1/chat/completions", body);
  }
  // A refusal's message.
  std::string refused(const Reply& reply, int status = 400) {
    EXPECT_EQ(reply.status, status) << reply.body;
    const json body = json::parse(reply.body, nullptr, false);
    return body.is_object() && body.contains("error") ? body["error"]["message"].get<std::string>()
                                                      : reply.body;
  }
  engine::GenerationRequest last() { return models_.engine->requests().back(); }

  FakeModels models_;
  Metrics metrics_;
  Api api_;
  std::unique_ptr<RunningServer> server_;
  std::unique_ptr<Client> client_;
};

TEST_F(OpenAi, ChatWhole) {
  const Reply reply = chat({{"model", "gpt-4o"}, {"temperature", 0}, {"max_tokens", 50}});
  ASSERT_EQ(reply.status, 200) << reply.body;
  const json body = json::parse(reply.body);
  EXPECT_THAT(body["id"].get<std::string>(), StartsWith("chatcmpl-"));
  EXPECT_EQ(body["object"], "chat.completion");
  EXPECT_EQ(body["model"], "fake");
  const json& choice = body["choices"][0];
  EXPECT_EQ(choice["message"]["role"], "assistant");
  EXPECT_EQ(choice["message"]["content"], "Hello there");
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_EQ(body["usage"]["prompt_tokens"], 12);
  EXPECT_EQ(body["usage"]["completion_tokens"], 3);
  EXPECT_EQ(body["usage"]["total_tokens"], 15);
  EXPECT_EQ(body["usage"]["prompt_tokens_details"]["cached_tokens"], 5);
  EXPECT_EQ(body["usage"]["godwit"]["reuse_note"], "the system message changed");
  EXPECT_TRUE(body["usage"]["godwit"]["timings"].contains("prefill"));
  EXPECT_EQ(last().sampling.temperature, 0.0f);
  EXPECT_EQ(last().max_tokens, 50);
}

TEST_F(OpenAi, ChatStream) {
  models_.engine->say([](FakeGeneration& g, const engine::GenerationRequest&) {
    g.progress(6, 12);
    g.text(Kind::kReasoning, "hm");
    g.text(Kind::kContent, "Hello");
    g.text(Kind::kToolCallBegin, "weather", 0);
    g.text(Kind::kToolArguments, "{\"city\":", 0);
    g.text(Kind::kToolArguments, "\"Oslo\"}", 0);
    g.text(Kind::kToolCallEnd, "", 0);
    g.done(engine::FinishReason::kToolCalls);
  });
  const Reply reply =
      chat({{"stream", true},
            {"stream_options", {{"include_usage", true}, {"include_progress", true}}}});
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.at("content-type"), "text/event-stream");
  EXPECT_TRUE(reply.body.ends_with("data: [DONE]\n\n"));
  const auto events = events_of(reply.body);
  ASSERT_EQ(events.size(), 9u) << reply.body;
  EXPECT_EQ(events[0]["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(events[1]["godwit"]["prompt_progress"]["total"], 12);
  EXPECT_EQ(events[2]["choices"][0]["delta"]["reasoning_content"], "hm");
  EXPECT_EQ(events[3]["choices"][0]["delta"]["content"], "Hello");
  const json& call = events[4]["choices"][0]["delta"]["tool_calls"][0];
  EXPECT_EQ(call["index"], 0);
  EXPECT_EQ(call["type"], "function");
  EXPECT_EQ(call["function"]["name"], "weather");
  EXPECT_THAT(call["id"].get<std::string>(), StartsWith("call_"));
  EXPECT_EQ(events[5]["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"],
            "{\"city\":");
  EXPECT_EQ(events[7]["choices"][0]["finish_reason"], "tool_calls");
  EXPECT_EQ(events[8]["usage"]["total_tokens"], 15);
  EXPECT_TRUE(events[8]["choices"].empty());
  EXPECT_EQ(events[0]["id"], events[8]["id"]);
  // Without the option there is no usage.
  EXPECT_THAT(chat({{"stream", true}}).body, testing::Not(HasSubstr("\"usage\"")));
}

TEST_F(OpenAi, OllamaCountsStreamedCallsAndDropsACutOne) {
  models_.engine->say([](FakeGeneration& g, const engine::GenerationRequest&) {
    for (int i = 0; i < 3; ++i) {
      g.text(Kind::kToolCallBegin, fmt::format("f{}", i), i);
      g.text(Kind::kToolArguments, i < 2 ? "{}" : "{\"text\": \"ha", i);
      if (i < 2) g.text(Kind::kToolCallEnd, "", i);
    }
    g.done(engine::FinishReason::kLength);
  });
  const json request = {{"model", "fake"}, {"messages", {{{"role", "user"}, {"content", "Hi"}}}}};
  const Reply streamed = post("/api/chat", request);
  EXPECT_EQ(streamed.status, 200) << streamed.body;
  std::istringstream lines(streamed.body);
  std::vector<json> calls;
  for (std::string line; std::getline(lines, line);) {
    const json message = json::parse(line)["message"];
    for (const json& call : message.value("tool_calls", json::array())) calls.push_back(call);
  }
  ASSERT_EQ(calls.size(), 2u);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(calls[i]["function"]["index"], i);
    EXPECT_EQ(calls[i]["function"]["name"], fmt::format("f{}", i));
  }
  json whole = request;
  whole["stream"] = false;
  const json message = json::parse(post("/api/chat", whole).body)["message"];
  ASSERT_EQ(message["tool_calls"].size(), 2u);
  EXPECT_EQ(message["tool_calls"][1]["function"]["index"], 1);
}

TEST_F(OpenAi, ToolCallsWhole) {
  models_.engine->say([](FakeGeneration& g, const engine::GenerationRequest&) {
    g.text(Kind::kReasoning, "think");
    for (int i = 0; i < 2; ++i) {
      g.text(Kind::kToolCallBegin, fmt::format("f{}", i), i);
      g.text(Kind::kToolArguments, "{}", i);
      g.text(Kind::kToolCallEnd, "", i);
    }
    g.done(engine::FinishReason::kToolCalls);
  });
  const json tool = {{"type", "function"},
                     {"function", {{"name", "f0"}, {"parameters", {{"type", "object"}}}}}};
  const json body = json::parse(chat({{"tools", {tool}}}).body);
  const json& message = body["choices"][0]["message"];
  EXPECT_TRUE(message["content"].is_null());
  EXPECT_EQ(message["reasoning_content"], "think");
  EXPECT_EQ(message["tool_calls"].size(), 2u);
  EXPECT_EQ(message["tool_calls"][1]["function"]["name"], "f1");
  EXPECT_NE(message["tool_calls"][0]["id"], message["tool_calls"][1]["id"]);
  EXPECT_EQ(last().tools.size(), 1u);
  EXPECT_EQ(last().max_tool_calls, -1);
  chat({{"tools", {tool}}, {"parallel_tool_calls", false}});
  EXPECT_EQ(last().max_tool_calls, 1);
  // "none" takes the tools away; the order of a tool's keys stays.
  chat({{"tools", {tool}}, {"tool_choice", "none"}});
  EXPECT_TRUE(last().tools.empty());
  client_->ask(
      "POST", "/v1/chat/completions",
      R"({"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function",)"
      R"("function":{"name":"z","description":"y","strict":false,"parameters":{"b":1,"a":2}}}]})");
  EXPECT_EQ(
      last().tools[0].dump(),
      R"({"type":"function","function":{"name":"z","description":"y","parameters":{"b":1,"a":2}}})");
}

TEST_F(OpenAi, ConversationsOfEveryShape) {
  const json messages = json::parse(R"([
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "See"}, {"type": "image_url",
      "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}}]},
    {"role": "assistant", "content": null, "reasoning": "r", "tool_calls": [{"id": "c1",
      "type": "function", "function": {"name": "f", "arguments": "{\"a\": \"\\ud83d\"}"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "42"},
    {"role": "user", "content": [{"type": "video", "video":
      ["data:image/png;base64,aaaa", "data:image/png;base64,bbbb"], "fps": 4},
      {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,aaaa"}, "fps": 0.5},
      {"type": "video", "video": "data:video/mp4;base64,aaaa"}]}])");
  ASSERT_EQ(chat({{"messages", messages}}).status, 200);
  const auto request = last();
  ASSERT_EQ(request.messages.size(), 5u);
  EXPECT_EQ(request.messages[0].role, "developer");
  EXPECT_TRUE(request.messages[1].content_is_parts);
  EXPECT_EQ(request.messages[1].content[1].kind, text::ContentPart::Kind::kImage);
  EXPECT_EQ(*request.messages[1].content[1].media->bytes, "\x89PNG\r\n\x1a\n");
  EXPECT_TRUE(request.messages[2].content_is_null);
  EXPECT_EQ(request.messages[2].reasoning_content, "r");
  EXPECT_EQ(request.messages[2].tool_calls[0].name, "f");
  EXPECT_EQ(request.messages[2].tool_calls[0].arguments.as_string(), R"({"a": "\ufffd"})");
  EXPECT_EQ(request.messages[3].tool_call_id, "c1");
  EXPECT_EQ(request.messages[4].content[0].media->frames.size(), 2u);
  EXPECT_EQ(request.messages[4].content[0].media->frames_per_second, 4);
  EXPECT_EQ(request.messages[4].content[1].media->frames_per_second, 0.5);
  EXPECT_EQ(request.messages[4].content[1].media->bytes->size(), 3u);
  EXPECT_EQ(request.messages[4].content[2].media->frames_per_second, 0) << "not said";
}

TEST_F(OpenAi, SamplingAndThinking) {
  ASSERT_EQ(chat({{"top_p", 0.5},
                  {"top_k", -1},
                  {"min_p", 0.1},
                  {"presence_penalty", 1},
                  {"frequency_penalty", -1},
                  {"repetition_penalty", 1.1},
                  {"seed", -3},
                  {"logit_bias", {{"17", -100}}},
                  {"stop", "END"},
                  {"max_completion_tokens", 9},
                  {"thinking_budget", 33},
                  {"chat_template_kwargs", {{"enable_thinking", true}, {"custom", 1}}}})
                .status,
            200);
  auto request = last();
  EXPECT_EQ(request.sampling.top_k, 0);
  EXPECT_EQ(request.sampling.top_p, 0.5f);
  EXPECT_EQ(request.sampling.seed, static_cast<uint64_t>(-3));
  EXPECT_EQ(request.sampling.logit_bias.at(17), -100.0f);
  EXPECT_THAT(request.stop, ElementsAre("END"));
  EXPECT_EQ(request.max_tokens, 9);
  EXPECT_EQ(request.thinking, engine::Thinking::kOn);
  EXPECT_EQ(request.thinking_budget, 33);
  EXPECT_NE(request.template_options.kwargs.find("custom"), nullptr);
  chat({{"reasoning_effort", "none"}});
  EXPECT_EQ(last().thinking, engine::Thinking::kOff);
  chat({{"reasoning_effort", "medium"}});
  EXPECT_EQ(last().thinking, engine::Thinking::kOn);
  EXPECT_EQ(last().thinking_budget, 2048);
  EXPECT_EQ(last().template_options.kwargs.find("reasoning_effort")->as_string(), "medium");
  chat({{"enable_thinking", false}});
  EXPECT_EQ(last().thinking, engine::Thinking::kOff);
  EXPECT_EQ(chat({{"unknown_field", {1, 2}}, {"user", "u"}, {"stop", nullptr}}).status, 200);
}

TEST_F(OpenAi, SeveralChoices) {
  const Reply reply = chat({{"n", 3}, {"seed", 5}});
  const json body = json::parse(reply.body);
  ASSERT_EQ(body["choices"].size(), 3u);
  EXPECT_EQ(body["choices"][2]["index"], 2);
  EXPECT_EQ(body["usage"]["prompt_tokens"], 12);
  EXPECT_EQ(body["usage"]["completion_tokens"], 9);
  EXPECT_EQ(last().sampling.seed, 7u);
  const auto events = events_of(chat({{"n", 2}, {"stream", true}}).body);
  int finished = 0;
  for (const json& event : events) finished += !event["choices"][0]["finish_reason"].is_null();
  EXPECT_EQ(finished, 2);
}

TEST_F(OpenAi, Logprobs) {
  models_.engine->say([](FakeGeneration& g, const engine::GenerationRequest&) {
    Event event;
    event.text = "A";
    event.logprobs = {{65, -0.5f, {{65, -0.5f}, {0xC3, -2.0f}}}};
    g.push(event);
    g.done(engine::FinishReason::kLength);
  });
  const json body = json::parse(chat({{"logprobs", true}, {"top_logprobs", 2}}).body);
  const json& token = body["choices"][0]["logprobs"]["content"][0];
  EXPECT_EQ(token["token"], "A");
  EXPECT_EQ(token["logprob"], -0.5);
  EXPECT_THAT(token["bytes"], ElementsAre(65));
  EXPECT_EQ(token["top_logprobs"][1]["token"], "\xEF\xBF\xBD");
  EXPECT_THAT(token["top_logprobs"][1]["bytes"], ElementsAre(0xC3));
  EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(last().logprobs, 2);
  const json old = json::parse(post("/v1/completions", {{"prompt", "x"}, {"logprobs", 1}}).body);
  EXPECT_THAT(old["choices"][0]["logprobs"]["tokens"], ElementsAre("A"));
  EXPECT_THAT(old["choices"][0]["logprobs"]["token_logprobs"], ElementsAre(-0.5));
}

TEST_F(OpenAi, RefusalsNameTheField) {
  const json image = {{"type", "image_url"}, {"image_url", {{"url", 5}}}};
  EXPECT_EQ(refused(chat({{"messages",
                           {{{"role", "user"}, {"content", "a"}},
                            {{"role", "user"}, {"content", {image}}}}}})),
            "messages[1].content[0].image_url.url: expected string, found number");
  const std::pair<json, const char*> cases[] = {
      {{{"temperature", "hot"}}, "temperature: expected number, found string"},
      {{{"temperature", -1}}, "temperature: expected number from 0 to 100, found -1"},
      {{{"max_tokens", 1.5}}, "max_tokens: expected integer, found 1.5"},
      {{{"stream", 1}}, "stream: expected boolean, found 1"},
      {{{"n", 0}}, "n: expected integer from 1 to 16, found 0"},
      {{{"stop", {1}}}, "stop[0]: expected string, found number"},
      {{{"logit_bias", {{"x", 1}}}}, "logit_bias: expected token ids as keys, found 'x'"},
      {{{"tools", {{{"type", "web_search"}}}}}, "tools[0].type: expected function"},
      {{{"tools", {{{"type", "function"}, {"function", {{"name", "f"}, {"strict", true}}}}}}},
       "tools[0].function.strict: strict tools are not supported yet"},
      {{{"tool_choice", "required"}}, "tool_choice: a tool call cannot be forced yet"},
      {{{"tool_choice", {{"type", "function"}}}}, "tool_choice: a tool call cannot be forced yet"},
      {{{"tool_choice", "sometimes"}}, "tool_choice: expected auto, none"},
      {{{"response_format", {{"type", "json_object"}}}}, "json_object is not supported yet"},
      {{{"response_format", {{"type", "json_schema"}}}}, "json_schema is not supported yet"},
      {{{"response_format", {{"type", "xml"}}}}, "response_format.type: expected text"},
      {{{"reasoning_effort", "huge"}}, "reasoning_effort: expected none"},
      {{{"top_logprobs", 2}}, "top_logprobs: expected logprobs to be true"},
      {{{"messages", json::array()}}, "messages: expected at least one message"},
      {{{"messages", {{{"role", "king"}, {"content", ""}}}}}, "messages[0].role: expected system"},
      {{{"messages", {{{"content", ""}}}}}, "messages[0].role: expected string, found nothing"},
      {{{"messages", {{{"role", "user"}, {"content", 3}}}}}, "messages[0].content: expected"},
      {{{"messages",
         {{{"role", "user"}, {"content", {{{"type", "input_audio"}, {"input_audio", {}}}}}}}}},
       "messages[0].content[0]: this model does not hear"},
      {{{"messages",
         {{{"role", "user"},
           {"content", {{{"type", "image_url"}, {"image_url", "http://example.com/a.png"}}}}}}}},
       "messages[0].content[0].image_url: remote media are off"},
      {{{"messages",
         {{{"role", "user"},
           {"content", {{{"type", "image_url"}, {"image_url", "data:image/png;base64,!!!!"}}}}}}}},
       "messages[0].content[0].image_url: base64: character 0"},
  };
  for (const auto& [body, message] : cases) EXPECT_THAT(refused(chat(body)), HasSubstr(message));
  const json error = json::parse(chat({{"temperature", "hot"}}).body)["error"];
  EXPECT_EQ(error["param"], "temperature");
  EXPECT_EQ(error["type"], "invalid_request_error");
}

TEST_F(OpenAi, BodiesThatAreNoRequest) {
  const auto send = [&](const std::string& body) {
    return refused(client_->ask("POST", "/v1/chat/completions", body));
  };
  EXPECT_THAT(send(""), HasSubstr("found nothing"));
  EXPECT_THAT(send("{"), HasSubstr("not valid JSON"));
  EXPECT_THAT(send("[1]"), HasSubstr("expected object, found array"));
  EXPECT_THAT(send("{\"messages\": \"\xff\xfe\"}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(send("{\"a\": " + std::string(100000, '[')), HasSubstr("JSON"));
  EXPECT_THAT(send("{\"a\": " + std::string(200, '[') + std::string(200, ']') + "}"),
              HasSubstr("JSON"));
  EXPECT_THAT(send("{\"a\": [" + std::string(5000000, ',') + "]}"), HasSubstr("at most 2000000"));
  EXPECT_EQ(chat({}).status, 200);
}

TEST_F(OpenAi, HalfACharacterIsReplaced) {
  const auto said = [&](const std::string& escaped) {
    const std::string body = R"({"messages":[{"role":"user","content":")" + escaped + "\"}]}";
    const Reply reply = client_->ask("POST", "/v1/chat/completions", body);
    return reply.status == 200 ? last().messages[0].content[0].text : reply.body;
  };
  EXPECT_EQ(said(R"(a\ud83d)"), "a\uFFFD");
  EXPECT_EQ(said(R"(\uDE00b\uD83D\n)"), "\uFFFDb\uFFFD\n");
  EXPECT_EQ(said(R"(\ud83d\ud83d\ude00\ude00)"), "\uFFFD\U0001F600\uFFFD");
  EXPECT_EQ(said(R"(\ud83d\u0041)"), "\uFFFDA");
  EXPECT_EQ(said(R"(\\ud83d \u00e9)"), "\\ud83d \u00e9");  // a backslash, and no escape
  EXPECT_THAT(said(R"(\ud83)"), HasSubstr("not valid JSON"));
  EXPECT_THAT(said(R"(\u-123)"), HasSubstr("not valid JSON"));
}

TEST_F(OpenAi, EngineRefusals) {
  models_.engine->full = true;
  Reply reply = chat({});
  EXPECT_THAT(refused(reply, 503), HasSubstr("queue is full"));
  EXPECT_EQ(reply.headers.at("retry-after"), "1");
  models_.engine->full = false;
  // A fault found while preparing is a status even for a stream; later it is an event.
  models_.engine->say([](FakeGeneration& g, const engine::GenerationRequest&) {
    g.fail("prompt is too long: 9 tokens > 8 maximum", ErrorKind::kBadInput);
  });
  for (const bool stream : {false, true}) {
    reply = chat({{"stream", stream}});
    EXPECT_THAT(refused(reply), HasSubstr("prompt is too long"));
    EXPECT_EQ(json::parse(reply.body)["error"]["code"], "context_length_exceeded");
  }
  models_.engine->say([](FakeGeneration& g, const engine::GenerationRequest&) {
    g.text(Kind::kContent, "He");
    g.fail("out of pages", ErrorKind::kFailed);
  });
  EXPECT_EQ(chat({}).status, 500);
  reply = chat({{"stream", true}});
  EXPECT_EQ(reply.status, 200);
  EXPECT_TRUE(reply.complete);
  EXPECT_EQ(events_of(reply.body).back()["error"]["message"], "out of pages");
}

TEST_F(OpenAi, AClientThatLeavesCancelsItsGenerations) {
  models_.engine->say([](FakeGeneration& g, const engine::GenerationRequest&) {
    g.text(Kind::kContent, "on and on");
  });
  for (const bool stream : {false, true}) {
    const size_t before = models_.engine->generations().size();
    Client client(server_->port());
    const std::string body = json{
        {"messages", {{{"role", "user"}, {"content", "x"}}}},
        {"n", 2},
        {"stream", stream}}.dump();
    client.send("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: " +
                std::to_string(body.size()) + "\r\n\r\n" + body);
    if (stream) {
      ASSERT_TRUE(client.wait_for("on and on"));
    } else {
      ASSERT_TRUE(eventually([&] { return models_.engine->generations().size() == before + 2; }));
    }
    client.close();
    for (size_t i = before; i < before + 2; ++i) {
      EXPECT_TRUE(eventually([&] { return models_.engine->generations()[i]->cancelled.load(); }));
    }
  }
}

TEST_F(OpenAi, Completions) {
  const json whole = json::parse(
      post("/v1/completions", {{"prompt", "Once"}, {"echo", true}, {"max_tokens", 5}}).body);
  EXPECT_EQ(whole["object"], "text_completion");
  EXPECT_EQ(whole["choices"][0]["text"], "OnceHello there");
  EXPECT_EQ(last().raw_text, "Once");
  EXPECT_FALSE(last().parse_output);
  const json several =
      json::parse(post("/v1/completions", {{"prompt", {"a", "b"}}, {"n", 2}}).body);
  EXPECT_EQ(several["choices"].size(), 4u);
  EXPECT_EQ(several["usage"]["prompt_tokens"], 24);
  post("/v1/completions", {{"prompt", {72, 105}}, {"echo", true}});
  EXPECT_EQ(last().raw_ids, std::vector<int32_t>({72, 105}));
  post("/v1/completions", {{"prompt", {{72}, {105}}}});
  EXPECT_EQ(last().raw_ids, std::vector<int32_t>({105}));
  const auto events = events_of(post("/v1/completions", {{"prompt", "x"}, {"stream", true}}).body);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[1]["choices"][0]["text"], " there");
  EXPECT_EQ(events[2]["choices"][0]["finish_reason"], "stop");
  EXPECT_THAT(refused(post("/v1/completions", {{"prompt", {"a", 1}}})), HasSubstr("prompt[1]"));
  EXPECT_THAT(refused(post("/v1/completions", {{"prompt", {-1}}})), HasSubstr("prompt[0]"));
  EXPECT_THAT(refused(post("/v1/completions", json::object())), HasSubstr("prompt: expected"));
  EXPECT_THAT(refused(post("/v1/completions", {{"prompt", "x"}, {"suffix", "y"}})),
              HasSubstr("suffix"));
}

TEST_F(OpenAi, Models) {
  const json list = json::parse(client_->ask("GET", "/v1/models").body);
  EXPECT_EQ(list["data"][0]["id"], "fake");
  EXPECT_EQ(list["data"][0]["max_model_len"], 4096);
  EXPECT_EQ(json::parse(client_->ask("GET", "/v1/models/fake").body)["id"], "fake");
  const Reply missing = client_->ask("GET", "/v1/models/no/such");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(json::parse(missing.body)["error"]["code"], "model_not_found");
}

TEST_F(OpenAi, OwnRoutes) {
  EXPECT_EQ(client_->ask("GET", "/health").status, 200);
  EXPECT_EQ(client_->ask("GET", "/ready").status, 200);
  EXPECT_EQ(json::parse(post("/tokenize", {{"prompt", "Hi"}}).body)["tokens"], json({72, 105}));
  EXPECT_EQ(
      json::parse(
          post("/tokenize", {{"messages", {{{"role", "user"}, {"content", "x"}}}}}).body)["count"],
      7);
  EXPECT_EQ(json::parse(post("/detokenize", {{"tokens", {72, 105}}}).body)["prompt"], "Hi");
  EXPECT_THAT(refused(post("/detokenize", {{"tokens", {65, 256}}})), HasSubstr("tokens[1]"));
  EXPECT_EQ(
      json::parse(
          post("/render", {{"messages", {{{"role", "user"}, {"content", "x"}}}}}).body)["prompt"],
      "user:x\n");
  const json info = json::parse(client_->ask("GET", "/info").body);
  EXPECT_EQ(info["models"][0]["engine"]["context"], 4096);
  chat({});
  const std::string metrics = client_->ask("GET", "/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("godwit_prompt_tokens_total{model=\"fake\"} 99"));
  EXPECT_THAT(metrics,
              HasSubstr("godwit_prefix_lookups_total{model=\"fake\",result=\"diverged\"} 4"));
  EXPECT_THAT(metrics, HasSubstr("godwit_http_requests_total{"));
  EXPECT_THAT(metrics, HasSubstr("route=\"/v1/chat/completions\""));
  EXPECT_THAT(metrics, HasSubstr("godwit_answers_total{finish=\"stop\",model=\"fake\"} 1"));
}

TEST_F(OpenAi, EveryAnswerIsCountedByItsEnd) {
  const auto count = [&](const std::string& finish) {
    const std::string metrics = client_->ask("GET", "/metrics").body;
    const std::string line = "godwit_answers_total{finish=\"" + finish + "\",model=\"fake\"} ";
    const size_t at = metrics.find(line);
    return at == std::string::npos ? 0 : std::stoi(metrics.substr(at + line.size()));
  };
  models_.engine->say([](FakeGeneration& g, const engine::GenerationRequest&) {
    g.fail("prompt is too long: 5 tokens > 4 maximum", ErrorKind::kBadInput);
  });
  refused(chat({}));
  EXPECT_EQ(count("error"), 1);
  EXPECT_EQ(count("stop"), 0);
  models_.engine->say(
      [](FakeGeneration& g, const engine::GenerationRequest&) { g.text(Kind::kContent, "Hello"); });
  for (const bool stream : {false, true}) {
    const size_t before = models_.engine->requests().size();
    Client leaver(server_->port());
    const std::string body =
        json({{"messages", {{{"role", "user"}, {"content", "Hi"}}}}, {"stream", stream}}).dump();
    leaver.send(
        fmt::format("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
                    "content-length: {}\r\n\r\n{}",
                    body.size(), body));
    ASSERT_TRUE(eventually([&] { return models_.engine->requests().size() > before; }));
  }
  EXPECT_TRUE(eventually([&] { return count("cancelled") == 2; })) << count("cancelled");
}

// 1,000 streams that wait cost little memory and no threads.
TEST_F(OpenAi, AThousandIdleStreams) {
  const auto resident_kb = [] {
    std::ifstream status("/proc/self/statm");
    long total = 0, resident = 0;
    status >> total >> resident;
    return resident * (::sysconf(_SC_PAGESIZE) / 1024);
  };
  models_.engine->say(
      [](FakeGeneration& g, const engine::GenerationRequest&) { g.text(Kind::kContent, "x"); });
  const std::string body = R"({"messages":[{"role":"user","content":"x"}],"stream":true})";
  const long before = resident_kb();
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 1000; ++i) {
    clients.push_back(std::make_unique<Client>(server_->port()));
    ASSERT_TRUE(clients.back()->connected());
    clients.back()->send(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: " +
        std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  for (auto& client : clients) ASSERT_TRUE(client->wait_for("\"content\":\"x\""));
  EXPECT_LT(resident_kb() - before, 64 << 10);
  EXPECT_EQ(client_->ask("GET", "/health").status, 200);
}

// A prompt that is read for minutes: every dialect's stream begins when the request is found good,
// and shows its clients that somebody works.
TEST_F(OpenAi, StreamsOfEveryDialectSayThatTheyLive) {
  ServerOptions options;
  options.keep_alive_interval = std::chrono::milliseconds(20);
  const RunningServer server(options, all_routes(api_));
  const struct {
    const char *path, *input, *before, *after;  // before and after the first tokens were computed
  } dialects[] = {
      {"/v1/chat/completions", R"("messages":[{"role":"user","content":"Hi"}])",
       ": the answer is on its way\n\n", ": the answer is on its way\n\n"},
      {"/v1/completions", R"("prompt":"Hi")", ": the answer is on its way\n\n",
       ": the answer is on its way\n\n"},
      {"/v1/responses", R"("input":"Hi")", ": the answer is on its way\n\n",
       ": the answer is on its way\n\n"},
      {"/v1/messages", R"("max_tokens":9,"messages":[{"role":"user","content":"Hi"}])",
       ": the answer is on its way\n\n", "event: ping\n"},
      {"/api/chat", R"("messages":[{"role":"user","content":"Hi"}])",
       R"("content":""},"done":false})", R"("content":""},"done":false})"},
      {"/api/generate", R"("prompt":"Hi")", R"("response":"","done":false})",
       R"("response":"","done":false})"},
  };
  for (const auto& dialect : dialects) {
    models_.engine->say(
        [](FakeGeneration& g, const engine::GenerationRequest&) { g.progress(0, 12); });
    Client client(server.port());
    const std::string body = fmt::format(R"({{"model":"fake","stream":true,{}}})", dialect.input);
    client.send(fmt::format("POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{}",
                            dialect.path, body.size(), body));
    ASSERT_TRUE(client.wait_for(dialect.before)) << dialect.path;
    const auto generation = models_.engine->generations().back();
    // More of them come, not only that of the progress itself.
    generation->progress(6, 12);
    ASSERT_TRUE(eventually([&] { return client.count(dialect.after) >= 4; })) << dialect.path;
    generation->text(Kind::kContent, "Hello");
    generation->done();
    const Reply reply = client.read();
    EXPECT_TRUE(reply.complete);
    EXPECT_EQ(reply.status, 200);
    EXPECT_NE(reply.body.find("Hello"), std::string::npos);
    if (std::string(dialect.path) == "/v1/messages") {
      EXPECT_LT(reply.body.find("message_start"), reply.body.find("event: ping"));
    }
  }
}

// The second is found bad while the first is computed already.
TEST_F(OpenAi, AStreamOfSeveralBeginsWhenAllAreFoundGood) {
  std::atomic<int> asked = 0;
  models_.engine->say([&](FakeGeneration& g, const engine::GenerationRequest&) {
    if (asked++ == 0) g.progress(0, 12);
  });
  const RunningServer server({}, all_routes(api_));
  Client client(server.port());
  const std::string body = R"({"stream":true,"prompt":["Hi","Ho"]})";
  client.send(fmt::format(
      "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{}",
      body.size(), body));
  ASSERT_TRUE(eventually([&] { return asked == 2; }));
  models_.engine->generations().back()->fail("prompt is too long", ErrorKind::kBadInput);
  EXPECT_EQ(client.read().status, 400);
}

}  // namespace
}  // namespace godwit::server
