#include "server/response_store.h"

#include <algorithm>
#include <utility>

#include "base/visible.h"

namespace godwit::server {

void ResponseStore::put(StoredResponse response) {
  const std::lock_guard lock(mutex_);
  if (response.bytes > max_bytes_) return;  // it would drive out all others, and itself
  bytes_ += response.bytes;
  list_.push_front(std::make_shared<const StoredResponse>(std::move(response)));
  index_[list_.front()->id] = list_.begin();
  while (bytes_ > max_bytes_ && !list_.empty()) {
    bytes_ -= list_.back()->bytes;
    index_.erase(list_.back()->id);
    list_.pop_back();
  }
}

std::shared_ptr<const StoredResponse> ResponseStore::touch(std::string_view id) {
  const auto found = index_.find(std::string(id));
  if (found == index_.end()) return nullptr;
  list_.splice(list_.begin(), list_, found->second);
  return list_.front();
}

std::shared_ptr<const StoredResponse> ResponseStore::find(std::string_view id) {
  const std::lock_guard lock(mutex_);
  return touch(id);
}

Result<StoredTurns> ResponseStore::conversation(std::string_view id) {
  const std::lock_guard lock(mutex_);
  StoredTurns turns;
  for (std::string next(id); !next.empty(); next = turns.back()->previous) {
    auto turn = touch(next);
    if (!turn) {
      return bad_input("previous_response_id: response {} was not stored, or is no longer",
                       in_quotes(next));
    }
    turns.push_back(std::move(turn));
  }
  std::reverse(turns.begin(), turns.end());
  return turns;
}

bool ResponseStore::erase(std::string_view id) {
  const std::lock_guard lock(mutex_);
  const auto found = index_.find(std::string(id));
  if (found == index_.end()) return false;
  bytes_ -= (*found->second)->bytes;
  list_.erase(found->second);
  index_.erase(found);
  return true;
}

}  // namespace godwit::server
