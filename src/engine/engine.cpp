// The engine's threads: a few that prepare requests, and the one that runs them.
//
//   submit() ─► waiting ─► [prepare threads] ─► inbox ─► [engine thread: EngineCore::step()] ─►
//   events
#include "engine/engine.h"

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <thread>
#include <utility>

#include "base/log.h"
#include "engine/engine_core.h"
#include "engine/event_channel.h"
#include "engine/fingerprint.h"
#include "engine/prepare.h"
#include "text/trim.h"

namespace godwit::engine {
namespace {

constexpr size_t kVisionBytes = size_t{256} << 20;
constexpr int kPrepareThreads = 2;               // and one for requests without pictures and clips
constexpr std::chrono::milliseconds kQuiet{20};  // without work, before weights are moved

bool has_media(const GenerationRequest& request) {
  for (const text::ChatMessage& message : request.messages) {
    for (const text::ContentPart& part : message.content) {
      if (part.media) return true;
    }
  }
  return false;
}

class EngineImpl final : public Engine {
 public:
  explicit EngineImpl(EngineOptions options)
      : options_(std::move(options)),
        vision_(kVisionBytes),
        decoded_(options_.decoded_bytes, [this] {
          { const std::lock_guard lock(mutex_); }  // whoever has just looked sleeps by now
          to_prepare_.notify_all();
        }) {}
  ~EngineImpl() override;
  Status load();

  Result<std::shared_ptr<Generation>> submit(GenerationRequest request) override;
  const ModelInfo& info() const override { return info_; }
  EngineStats stats() const override;
  std::vector<int32_t> tokenize(const std::string& text, bool recognise_special) const override {
    return tokenizer_->encode(
        text, recognise_special ? text::SpecialTokens::kRecognise : text::SpecialTokens::kPlain);
  }
  std::string detokenize(const std::vector<int32_t>& ids) const override {
    return tokenizer_->decode(ids);
  }
  Result<std::string> render(const GenerationRequest& request) const override;
  Result<std::vector<int32_t>> prompt_ids(const GenerationRequest& request) override;

 private:
  struct Waiting {
    GenerationRequest request;
    std::shared_ptr<EventChannel> channel;
    Clock::time_point submitted;
    bool has_media;
  };
  // What a Generation holds of its engine: it may be cancelled after the engine is gone.
  struct Alive {
    std::mutex mutex;
    EngineImpl* engine;  // null: gone
  };
  // A request was cancelled: one that waits to be prepared ends here, for others the engine thread
  // looks at the flags.
  void end_cancelled();
  Status open_store();
  void prepare_loop(bool only_text);
  void engine_loop();
  PrepareContext prepare_context();
  void prepare_one(Waiting waiting);

  const EngineOptions options_;
  const std::shared_ptr<Alive> alive_{new Alive{{}, this}};
  checkpoint::ModelFiles files_;
  std::unique_ptr<text::Tokenizer> tokenizer_;
  Conventions conventions_;
  Settings settings_;
  ModelInfo info_;
  std::unique_ptr<ComputePool> pool_;
  std::unique_ptr<model::Model> model_;
  VisionStore vision_;
  DecodedMedia decoded_;
  TurnMemory turns_;
  std::unique_ptr<cache::DiskStore> store_;  // null: nothing is kept on disk
  std::unique_ptr<EngineCore> core_;

