// TurnMemory: what was generated is remembered as tokens. When a client sends an assistant's turn
// back, it has often lost the reasoning, or writes the arguments of a call anew; rendered again the
// turn has other tokens than those in the caches, and all that follows would be computed again. If
// it says the same, the tokens that were generated are used.
//
//   key     hash of everything before the turn
//   value   the generation prompt, the answer, and what closes it
#pragma once

#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "cache/hash.h"
#include "cache/prefix_tree.h"
#include "text/chat_message.h"
#include "text/output_parser.h"

namespace godwit::engine {

struct Turn {
  text::ParsedMessage message;
  std::vector<int32_t> tokens;
};

cache::Hash128 hash_keys(std::span<const cache::Key> keys);

// Any thread.
class TurnMemory {
 public:
  explicit TurnMemory(size_t max_bytes = size_t{64} << 20) : max_bytes_(max_bytes) {}

  // A turn of the same tokens at the same place is kept once.
  void remember(const cache::Hash128& before, Turn turn);
  // The tokens of a turn there that says the same as the message.
  std::optional<std::vector<int32_t>> find(const cache::Hash128& before,
                                           const text::ChatMessage& message) const;
  // How the message differs from the turn that was generated there last; nothing: none was.
  std::optional<std::string_view> difference(const cache::Hash128& before,
                                             const text::ChatMessage& message) const;

 private:
  struct Entry {
    cache::Hash128 before;
    Turn turn;
    size_t bytes;  // about, with what the containers need
  };
  const size_t max_bytes_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // the newest first
  std::multimap<cache::Hash128, std::list<Entry>::iterator> index_;
  size_t bytes_ = 0;
};

// "reasoning removed by the client", "text changed by the client", …; empty: it says the same.
std::string_view difference(const text::ParsedMessage& generated, const text::ChatMessage& sent);

// Same content but for white space around it, same calls; reasoning is the same or was left out.
bool says_the_same(const text::ParsedMessage& generated, const text::ChatMessage& sent);

}  // namespace godwit::engine
