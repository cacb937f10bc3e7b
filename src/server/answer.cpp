#include "server/answer.h"

#include <chrono>
#include <deque>
#include <random>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace godwit::server {
namespace {

using engine::Event;

// One pull gives at most about this much, so that a stream takes its turn with the others.
constexpr size_t kPullBytes = 32 << 10;

// Generations under way.
struct Job {
  ModelUse model;
  std::vector<std::shared_ptr<engine::Generation>> generations;
  Dialect dialect;
  Metrics* metrics;
};

// A job's generations, drained in turn; cancelled, and counted as such, when dropped unfinished.
class Pump {
 public:
  explicit Pump(Job job) : job_(std::move(job)), ended_(job_.generations.size(), false) {}
  ~Pump() {
    on_ready({});
    cancel();
    for (const bool ended : ended_) {
      if (!ended) job_.metrics->answer_cancelled(job_.model.name);
    }
  }
  Pump(const Pump&) = delete;
  Pump& operator=(const Pump&) = delete;

  void on_ready(const std::function<void()>& notify) {
    for (const auto& generation : job_.generations) generation->on_event(notify);
  }
  void cancel() {
    for (size_t i = 0; i < ended_.size(); ++i) {
      if (!ended_[i]) job_.generations[i]->cancel();
    }
  }
  // Which choice, and its next event; nullopt: nothing now.
  std::optional<std::pair<int, Event>> next() {
    for (size_t i = 0; i < ended_.size(); ++i) {
      if (ended_[i]) continue;
      auto event = job_.generations[i]->poll();
      if (!event) continue;
      ended_[i] = event->kind == Event::Kind::kDone || event->kind == Event::Kind::kError;
      if (ended_[i]) job_.metrics->answer_done(job_.model.name, *event);
      return std::pair(static_cast<int>(i), std::move(*event));
    }
    return std::nullopt;
  }
  bool all_ended() const {
    for (const bool ended : ended_) {
      if (!ended) return false;
    }
    return true;
  }
  const Job& job() const { return job_; }

 private:
  Job job_;
  std::vector<bool> ended_;
};

class WholeAnswer final : public PendingReply {
 public:
  WholeAnswer(Job job, std::unique_ptr<AnswerFormat> format)
      : pump_(std::move(job)),
        format_(std::move(format)),
        answers_(pump_.job().generations.size()) {}
  void on_ready(std::function<void()> notify) override { pump_.on_ready(notify); }
  void cancel() override { pump_.cancel(); }
  std::unique_ptr<HttpReply> pull() override {
    while (auto next = pump_.next()) {
      const auto& [choice, event] = *next;
      if (event.kind == Event::Kind::kError)
        return std::make_unique<HttpReply>(error_reply(pump_.job().dialect, event.error));
      answers_[choice].add(event, format_->call_id_prefix());
    }
    if (!pump_.all_ended()) return nullptr;
    return std::make_unique<HttpReply>(format_->whole(answers_));
  }

 private:
  Pump pump_;
  std::unique_ptr<AnswerFormat> format_;
  std::vector<Answer> answers_;
};

class AnswerStream final : public Stream {
 public:
  // `first`: events that have been taken already.
  AnswerStream(std::unique_ptr<Pump> pump, std::unique_ptr<AnswerFormat> format,
               std::deque<std::pair<int, Event>> first)
      : pump_(std::move(pump)), format_(std::move(format)), first_(std::move(first)) {}
  void on_ready(std::function<void()> notify) override { pump_->on_ready(notify); }
  void cancel() override { pump_->cancel(); }
  std::string keep_alive() override { return format_->keep_alive(); }
  StreamStep pull() override {
    StreamStep step;
    if (!std::exchange(begun_, true)) step.bytes = format_->begin();
    while (step.bytes.size() < kPullBytes) {
      std::optional<std::pair<int, Event>> next;
      if (!first_.empty()) {
        next = std::move(first_.front());
        first_.pop_front();
      } else if (pump_->all_ended()) {
        step.bytes += format_->end();
        step.done = true;
        return step;
      } else {
        next = pump_->next();
      }
      if (!next) return step;
      if (next->second.kind == Event::Kind::kError) {
        const Error& error = next->second.error;
        step.bytes += format_->error(status_of(error), error.message);
        step.done = true;
        return step;
      }
      step.bytes += format_->event(next->first, next->second);
    }
    return step;
  }