  // Shared by the threads.
  mutable std::mutex mutex_;
  std::condition_variable to_prepare_, to_run_;
  std::deque<Waiting> waiting_;
  std::deque<std::unique_ptr<Sequence>> inbox_;
  int64_t preparing_ = 0, refused_ = 0;
  EngineStats stats_;
  bool stopping_ = false, woken_ = false;
  std::vector<std::thread> threads_;
};

Status EngineImpl::load() {
  if (options_.history != "kept" && options_.history != "official") {
    return bad_input("history: expected kept or official, found {}", options_.history);
  }
  TRY(files_, checkpoint::open_model_files(options_.model, options_.mmproj));
  TRY(const model::ModelConfig config, model::read_config(files_));
  TRY(const model::WeightPlan plan, model::Model::plan(files_));
  if (!machine_is_busy()) probe_threads(options_);
  TRY(settings_, settle(options_, config, files_, plan));
  pool_ = std::make_unique<ComputePool>(settings_.threads.most());
  TRY(const Isa isa, isa_from_environment());
  model::LoadOptions load{.drafting = settings_.drafts > 0,
                          .packed_folder = options_.packed_folder,
                          .packed_limit = options_.packed_disk_bytes};
  const size_t on_disk = settings_.memory.on_disk;
  if (on_disk > 0) load.experts = model::LoadOptions::Experts::kOnDisk;
  // While the weights come from the disk, the tokenizer is made.
  auto weights = std::async(std::launch::async, [&, isa] {
    return model::Model::load(files_, {pool_.get(), &kernels::kernel_table(isa)}, load);
  });
  TRY(tokenizer_, open_tokenizer(files_));
  TRY(conventions_, read_conventions(files_, config, *tokenizer_));
  malloc_trim(0);  // reading a tokenizer leaves tens of megabytes of small pieces
  TRY(model_, weights.get());
  if (on_disk > 0) {
    log_warn("{}: {} MB of experts do not fit into memory and {}", options_.model, on_disk >> 20,
             model_->weights().experts_on_disk ? "are read from disk when they are chosen: slow"
                                               : "could not be kept in a file either");
  }
  info_ = describe(files_, model_->config(), plan, conventions_.chat_template, settings_);
  if (!info_.template_note.empty()) log_warn("{}: {}", options_.model, info_.template_note);
  const std::string& note = model_->weights().note;
  if (!note.empty()) log_info("{}: {}", options_.model, note);
  if (!options_.cache_folder.empty()) TRY_STATUS(open_store());
  TRY(core_, EngineCore::create({*model_, *pool_, settings_, conventions_, *tokenizer_, options_,
                                 vision_, turns_, store_.get()}));
  stats_ = core_->stats();
  threads_.emplace_back([this] { prepare_loop(true); });
  for (int i = 0; i < kPrepareThreads; ++i) threads_.emplace_back([this] { prepare_loop(false); });
  threads_.emplace_back([this] { engine_loop(); });
  return {};
}

Status EngineImpl::open_store() {
  TRY(store_, cache::DiskStore::open({.folder = options_.cache_folder,
                                      .fingerprint = fingerprint(files_, settings_),
                                      .max_bytes = options_.cache_disk_bytes}));
  vision_.use_disk(store_.get());
  turns_.use_disk(store_.get());
  return {};
}

EngineImpl::~EngineImpl() {
  {
    const std::lock_guard lock(alive_->mutex);
    alive_->engine = nullptr;
  }
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  to_prepare_.notify_all();
  to_run_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  // Whoever still waits for events gets an end.
  for (Waiting& waiting : waiting_)
    waiting.channel->push_error({"the engine is closing", ErrorKind::kFailed});
  for (auto& sequence : inbox_)
    sequence->channel->push_error({"the engine is closing", ErrorKind::kFailed});
  if (core_) core_->fail_all("the engine is closing");
}

void EngineImpl::end_cancelled() {
  std::vector<std::shared_ptr<EventChannel>> ended;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(waiting_, [&](const Waiting& waiting) {
      if (!waiting.channel->cancelled()) return false;
      ended.push_back(waiting.channel);
      return true;
    });
    woken_ = true;
  }
  to_run_.notify_one();
  for (const auto& channel : ended) channel->push_cancelled();
}

Result<std::shared_ptr<Generation>> EngineImpl::submit(GenerationRequest request) {
  const int prompts =
      !request.messages.empty() + request.raw_text.has_value() + request.raw_ids.has_value();
  if (prompts != 1)
    return bad_input("prompt: expected one of messages, text and ids, found {}", prompts);
  auto channel = std::make_shared<EventChannel>();
  const bool with_media = has_media(request);
  {
    const std::lock_guard lock(mutex_);
    const int64_t waiting =
        static_cast<int64_t>(waiting_.size() + inbox_.size()) + preparing_ + stats_.waiting;
    if (waiting >= options_.queue_limit) {
      ++refused_;
      return failed("the queue is full: {} requests are waiting", waiting);
    }
    channel->set_wake([alive = alive_] {
      const std::lock_guard alive_lock(alive->mutex);
      if (alive->engine) alive->engine->end_cancelled();
    });
    waiting_.push_back({std::move(request), channel, Clock::now(), with_media});
  }
  to_prepare_.notify_all();  // one of them takes it
  return channel;
}

// Clips take seconds to decode, and many bytes until they are encoded: texts pass them.
void EngineImpl::prepare_loop(bool only_text) {
  for (;;) {
    std::unique_lock lock(mutex_);
    auto next = waiting_.end();
    to_prepare_.wait(lock, [&] {
      const bool takes_media = !only_text && !decoded_.is_full();
      next = std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& waiting) {
        return takes_media || !waiting.has_media;
      });
      return stopping_ || next != waiting_.end();
    });
    if (stopping_) return;
    Waiting waiting = std::move(*next);
    waiting_.erase(next);
    ++preparing_;
    lock.unlock();
    prepare_one(std::move(waiting));
  }
}

