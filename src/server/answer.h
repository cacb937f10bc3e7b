// Answers: from the events of one or several generations to a dialect's bytes.
//
//   generate() ─► Job ─► whole: every event collected, then AnswerFormat::whole()
//                    └─► stream: waits for the first event (an error is still a status), then
//                                AnswerFormat::begin(), event()…, end()
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/api.h"
#include "server/json_fields.h"

namespace godwit::server {

struct CalledTool {
  std::string id, name, arguments;  // arguments: the text of a JSON object
};

// One choice, as it grows. Stream formats may keep one, too, if the end repeats the whole.
struct Answer {
  std::string reasoning, content;
  std::vector<CalledTool> calls;
  std::vector<engine::TokenLogprob> logprobs;  // of the content
  engine::Event done;                          // kDone, once it came

  // `id_prefix`: of a new call's id, "call_" or "toolu_".
  void add(const engine::Event& event, std::string_view id_prefix);
};

class AnswerFormat {
 public:
  virtual ~AnswerFormat() = default;

  // The stream. `choice` counts the generations. kDone is an event too; kError is not: it goes to
  // error(), and ends the stream.
  virtual std::string content_type() const { return "text/event-stream"; }
  virtual std::string begin() { return {}; }
  virtual std::string event(int choice, const engine::Event& event) = 0;
  virtual std::string end() { return {}; }  // after the last kDone
  // While a long prompt is read, or others are served first. (A comment of server-sent events.)
  virtual std::string keep_alive() { return ": the answer is on its way\n\n"; }
  virtual std::string error(int status, const std::string& message) = 0;
  // A fault before the first event is a reply with its status, unless clients of the dialect look
  // for it in a stream.
  virtual bool begins_with(const Error&) const { return false; }

  // The whole answer.
  virtual std::string_view call_id_prefix() const { return "call_"; }
  virtual HttpReply whole(std::vector<Answer>& answers) = 0;
};

enum class Delivery { kWhole, kStream };

// Submits each request; what comes of them is told in `format`. A fault that is known at once is a
// reply in the dialect's form: 400, or 503 for a full queue.
HttpReply generate(const Api& api, Dialect dialect, ModelUse model,
                   std::vector<engine::GenerationRequest> requests,
                   std::unique_ptr<AnswerFormat> format, Delivery delivery);

// 400 for bad input, 500 otherwise.
HttpReply error_reply(Dialect dialect, const Error& error);
HttpReply error_reply(Dialect dialect, const ModelFault& fault);
int status_of(const Error& error);

HttpReply json_reply(const Json& json, int status = 200);
// "data: {…}\n\n"; with a name: "event: NAME\ndata: {…}\n\n".
std::string sse(const Json& json);
std::string sse(std::string_view name, const Json& json);

// "chatcmpl-" and 24 letters and digits.
std::string new_id(std::string_view prefix);
int64_t unix_time();

}  // namespace godwit::server
