// ModelSet: the models that the server offers, loaded when asked for and, if several do not fit the
// memory budget together, unloaded when idle, the longest unused first.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"

namespace godwit::server {

// A model in use: while it lives the engine is not unloaded.
struct ModelUse {
  std::string name;
  std::shared_ptr<engine::Engine> engine;
  int queue_limit = 0;  // requests that it takes at once
};

// Why a model cannot be used. Clients are told the message; the cause, which may name paths of this
// machine, is for the log.
struct ModelFault {
  int status = 500;  // 404: no such model; 503: no memory for it now
  std::string message;
  Error cause;  // empty: the message is all
};

// How engines are opened and what they need; tests give their own.
struct ModelLoader {
  std::function<Result<std::unique_ptr<engine::Engine>>(const engine::EngineOptions&)> open =
      &engine::Engine::open;
  std::function<Result<engine::ModelInfo>(const engine::EngineOptions&)> plan =
      &engine::Engine::plan;
};

class ModelSet {
 public:
  struct Entry {
    std::string name;
    engine::EngineOptions options;
  };
  struct State {
    std::string name, path;
    bool is_loaded;  // (no share in the engine: who looks does not keep it)
    std::optional<std::chrono::seconds> expires;  // unloaded in so much time, unless asked again
    std::optional<engine::ModelInfo> info;        // as it is or was loaded; none: never
    engine::EngineStats stats;                    // counted over all its loads
  };

  // The first is the default. `memory_budget`: bytes of all that is loaded; 0: no limit.
  explicit ModelSet(std::vector<Entry> entries, size_t memory_budget = 0,
                    std::chrono::seconds idle_after = std::chrono::seconds(0),
                    ModelLoader loader = {});

  // Divides the budget, before anything is loaded: a model may take what one conversation needs and
  // its part of what is left (share() has the rule). An error if one does not fit the budget alone.
  Status share_memory();
  // Loads if need be (other callers wait). No name means the first model; so does any name if there
  // is but one: clients made for one service ask for that service's models.
  tl::expected<ModelUse, ModelFault> use(std::string_view name);
  // From now on the model is unloaded when nobody used it for so long (0: as soon as nobody does;
  // negative: never), until it is used again without such a word.
  void keep(std::string_view name, std::chrono::seconds idle);
  // Of one that has() the name: as loaded, else what its files tell. Does not count as a use.
  tl::expected<engine::ModelInfo, ModelFault> describe(std::string_view name) const;
  bool has(std::string_view name) const;
  bool knows(std::string_view name) const {  // use() would not say 404
    return entries_.size() == 1 || name.empty() || has(name);
  }
  const std::string& default_name() const { return entries_.front().name; }
  std::vector<State> states() const;
  // The default model's last load succeeded. One that is unloaded for being idle is ready: a
  // request loads it again.
  bool ready() const;
  // Unloads what nobody used for `idle_after` (0: nothing), or as keep() has it; called every
  // second or so.
  void unload_idle();

 private:
  struct Slot {
    std::shared_ptr<engine::Engine> engine;
    std::chrono::steady_clock::time_point last_used;
    std::optional<std::chrono::seconds> keep;  // instead of idle_after_; negative: for ever
    bool loads = false;                        // the last load succeeded
    std::optional<engine::ModelInfo> info;     // of it
    engine::EngineStats past;                  // counted by engines that are gone
  };
  struct Need {
    size_t least = 0, most = 0, cache = 0;  // with one conversation; with all that can be kept
  };
  Result<Need> need_of(engine::EngineOptions options) const;
  static size_t share(std::vector<size_t> least, size_t budget);
  size_t index_of(std::string_view name) const;
  std::optional<ModelFault> make_room(size_t index);
  static std::shared_ptr<engine::Engine> take_out(Slot& slot);
  std::optional<std::chrono::seconds> idle_limit(const Slot& slot) const;  // none: for ever

  std::vector<Entry> entries_;
  const size_t memory_budget_;
  const std::chrono::seconds idle_after_;
  const ModelLoader loader_;
  std::vector<size_t> needs_;  // bytes of each at most, if there is a budget
  std::mutex loading_;         // one load at a time
  mutable std::mutex mutex_;   // of slots_
  std::vector<Slot> slots_;
};

}  // namespace godwit::server