PrepareContext EngineImpl::prepare_context() {
  return {*tokenizer_,
          conventions_,
          model_->config(),
          model_->has_vision(),
          settings_.context,
          settings_.grain,
          options_.history == "official",
          vision_,
          decoded_,
          turns_};
}

void EngineImpl::prepare_one(Waiting waiting) {
  PrepareContext context = prepare_context();
  context.cancelled = &waiting.channel->cancel_flag();
  auto prepared = waiting.channel->cancelled()
                      ? tl::unexpected(Error{"the request was cancelled", ErrorKind::kFailed})
                      : prepare(context, waiting.request);
  if (!prepared) {
    {
      const std::lock_guard lock(mutex_);
      --preparing_;  // before the client can know, so that the counts are never behind an answer
    }
    if (waiting.channel->cancelled()) {
      waiting.channel->push_cancelled();
    } else {
      waiting.channel->push_error(std::move(prepared.error()));
    }
    return;
  }
  auto sequence = std::make_unique<Sequence>(std::move(*prepared), waiting.channel, *tokenizer_,
                                             conventions_.markup);
  sequence->submitted = waiting.submitted;
  {
    const std::lock_guard lock(mutex_);
    --preparing_;
    inbox_.push_back(std::move(sequence));
  }
  to_run_.notify_one();
}

void EngineImpl::engine_loop() {
  bool is_settled = false;
  for (;;) {
    std::deque<std::unique_ptr<Sequence>> arrived;
    {
      std::unique_lock lock(mutex_);
      const auto has_work = [&] {
        return stopping_ || !inbox_.empty() || !core_->idle() || woken_;
      };
      if (!has_work() && core_->has_chores()) {
        lock.unlock();
        core_->do_chore();
        continue;
      }
      if (!is_settled && !to_run_.wait_for(lock, kQuiet, has_work)) {
        lock.unlock();
        is_settled = !model_->settle_next();
        continue;
      }
      to_run_.wait(lock, has_work);
      if (stopping_) return;
      woken_ = false;
      arrived.swap(inbox_);
      stats_.waiting += static_cast<int64_t>(arrived.size());  // until the step has counted them
    }
    for (auto& sequence : arrived) core_->add(std::move(sequence));
    core_->step();
    {
      const std::lock_guard lock(mutex_);
      stats_ = core_->stats();
    }
    core_->deliver_ends();
  }
}

EngineStats EngineImpl::stats() const {
  const std::lock_guard lock(mutex_);
  EngineStats stats = stats_;
  stats.refused = refused_;
  stats.decoded_bytes = static_cast<int64_t>(decoded_.bytes());
  if (store_) stats.cache_disk_bytes = static_cast<int64_t>(store_->bytes());
  stats.waiting += static_cast<int64_t>(waiting_.size() + inbox_.size()) + preparing_;
  return stats;
}

Result<std::string> EngineImpl::render(const GenerationRequest& request) const {
  if (request.raw_text) return *request.raw_text;
  if (request.raw_ids) return tokenizer_->decode(*request.raw_ids);
  TRY(const auto rendered,
      text::render_tolerant(conventions_.chat_template.version, request.messages, request.tools,
                            template_options(request)));
  return rendered.text() + std::string(text::trim_end(request.answer_prefix));
}

Result<std::vector<int32_t>> EngineImpl::prompt_ids(const GenerationRequest& request) {
  PrepareContext context = prepare_context();
  context.only_ids = true;
  TRY(Prepared prepared, prepare(context, request));
  return std::move(prepared.ids);
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::open(const EngineOptions& options) {
  auto engine = std::make_unique<EngineImpl>(options);
  TRY_STATUS(engine->load());
  return engine;
}

Result<ModelInfo> Engine::plan(const EngineOptions& options) {
  TRY(const checkpoint::ModelFiles files,
      checkpoint::open_model_files(options.model, options.mmproj));
  TRY(const model::ModelConfig config, model::read_config(files));
  TRY(const model::WeightPlan weights, model::Model::plan(files));
  TRY(const Settings settings, settle(options, config, files, weights));
  return describe(files, config, weights, chat_template_of(files), settings);
}

}  // namespace godwit::engine
