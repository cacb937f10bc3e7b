// TurnMemory: what was generated is remembered as tokens. When a client sends an assistant's turn
// back, it has often lost the reasoning, or writes the arguments of a call anew; rendered again the
// turn has other tokens than those in the caches, and all that follows would be computed again. If
// it says the same, the tokens that were generated are used; if it ends earlier (at a stop string,
// or where the stream was closed), those up to there.
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

#include "cache/disk_store.h"
#include "cache/prefix_tree.h"
#include "text/chat_message.h"
#include "text/output_parser.h"
#include "text/tokenizer.h"

namespace godwit::engine {

struct Turn {
  text::ParsedMessage message;
  std::vector<int32_t> tokens;
};

cache::Hash128 hash_keys(std::span<const cache::Key> keys);

// Puts behind a turn what the template closes it with.
void close_turn(std::vector<int32_t>& tokens, const text::Tokenizer& tokenizer);

// A turn whose text ends after `said`.
struct CutTurn {
  size_t kept;                  // tokens of the turn that lie before the end
  std::vector<int32_t> tokens;  // those, the rest of the text encoded anew, and what closes it
};
// Nothing if its text, without white space around, begins otherwise, or if `said` is empty.
std::optional<CutTurn> cut_turn(std::span<const int32_t> tokens, std::string_view said,
                                const text::Tokenizer& tokenizer);

// Any thread.
class TurnMemory {
 public:
  explicit TurnMemory(size_t max_bytes = size_t{64} << 20) : max_bytes_(max_bytes) {}

  // From now on turns are also kept there, and what is there is known. Before any other thread
  // calls.
  void use_disk(cache::DiskStore* store);

  // A turn of the same tokens at the same place is kept once.
  void remember(const cache::Hash128& before, Turn turn);
  // The tokens of a turn there that says the same as the message, or begins so and is cut.
  std::optional<std::vector<int32_t>> find(const cache::Hash128& before,
                                           const text::ChatMessage& message,
                                           const text::Tokenizer& tokenizer) const;
  // How the message differs from the turn that was generated there last; nothing: none was.
  std::optional<std::string_view> difference(const cache::Hash128& before,
                                             const text::ChatMessage& message) const;

 private:
  struct Entry {
    cache::Hash128 before, key;  // of its record on disk
    Turn turn;
    size_t bytes;  // about, with what the containers need
  };
  bool add(const cache::Hash128& before, const cache::Hash128& key, Turn turn);

  const size_t max_bytes_;
  cache::DiskStore* store_ = nullptr;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // the newest first
  std::multimap<cache::Hash128, std::list<Entry>::iterator> index_;
  size_t bytes_ = 0;
};

// "reasoning removed by the client", "text changed by the client", …; empty: it says the same.
std::string_view difference(const text::ParsedMessage& generated, const text::ChatMessage& sent);

// Same content but for white space around it, same calls; reasoning is the same or was left out.
bool says_the_same(const text::ParsedMessage& generated, const text::ChatMessage& sent);
// The message says less: its text is where that of the turn begins, and it has no calls.
bool begins_so(const text::ParsedMessage& generated, const text::ChatMessage& sent);

}  // namespace godwit::engine
