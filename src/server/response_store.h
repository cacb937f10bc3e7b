// ResponseStore: answers of /v1/responses that a later request may go on from
// (previous_response_id), in memory, the least recently used given up first.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "server/json_fields.h"
#include "text/chat_message.h"

namespace godwit::server {

struct StoredResponse {
  std::string id, previous;                 // previous: empty for the first of a conversation
  Json response;                            // as it was answered; its "output" holds the items
  Json::Array input;                        // items of this request alone
  std::vector<text::ChatMessage> messages;  // the same and the answer, as the engine takes them
  size_t bytes = 0;                         // about, of all that
  uint64_t serial = 0;                      // given by the store
};

using StoredTurns = std::vector<std::shared_ptr<const StoredResponse>>;

// Any thread.
class ResponseStore {
 public:
  explicit ResponseStore(size_t max_bytes = size_t{256} << 20) : max_bytes_(max_bytes) {}

  void put(StoredResponse response);
  std::shared_ptr<const StoredResponse> find(std::string_view id);
  // The conversation up to this response, the first turn first. The error names a missing one.
  Result<StoredTurns> conversation(std::string_view id);
  bool erase(std::string_view id);
  // An item that was sent or answered with one of them (item_reference), the newest; null: none.
  std::shared_ptr<const Json> item(const std::string& id);

 private:
  using List = std::list<std::shared_ptr<const StoredResponse>>;
  std::shared_ptr<const StoredResponse> touch(std::string_view id);
  void drop(List::iterator response);

  const size_t max_bytes_;
  std::mutex mutex_;
  List list_;                                              // the newest first
  std::unordered_map<std::string, List::iterator> index_;  // by the response's id
  struct Item {
    List::iterator response;
    const Json* json;  // in it
  };
  std::map<std::pair<std::string, uint64_t>, Item> items_;  // by their id and the response's serial
  uint64_t serials_ = 0;
  size_t bytes_ = 0;
};

}  // namespace godwit::server
