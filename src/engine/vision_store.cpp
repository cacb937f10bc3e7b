#include "engine/vision_store.h"

#include <utility>

namespace godwit::engine {

constexpr size_t kMaxFacts = 65536;  // a few hundred bytes each

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

std::shared_ptr<const VisionRows> VisionStore::rows(const media::ContentHash& content) {
  const std::lock_guard lock(mutex_);
  const auto found = rows_.find(content);
  if (found == rows_.end()) return nullptr;
  order_.splice(order_.begin(), order_, found->second);
  return found->second->rows;
}

void VisionStore::keep_rows(const media::ContentHash& content,
                            std::shared_ptr<const VisionRows> rows) {
  const std::lock_guard lock(mutex_);
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
