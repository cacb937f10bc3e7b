#include "engine/turn_memory.h"

#include <algorithm>
#include <utility>

#include "engine/keepsakes.h"
#include "text/trim.h"

namespace godwit::engine {
namespace {

// Arguments as an object, also if the client sent them as a string.
checkpoint::Json arguments_of(const text::ToolCall& call) {
  if (!call.arguments.is_string()) return call.arguments;
  auto parsed = checkpoint::parse_json(call.arguments.as_string());
  return parsed ? std::move(*parsed) : call.arguments;
}

constexpr std::string_view kReasoningRemoved = "reasoning removed by the client";

// The calls' arguments are counted by the tokens that wrote them, at what values take.
size_t bytes_of(const Turn& turn) {
  constexpr size_t kEntry = 400, kCallBytesPerToken = 100;
  const size_t token = sizeof(int32_t) + (turn.message.tool_calls.empty() ? 0 : kCallBytesPerToken);
  return kEntry + turn.tokens.size() * token + turn.message.content.size() +
         turn.message.reasoning_content.size();
}

bool same_calls(const text::ParsedMessage& generated, const text::ChatMessage& sent) {
  return std::equal(generated.tool_calls.begin(), generated.tool_calls.end(),
                    sent.tool_calls.begin(), sent.tool_calls.end(),
                    [](const auto& a, const auto& b) {
                      return a.name == b.name && a.arguments == arguments_of(b);
                    });
}

struct Said {
  std::string text, reasoning;  // without white space around
};

// Nothing if there is more than text.
std::optional<Said> said_in(const text::ChatMessage& sent) {
  std::string content;
  for (const auto& part : sent.content) {
    if (part.kind != text::ContentPart::Kind::kText) return std::nullopt;
    content += part.text;
  }
  std::string_view said = content, reasoning;
  if (sent.reasoning_content) reasoning = *sent.reasoning_content;
  constexpr std::string_view kOpen = "<think>", kClose = "</think>";
  if (const size_t close = said.rfind(kClose);
      close != std::string_view::npos && !sent.reasoning_content) {
    reasoning = text::trim(said.substr(0, close));  // some clients keep the thought in the content
    if (reasoning.starts_with(kOpen)) reasoning.remove_prefix(kOpen.size());
    said.remove_prefix(close + kClose.size());
  }
  return Said{std::string(text::trim(said)), std::string(text::trim(reasoning))};
}

}  // namespace

cache::Hash128 hash_keys(std::span<const cache::Key> keys) {
  return cache::hash_bytes(keys.data(), keys.size_bytes());
}

std::string_view difference(const text::ParsedMessage& generated, const text::ChatMessage& sent) {
  const auto said = said_in(sent);
  if (!said || said->text != text::trim(generated.content)) {
    return said && begins_so(generated, sent) ? "text cut short by the client"
                                              : "text changed by the client";
  }
  if (!same_calls(generated, sent)) return "tool calls changed by the client";
  if (said->reasoning == text::trim(generated.reasoning_content)) return {};
  return said->reasoning.empty() ? kReasoningRemoved : "reasoning changed by the client";
}

bool says_the_same(const text::ParsedMessage& generated, const text::ChatMessage& sent) {
  const std::string_view what = difference(generated, sent);
  return what.empty() || what == kReasoningRemoved;
}

bool begins_so(const text::ParsedMessage& generated, const text::ChatMessage& sent) {
  const auto said = said_in(sent);
  if (!said || said->text.empty() || !sent.tool_calls.empty()) return false;
  const bool same_reasoning =
      said->reasoning.empty() || said->reasoning == text::trim(generated.reasoning_content);
  return same_reasoning && text::trim(generated.content).starts_with(said->text);
}

void close_turn(std::vector<int32_t>& tokens, const text::Tokenizer& tokenizer) {
  const auto end = tokenizer.id_of("<|im_end|>");
  if (end && (tokens.empty() || tokens.back() != *end)) tokens.push_back(*end);
  tokenizer.encode("\n", text::SpecialTokens::kPlain, tokens);
}

std::optional<CutTurn> cut_turn(std::span<const int32_t> tokens, std::string_view said,
                                const text::Tokenizer& tokenizer) {
  const auto thought_end = tokenizer.id_of("</think>");
  if (!thought_end || said.empty()) return std::nullopt;
  const auto first = std::find(tokens.begin(), tokens.end(), *thought_end);
  if (first == tokens.end()) return std::nullopt;
  std::string text;
  std::vector<size_t> ends;  // in the text, of each token behind the thought
  for (auto at = first + 1; at != tokens.end() && !tokenizer.is_special(*at); ++at) {
    text += tokenizer.token_bytes(*at);
    ends.push_back(text.size());
  }
  const std::string_view content = text::trim_start(text);
  if (!content.starts_with(said)) return std::nullopt;
  const size_t end = text.size() - content.size() + said.size();
  const auto after = std::upper_bound(ends.begin(), ends.end(), end);
  CutTurn cut;
  cut.kept = static_cast<size_t>(first + 1 - tokens.begin() + (after - ends.begin()));
  cut.tokens.assign(tokens.begin(), tokens.begin() + static_cast<int64_t>(cut.kept));
  const size_t kept_text = after == ends.begin() ? 0 : *std::prev(after);
  tokenizer.encode(std::string_view(text).substr(kept_text, end - kept_text),
                   text::SpecialTokens::kPlain, cut.tokens);
  close_turn(cut.tokens, tokenizer);
  return cut;
}

void TurnMemory::use_disk(cache::DiskStore* store) {
  store_ = store;
  store->for_each(cache::RecordKind::kTurn,
                  [&](const cache::Hash128& key, const cache::RecordFacts& record) {
                    if (auto turn = turn_from(record)) add(record.parent, key, std::move(*turn));
                  });
}

void TurnMemory::remember(const cache::Hash128& before, Turn turn) {
  cache::Record record = turn_record(before, turn);
  if (add(before, record.key, std::move(turn)) && store_) store_->put(std::move(record));
}

// False: it is known.
bool TurnMemory::add(const cache::Hash128& before, const cache::Hash128& key, Turn turn) {
  const std::lock_guard lock(mutex_);
  const auto [first, last] = index_.equal_range(before);
  for (auto at = first; at != last; ++at) {
    if (at->second->turn.tokens != turn.tokens) continue;
    entries_.splice(entries_.begin(), entries_, at->second);
    return false;
  }
  const size_t bytes = bytes_of(turn);
  bytes_ += bytes;
  entries_.push_front({before, key, std::move(turn), bytes});
  index_.emplace(before, entries_.begin());
  while (bytes_ > max_bytes_ && entries_.size() > 1) {
    const auto oldest = std::prev(entries_.end());
    bytes_ -= oldest->bytes;
    const auto [begin, end] = index_.equal_range(oldest->before);
    index_.erase(std::find_if(begin, end, [&](const auto& item) { return item.second == oldest; }));
    entries_.pop_back();
  }
  return true;
}

std::optional<std::vector<int32_t>> TurnMemory::find(const cache::Hash128& before,
                                                     const text::ChatMessage& message,
                                                     const text::Tokenizer& tokenizer) const {
  const std::lock_guard lock(mutex_);
  const auto [first, last] = index_.equal_range(before);
  const auto found = [&](const Entry& entry, std::vector<int32_t> tokens) {
    if (store_) store_->used(cache::RecordKind::kTurn, entry.key);
    return tokens;
  };
  for (auto at = last; at != first;) {  // the newest first
    const Entry& entry = *(--at)->second;
    if (says_the_same(entry.turn.message, message)) return found(entry, entry.turn.tokens);
  }
  for (auto at = last; at != first;) {
    const Entry& entry = *(--at)->second;
    if (!begins_so(entry.turn.message, message)) continue;
    if (auto cut = cut_turn(entry.turn.tokens, said_in(message)->text, tokenizer))
      return found(entry, std::move(cut->tokens));
  }
  return std::nullopt;
}

std::optional<std::string_view> TurnMemory::difference(const cache::Hash128& before,
                                                       const text::ChatMessage& message) const {
  const std::lock_guard lock(mutex_);
  const auto [first, last] = index_.equal_range(before);
  if (first == last) return std::nullopt;
  return engine::difference(std::prev(last)->second->turn.message, message);
}

}  // namespace godwit::engine
