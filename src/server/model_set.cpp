#include "server/model_set.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace godwit::server {

using Clock = std::chrono::steady_clock;

ModelSet::ModelSet(std::vector<Entry> entries, size_t memory_budget,
                   std::chrono::seconds idle_after, ModelLoader loader)
    : entries_(std::move(entries)),
      memory_budget_(memory_budget),
      idle_after_(idle_after),
      loader_(std::move(loader)),
      slots_(entries_.size()) {
  CHECK(!entries_.empty());
}

bool ModelSet::has(std::string_view name) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const Entry& entry) { return entry.name == name; });
}

Result<ModelUse> ModelSet::use(std::string_view name) {
  size_t index = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].name == name) index = i;
  }
  const Entry& entry = entries_[index];
  const auto loaded = [&]() -> std::shared_ptr<engine::Engine> {
    const std::lock_guard lock(mutex_);
    slots_[index].last_used = Clock::now();
    return slots_[index].engine;
  };
  if (auto engine = loaded()) return ModelUse{entry.name, std::move(engine)};
  const std::lock_guard one_load(loading_);
  if (auto engine = loaded()) return ModelUse{entry.name, std::move(engine)};
  TRY_STATUS(make_room(entry));
  log_info("loading {}", entry.name);
  auto opened = loader_.open(entry.options);
  if (!opened) return in_context(entry.name, std::move(opened.error()));
  std::shared_ptr<engine::Engine> engine = std::move(*opened);
  const std::lock_guard lock(mutex_);
  slots_[index] = {engine, Clock::now()};
  return ModelUse{entry.name, std::move(engine)};
}

// Unloads idle models, the longest unused first, until `entry` fits.
Status ModelSet::make_room(const Entry& entry) {
  if (memory_budget_ == 0) return {};
  TRY(const engine::ModelInfo plan, loader_.plan(entry.options));
  const size_t wanted = plan.memory.total();
  std::vector<std::shared_ptr<engine::Engine>> unloaded;  // destroyed without the lock
  const std::lock_guard lock(mutex_);
  for (;;) {
    size_t used = 0;
    Slot* oldest = nullptr;
    for (Slot& slot : slots_) {
      if (!slot.engine) continue;
      used += slot.engine->info().memory.total();
      const bool idle = slot.engine.use_count() == 1;
      if (idle && (!oldest || slot.last_used < oldest->last_used)) oldest = &slot;
    }
    if (used + wanted <= memory_budget_) return {};
    if (!oldest) {
      return failed("{}: needs {} MB, but {} of {} MB are in use", entry.name, wanted >> 20,
                    used >> 20, memory_budget_ >> 20);
    }
    unloaded.push_back(std::exchange(oldest->engine, nullptr));
  }
}

void ModelSet::unload_idle() {
  if (idle_after_.count() == 0) return;
  std::vector<std::shared_ptr<engine::Engine>> unloaded;
  const std::lock_guard lock(mutex_);
  for (Slot& slot : slots_) {
    if (slot.engine && slot.engine.use_count() == 1 && Clock::now() - slot.last_used > idle_after_)
      unloaded.push_back(std::exchange(slot.engine, nullptr));
  }
}

std::vector<ModelSet::State> ModelSet::states() const {
  const std::lock_guard lock(mutex_);
  std::vector<State> states;
  for (size_t i = 0; i < entries_.size(); ++i)
    states.push_back({entries_[i].name, entries_[i].options.model, slots_[i].engine});
  return states;
}

}  // namespace godwit::server
