#include "server/model_set.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/visible.h"
#include "server/workers.h"

namespace godwit::server {

using Clock = std::chrono::steady_clock;

namespace {

// Files and causes are the log's.
ModelFault not_loaded(std::string_view name, Error cause) {
  return {500, fmt::format("the model '{}' could not be loaded; the server's log says why", name),
          std::move(cause)};
}

// What counts up goes on from `past`.
engine::EngineStats go_on(const engine::EngineStats& past, engine::EngineStats stats) {
  for (const auto counter :
       {&engine::EngineStats::requests, &engine::EngineStats::refused,
        &engine::EngineStats::preempted, &engine::EngineStats::prompt_tokens,
        &engine::EngineStats::reused_tokens, &engine::EngineStats::generated_tokens,
        &engine::EngineStats::reuse_whole, &engine::EngineStats::reuse_unknown,
        &engine::EngineStats::reuse_diverged, &engine::EngineStats::reuse_no_snapshot,
        &engine::EngineStats::undone_positions, &engine::EngineStats::pictures_encoded,
        &engine::EngineStats::pictures_reused})
    stats.*counter += past.*counter;
  for (size_t i = 0; i < stats.drafted.size(); ++i) {
    stats.drafted[i] += past.drafted[i];
    stats.drafts_accepted[i] += past.drafts_accepted[i];
  }
  stats.prefill_seconds += past.prefill_seconds;
  stats.decode_seconds += past.decode_seconds;
  return stats;
}

}  // namespace

ModelSet::ModelSet(std::vector<Entry> entries, size_t memory_budget,
                   std::chrono::seconds idle_after, ModelLoader loader)
    : entries_(std::move(entries)),
      memory_budget_(memory_budget),
      idle_after_(idle_after),
      loader_(std::move(loader)),
      needs_(entries_.size(), 0),
      slots_(entries_.size()) {
  CHECK(!entries_.empty());
}

tl::expected<engine::ModelInfo, ModelFault> ModelSet::describe(std::string_view name) const {
  const size_t index = index_of(name);
  std::shared_ptr<engine::Engine> engine;
  {
    const std::lock_guard lock(mutex_);
    engine = slots_[index].engine;
  }
  if (engine) return engine->info();
  auto info = loader_.plan(entries_[index].options);
  if (!info) return tl::unexpected(not_loaded(entries_[index].name, std::move(info.error())));
  return std::move(*info);
}

bool ModelSet::has(std::string_view name) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const Entry& entry) { return entry.name == name; });
}

// Of all its memory: what one conversation needs, and what it would take without a budget.
Result<ModelSet::Need> ModelSet::need_of(engine::EngineOptions options) const {
  TRY(const engine::ModelInfo free, loader_.plan(options));
  Need need;
  need.cache = free.memory.kv_pages + free.memory.snapshots;
  need.most = free.memory.limit;
  options.cache_bytes = need.cache;
  TRY(const engine::ModelInfo bound, loader_.plan(options));
  need.least = bound.memory.limit;
  return need;
}

// What each may take beyond its least: as many models as can be loaded together, the largest of
// them, share what they leave of the budget.
size_t ModelSet::share(std::vector<size_t> least, size_t budget) {
  std::sort(least.rbegin(), least.rend());
  size_t together = 0, used = 0;
  while (together < least.size() && used + least[together] <= budget) used += least[together++];
  return together == 0 ? 0 : (budget - used) / together;
}

Status ModelSet::share_memory() {
  if (memory_budget_ == 0) return {};
  std::vector<Need> needs;
  std::vector<size_t> least;
  for (const Entry& entry : entries_) {
    auto need = need_of(entry.options);
    if (!need) return in_context(entry.name, std::move(need.error()));
    if (need->least > memory_budget_) {
      return bad_input(
          "--memory-budget: expected {} MB or more, which {} needs for one conversation of its "
          "context, found {} MB",
          (need->least >> 20) + 1, entry.name, memory_budget_ >> 20);
    }
    needs.push_back(*need);
    least.push_back(need->least);
  }
  const size_t more = share(least, memory_budget_);
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Need& need = needs[i];
    const size_t own = std::min(more, need.most > need.least ? need.most - need.least : 0);
    entries_[i].options.cache_bytes = need.cache + own;
    needs_[i] = need.least + own;
  }
  return {};
}

size_t ModelSet::index_of(std::string_view name) const {
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].name == name) return i;
  }
  return 0;
}