 private:
  std::unique_ptr<Pump> pump_;
  std::unique_ptr<AnswerFormat> format_;
  std::deque<std::pair<int, Event>> first_;
  bool begun_ = false;
};

// Nothing is sent before each generation has had its first event, so that a request found bad while
// it was prepared still gets its status (unless the dialect's clients want it told in the stream).
class StreamStart final : public PendingReply {
 public:
  StreamStart(Job job, std::unique_ptr<AnswerFormat> format)
      : silent_(job.generations.size()),
        heard_(silent_, false),
        pump_(std::make_unique<Pump>(std::move(job))),
        format_(std::move(format)) {}
  void on_ready(std::function<void()> notify) override { pump_->on_ready(notify); }
  void cancel() override { pump_->cancel(); }
  std::unique_ptr<HttpReply> pull() override {
    CHECK(pump_ != nullptr);
    auto reply = std::make_unique<HttpReply>();
    while (silent_ > 0) {
      auto next = pump_->next();
      if (!next) return nullptr;
      const auto& [choice, event] = *next;
      const bool is_error = event.kind == Event::Kind::kError;
      if (is_error && !format_->begins_with(event.error)) {
        *reply = error_reply(pump_->job().dialect, event.error);
        return reply;
      }
      if (!std::exchange(heard_[choice], true)) --silent_;
      first_.push_back(std::move(*next));
      if (is_error) break;
    }
    reply->content_type = format_->content_type();
    reply->headers.emplace_back("cache-control", "no-cache");
    reply->headers.emplace_back("x-accel-buffering", "no");
    pump_->on_ready({});
    reply->stream =
        std::make_unique<AnswerStream>(std::move(pump_), std::move(format_), std::move(first_));
    return reply;
  }

 private:
  size_t silent_;  // generations without an event
  std::vector<char> heard_;
  std::deque<std::pair<int, Event>> first_;
  std::unique_ptr<Pump> pump_;
  std::unique_ptr<AnswerFormat> format_;
};

}  // namespace

void Answer::add(const Event& event, std::string_view id_prefix) {
  switch (event.kind) {
    case Event::Kind::kReasoning:
      reasoning += event.text;
      break;
    case Event::Kind::kContent:
      content += event.text;
      logprobs.insert(logprobs.end(), event.logprobs.begin(), event.logprobs.end());
      break;
    case Event::Kind::kToolCallBegin:
      calls.push_back({new_id(id_prefix), event.text, {}});
      break;
    case Event::Kind::kToolArguments:
      if (!calls.empty()) calls.back().arguments += event.text;
      break;
    case Event::Kind::kDone:
      done = event;
      break;
    default:
      break;
  }
}

HttpReply generate(const Api& api, Dialect dialect, ModelUse model,
                   std::vector<engine::GenerationRequest> requests,
                   std::unique_ptr<AnswerFormat> format, Delivery delivery) {
  if (requests.size() > static_cast<size_t>(model.queue_limit)) {
    return error_reply(dialect, 400,
                       fmt::format("n: expected at most {} answers to a request, which is what the "
                                   "queue holds, found {}",
                                   model.queue_limit, requests.size()));
  }
  Job job{std::move(model), {}, dialect, &api.metrics};
  for (engine::GenerationRequest& request : requests) {
    auto generation = job.model.engine->submit(std::move(request));
    if (!generation) {
      const Error& error = generation.error();
      const Pump started(std::move(job));  // ends them
      const int status = error.kind == ErrorKind::kBadInput ? 400 : 503;
      return error_reply(dialect, status, error.message);
    }
    job.generations.push_back(std::move(*generation));
  }
  HttpReply reply;
  if (delivery == Delivery::kStream) {
    reply.pending = std::make_unique<StreamStart>(std::move(job), std::move(format));
  } else {
    reply.pending = std::make_unique<WholeAnswer>(std::move(job), std::move(format));
  }
  return reply;
}

int status_of(const Error& error) { return error.kind == ErrorKind::kBadInput ? 400 : 500; }

HttpReply error_reply(Dialect dialect, const Error& error) {
  return error_reply(dialect, status_of(error), error.message);
}

HttpReply error_reply(Dialect dialect, const ModelFault& fault) {
  if (!fault.cause.message.empty()) log_warn("{}: {}", fault.message, fault.cause.message);
  return error_reply(dialect, fault.status, fault.message);
}

HttpReply json_reply(const Json& json, int status) {
  HttpReply reply;
  reply.status = status;
  reply.body = json.dump();
  return reply;
}

std::string sse(const Json& json) { return "data: " + json.dump() + "\n\n"; }

std::string sse(std::string_view name, const Json& json) {
  return fmt::format("event: {}\ndata: {}\n\n", name, json.dump());
}

std::string new_id(std::string_view prefix) {
  static constexpr std::string_view kLetters =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  thread_local std::mt19937_64 random{std::random_device{}()};
  std::string id(prefix);
  for (int i = 0; i < 24; ++i) id += kLetters[random() % kLetters.size()];
  return id;
}

int64_t unix_time() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace godwit::server
