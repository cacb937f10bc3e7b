// An engine that says what a test tells it to.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "server/model_set.h"

namespace godwit::server {

using engine::Event;

class FakeGeneration final : public engine::Generation {
 public:
  std::optional<Event> next() override { return poll(); }
  std::optional<Event> poll() override {
    const std::lock_guard lock(mutex_);
    if (events_.empty()) return std::nullopt;
    Event event = std::move(events_.front());
    events_.pop_front();
    return event;
  }
  void on_event(std::function<void()> notify) override {
    const std::lock_guard lock(mutex_);
    notify_ = std::move(notify);
    if (!events_.empty() && notify_) notify_();
  }
  void cancel() override { cancelled = true; }

  void push(Event event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
    if (notify_) notify_();
  }
  void text(Event::Kind kind, const std::string& text, int index = -1) {
    Event event;
    event.kind = kind;
    event.text = text;
    event.index = index;
    push(event);
  }
  void progress(int done, int total) {
    Event event;
    event.kind = Event::Kind::kPromptProgress;
    event.done = done;
    event.total = total;
    push(event);
  }
  void done(engine::FinishReason finish = engine::FinishReason::kStop) {
    Event event;
    event.kind = Event::Kind::kDone;
    event.finish = finish;
    event.usage = {.prompt_tokens = 12, .reused_tokens = 5, .completion_tokens = 3};
    event.usage.reuse_note = "the system message changed";
    event.seed = 7;
    push(event);
  }
  void fail(const std::string& message, ErrorKind kind) {
    Event event;
    event.kind = Event::Kind::kError;
    event.error = {message, kind};
    push(event);
  }

  std::atomic<bool> cancelled{false};

 private:
  std::mutex mutex_;
  std::deque<Event> events_;
  std::function<void()> notify_;
};

class FakeEngine final : public engine::Engine {
 public:
  using Script = std::function<void(FakeGeneration&, const engine::GenerationRequest&)>;

  FakeEngine() {
    info_.name = "fake";
    info_.context = 4096;
    info_.vocabulary = 256;
    info_.hidden = 8;
    info_.vision = true;
  }

  Result<std::shared_ptr<engine::Generation>> submit(engine::GenerationRequest request) override {
    auto generation = std::make_shared<FakeGeneration>();
    Script script;
    {
      const std::lock_guard lock(mutex_);
      if (full) return failed("the queue is full: 64 requests are waiting");
      requests_.push_back(request);
      generations_.push_back(generation);
      script = script_;
    }
    if (script) script(*generation, request);
    return generation;
  }
  const engine::ModelInfo& info() const override { return info_; }
  engine::EngineStats stats() const override { return stats_; }
  // A token is a byte.
  std::vector<int32_t> tokenize(const std::string& text, bool) const override {
    std::vector<int32_t> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string detokenize(const std::vector<int32_t>& ids) const override {
    std::string text;
    for (const int32_t id : ids) text += static_cast<char>(id);
    return text;
  }
  Result<std::string> render(const engine::GenerationRequest& request) const override {
    std::string text;
    for (const auto& message : request.messages) {
      text += message.role + ":";
      for (const auto& part : message.content) text += part.media ? "[media]" : part.text;
      text += "\n";
    }
    return text;
  }
  Result<std::vector<int32_t>> prompt_ids(const engine::GenerationRequest& request) override {
    return tokenize(*render(request), true);
  }

  void say(Script script) {
    const std::lock_guard lock(mutex_);
    script_ = std::move(script);
  }
  void set_memory(size_t bytes) { info_.memory.weights = bytes; }
  void set_stats(const engine::EngineStats& stats) { stats_ = stats; }
  std::vector<engine::GenerationRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  std::vector<std::shared_ptr<FakeGeneration>> generations() const {
    const std::lock_guard lock(mutex_);
    return generations_;
  }
  // Frees what was asked so far; answers that are under way go on.
  void forget() {
    const std::lock_guard lock(mutex_);
    requests_.clear();
    generations_.clear();
  }
  std::atomic<bool> full{false};

 private:
  mutable std::mutex mutex_;
  engine::ModelInfo info_;
  engine::EngineStats stats_{.requests = 3, .prompt_tokens = 99, .reuse_diverged = 4};
  Script script_;
  std::vector<engine::GenerationRequest> requests_;
  std::vector<std::shared_ptr<FakeGeneration>> generations_;
};

// A model set with one fake engine, which stays the test's to speak for.
struct FakeModels {
  FakeEngine* engine = nullptr;
  ModelSet set;

  FakeModels() : set({{"fake", {}}}, 0, std::chrono::seconds(0), loader(this)) {
    if (!set.use("fake")) std::abort();
  }

 private:
  static ModelLoader loader(FakeModels* self) {
    ModelLoader loader;
    loader.open = [self](const engine::EngineOptions&) -> Result<std::unique_ptr<engine::Engine>> {
      auto engine = std::make_unique<FakeEngine>();
      self->engine = engine.get();
      return engine;
    };
    return loader;
  }
};

}  // namespace godwit::server
