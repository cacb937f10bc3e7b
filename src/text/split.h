// The split rule: cuts text into the pieces that are merged alone. A hand-written scanner for
//
//   (?i:'s|'t|'re|'ve|'m|'ll|'d) | [^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+ | \p{N} |
//    ?[^\s\p{L}\p{M}\p{N}]+[\r\n]* | \s*[\r\n]+ | \s+(?!\S) | \s+
//
// (Qwen3.5) and for its older form without \p{M}, where marks are like punctuation. Every character
// is in some piece; a text of n bytes takes O(n) steps.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace godwit::text {

enum class SplitRule { kQwen35, kQwen2 };

// The rule that a tokenizer.json spells this way.
std::optional<SplitRule> find_split_rule(std::string_view regex);

// The end of the piece that starts at `begin` < text.size(); `text` is valid UTF-8.
size_t piece_end(SplitRule rule, std::string_view text, size_t begin);

}  // namespace godwit::text
