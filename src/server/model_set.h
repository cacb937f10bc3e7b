// ModelSet: the models that the server offers, loaded when asked for and, if several do not fit the
// memory budget together, unloaded when idle, the longest unused first.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
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
    std::shared_ptr<engine::Engine> engine;  // null: not loaded
  };

  // The first is the default. `memory_budget`: bytes of all plans together; 0: no limit.
  explicit ModelSet(std::vector<Entry> entries, size_t memory_budget = 0,
                    std::chrono::seconds idle_after = std::chrono::seconds(0),
                    ModelLoader loader = {});

  // Loads if need be (other callers wait). A name that is not in the list means the default model:
  // clients made for one service ask for that service's models.
  Result<ModelUse> use(std::string_view name);
  bool has(std::string_view name) const;
  const std::string& default_name() const { return entries_.front().name; }
  std::vector<State> states() const;
  // Unloads what nobody used for `idle_after` (0: nothing); called now and then.
  void unload_idle();

 private:
  struct Slot {
    std::shared_ptr<engine::Engine> engine;
    std::chrono::steady_clock::time_point last_used;
  };
  Status make_room(const Entry& entry);

  const std::vector<Entry> entries_;
  const size_t memory_budget_;
  const std::chrono::seconds idle_after_;
  const ModelLoader loader_;
  std::mutex loading_;        // one load at a time
  mutable std::mutex mutex_;  // of slots_
  std::vector<Slot> slots_;
};

}  // namespace godwit::server