tl::expected<ModelUse, ModelFault> ModelSet::use(std::string_view name) {
  if (!knows(name)) {
    return tl::unexpected(
        ModelFault{404, fmt::format("the model {} does not exist", in_quotes(name)), {}});
  }
  const size_t index = index_of(name);
  const Entry& entry = entries_[index];
  const auto loaded = [&]() -> std::shared_ptr<engine::Engine> {
    const std::lock_guard lock(mutex_);
    slots_[index].last_used = Clock::now();
    slots_[index].keep.reset();
    return slots_[index].engine;
  };
  const int queue = entry.options.queue_limit;
  if (auto engine = loaded()) return ModelUse{entry.name, std::move(engine), queue};
  const Workers::Wait not_at_work;
  if (not_at_work.is_refused()) {
    return tl::unexpected(
        ModelFault{503, "too many requests wait for a model to load: try again later", {}});
  }
  const std::lock_guard one_load(loading_);
  if (auto engine = loaded()) return ModelUse{entry.name, std::move(engine), queue};
  if (auto full = make_room(index)) return tl::unexpected(std::move(*full));
  log_info("loading {}", entry.name);
  auto opened = loader_.open(entry.options);
  const std::lock_guard lock(mutex_);
  Slot& slot = slots_[index];
  slot.loads = opened.has_value();
  if (!opened) return tl::unexpected(not_loaded(entry.name, std::move(opened.error())));
  std::shared_ptr<engine::Engine> engine = std::move(*opened);
  slot.engine = engine;
  slot.info = engine->info();
  slot.last_used = Clock::now();
  slot.keep.reset();
  return ModelUse{entry.name, std::move(engine), queue};
}

void ModelSet::keep(std::string_view name, std::chrono::seconds idle) {
  const std::lock_guard lock(mutex_);
  slots_[index_of(name)].keep = idle;
}

// What it has counted stays.
std::shared_ptr<engine::Engine> ModelSet::take_out(Slot& slot) {
  slot.past = go_on(slot.past, slot.engine->stats());
  return std::exchange(slot.engine, nullptr);
}

// Unloads idle models, the longest unused first, until this one fits.
std::optional<ModelFault> ModelSet::make_room(size_t index) {
  if (memory_budget_ == 0) return std::nullopt;
  std::vector<std::shared_ptr<engine::Engine>> unloaded;  // destroyed without the lock
  const std::lock_guard lock(mutex_);
  for (;;) {
    size_t used = 0;
    Slot* oldest = nullptr;
    for (size_t i = 0; i < slots_.size(); ++i) {
      Slot& slot = slots_[i];
      if (!slot.engine) continue;
      used += needs_[i];
      const bool idle = slot.engine.use_count() == 1;
      if (idle && (!oldest || slot.last_used < oldest->last_used)) oldest = &slot;
    }
    if (used + needs_[index] <= memory_budget_) return std::nullopt;
    if (!oldest) {
      return ModelFault{
          503,
          fmt::format("the model '{}' needs {} MB, and models that are answering hold {} of "
                      "{} MB: try again later",
                      entries_[index].name, needs_[index] >> 20, used >> 20, memory_budget_ >> 20),
          {}};
    }
    unloaded.push_back(take_out(*oldest));
  }
}

std::optional<std::chrono::seconds> ModelSet::idle_limit(const Slot& slot) const {
  if (slot.keep) return slot.keep->count() < 0 ? std::nullopt : slot.keep;
  if (idle_after_.count() == 0) return std::nullopt;
  return idle_after_;
}

void ModelSet::unload_idle() {
  std::vector<std::shared_ptr<engine::Engine>> unloaded;
  const std::lock_guard lock(mutex_);
  for (Slot& slot : slots_) {
    const auto limit = idle_limit(slot);
    if (!slot.engine || !limit) continue;
    if (slot.engine.use_count() > 1) {
      slot.last_used = Clock::now();
    } else if (Clock::now() - slot.last_used >= *limit) {
      unloaded.push_back(take_out(slot));
    }
  }
}

bool ModelSet::ready() const {
  const std::lock_guard lock(mutex_);
  return slots_.front().loads;
}

std::vector<ModelSet::State> ModelSet::states() const {
  const std::lock_guard lock(mutex_);
  std::vector<State> states;
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Slot& slot = slots_[i];
    states.push_back(
        {entries_[i].name, entries_[i].options.model, slot.engine != nullptr, idle_limit(slot),
         slot.info, go_on(slot.past, slot.engine ? slot.engine->stats() : engine::EngineStats())});
    std::optional<std::chrono::seconds>& expires = states.back().expires;
    if (expires && slot.engine.use_count() == 1) {  // nobody uses it
      const auto idle =
          std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - slot.last_used);
      expires = std::max(*expires - idle, std::chrono::seconds(0));
    }
  }
  return states;
}

}  // namespace godwit::server
