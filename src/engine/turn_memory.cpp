#include "engine/turn_memory.h"

#include <algorithm>
#include <utility>

namespace godwit::engine {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

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

}  // namespace

cache::Hash128 hash_keys(std::span<const cache::Key> keys) {
  return cache::hash_bytes(keys.data(), keys.size_bytes());
}

std::string_view difference(const text::ParsedMessage& generated, const text::ChatMessage& sent) {
  constexpr std::string_view kText = "text changed by the client";
  std::string content;
  for (const auto& part : sent.content) {
    if (part.kind != text::ContentPart::Kind::kText) return kText;
    content += part.text;
  }
  std::string_view said = content, reasoning = sent.reasoning_content
                                                   ? std::string_view(*sent.reasoning_content)
                                                   : "";
  constexpr std::string_view kOpen = "<think>", kClose = "</think>";
  if (const size_t close = said.rfind(kClose);
      close != std::string_view::npos && !sent.reasoning_content) {
    reasoning = trimmed(said.substr(0, close));  // some clients keep the thought in the content
    if (reasoning.starts_with(kOpen)) reasoning.remove_prefix(kOpen.size());
    said.remove_prefix(close + kClose.size());
  }
  if (trimmed(said) != trimmed(generated.content)) return kText;
  const bool same_calls =
      std::equal(generated.tool_calls.begin(), generated.tool_calls.end(), sent.tool_calls.begin(),
                 sent.tool_calls.end(), [](const auto& a, const auto& b) {
                   return a.name == b.name && a.arguments == arguments_of(b);
                 });
  if (!same_calls) return "tool calls changed by the client";
  if (trimmed(reasoning) == trimmed(generated.reasoning_content)) return {};
  return trimmed(reasoning).empty() ? kReasoningRemoved : "reasoning changed by the client";
}

bool says_the_same(const text::ParsedMessage& generated, const text::ChatMessage& sent) {
  const std::string_view what = difference(generated, sent);
  return what.empty() || what == kReasoningRemoved;
}

void TurnMemory::remember(const cache::Hash128& before, Turn turn) {
  const std::lock_guard lock(mutex_);
  const auto [first, last] = index_.equal_range(before);
  for (auto at = first; at != last; ++at) {
    if (at->second->turn.tokens != turn.tokens) continue;
    entries_.splice(entries_.begin(), entries_, at->second);
    return;
  }
  const size_t bytes = bytes_of(turn);
  bytes_ += bytes;
  entries_.push_front({before, std::move(turn), bytes});
  index_.emplace(before, entries_.begin());
  while (bytes_ > max_bytes_ && entries_.size() > 1) {
    const auto oldest = std::prev(entries_.end());
    bytes_ -= oldest->bytes;
    const auto [begin, end] = index_.equal_range(oldest->before);
    index_.erase(std::find_if(begin, end, [&](const auto& item) { return item.second == oldest; }));
    entries_.pop_back();
  }
}

std::optional<std::vector<int32_t>> TurnMemory::find(const cache::Hash128& before,
                                                     const text::ChatMessage& message) const {
  const std::lock_guard lock(mutex_);
  const auto [first, last] = index_.equal_range(before);
  for (auto at = last; at != first;) {  // the newest first
    --at;
    if (says_the_same(at->second->turn.message, message)) return at->second->turn.tokens;
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
