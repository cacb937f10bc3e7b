#include "engine/vision_store.h"

#include <cstring>
#include <utility>

#include "engine/keepsakes.h"

namespace godwit::engine {

constexpr size_t kMaxFacts = 65536;  // a few hundred bytes each

size_t MediaFacts::values(const model::ModelConfig& config) const {
  const int merge = config.vision->merge_size;
  return static_cast<size_t>(grid.patches() / merge / merge) * config.text.hidden_size;
}

std::shared_ptr<const MediaFacts> VisionStore::facts(const media::ContentHash& bytes) const {
  const std::lock_guard lock(mutex_);
  const auto found = facts_.find(bytes);
  return found == facts_.end() ? nullptr : found->second;
}

void VisionStore::keep_facts(const media::ContentHash& bytes, MediaFacts facts) {
  const std::lock_guard lock(mutex_);
  if (facts_.size() >= kMaxFacts) facts_.clear();
  facts_[bytes] = std::make_shared<const MediaFacts>(std::move(facts));
}

void VisionStore::use_disk(cache::DiskStore* store) {
  store_ = store;
  store->for_each(cache::RecordKind::kVision,
                  [&](const cache::Hash128& content, const cache::RecordFacts& record) {
                    if (auto known = media_facts_from(content, record))
                      keep_facts({record.parent.low, record.parent.high}, std::move(*known));
                  });
}

std::shared_ptr<const VisionRows> VisionStore::rows(const media::ContentHash& content,
                                                    size_t values) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = rows_.find(content); found != rows_.end()) {
      order_.splice(order_.begin(), order_, found->second);
      return found->second->rows->size() == values ? found->second->rows : nullptr;
    }
  }
  const cache::Hash128 key{content.low, content.high};
  if (!store_ || !store_->find(cache::RecordKind::kVision, key)) return nullptr;
  const auto body = store_->read_body(cache::RecordKind::kVision, key);
  if (!body || body->size() != values * sizeof(float)) return nullptr;
  auto rows = std::make_shared<VisionRows>(values);
  std::memcpy(rows->data(), body->data(), body->size());
  store_->used(cache::RecordKind::kVision, key);
  const std::lock_guard lock(mutex_);
  add(content, rows);
  return rows;
}

void VisionStore::keep_rows(const media::ContentHash& content,
                            std::shared_ptr<const VisionRows> rows) {
  const std::lock_guard lock(mutex_);
  if (store_) {
    for (const auto& [source, known] : facts_) {
      if (known->content != content) continue;
      store_->put(vision_record(source, *known, *rows));
      break;
    }
  }
  add(content, std::move(rows));
}

void VisionStore::add(const media::ContentHash& content, std::shared_ptr<const VisionRows> rows) {
  if (rows_.contains(content)) return;
  bytes_ += rows->size() * sizeof(float);
  order_.push_front({content, std::move(rows)});
  rows_[content] = order_.begin();
  while (bytes_ > max_bytes_ && order_.size() > 1) {
    bytes_ -= order_.back().rows->size() * sizeof(float);
    rows_.erase(order_.back().content);
    order_.pop_back();
  }
}

size_t VisionStore::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace godwit::engine
