#include "server/response_store.h"

#include <algorithm>
#include <utility>

#include "base/visible.h"

namespace godwit::server {
namespace {

// Calls f(id, item) for each item that has an id.
template <class F>
void for_items(const StoredResponse& response, const F& f) {
  const Json* output = response.response.find("output");
  for (const Json::Array* list : {&response.input, output ? &output->items() : nullptr}) {
    if (!list) continue;
    for (const Json& item : *list) {
      const Json* id = item.find("id");
      if (id && id->is_string()) f(id->as_string(), item);
    }
  }
}

}  // namespace

void ResponseStore::put(StoredResponse response) {
  const std::lock_guard lock(mutex_);
  if (response.bytes > max_bytes_) return;  // it would drive out all others, and itself
  bytes_ += response.bytes;
  response.serial = ++serials_;
  list_.push_front(std::make_shared<const StoredResponse>(std::move(response)));
  index_[list_.front()->id] = list_.begin();
  for_items(*list_.front(), [&](const std::string& id, const Json& item) {
    items_[{id, list_.front()->serial}] = {list_.begin(), &item};
  });
  while (bytes_ > max_bytes_ && !list_.empty()) drop(std::prev(list_.end()));
}

void ResponseStore::drop(List::iterator response) {
  for_items(**response, [&](const std::string& id, const Json&) {
    items_.erase({id, (*response)->serial});
  });
  bytes_ -= (*response)->bytes;
  index_.erase((*response)->id);
  list_.erase(response);
}

std::shared_ptr<const Json> ResponseStore::item(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto after = items_.upper_bound({id, serials_});
  if (after == items_.begin() || std::prev(after)->first.first != id) return nullptr;
  const Item& found = std::prev(after)->second;
  list_.splice(list_.begin(), list_, found.response);
  return {*found.response, found.json};
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
  drop(found->second);
  return true;
}

}  // namespace godwit::server
