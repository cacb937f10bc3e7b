#include "text/added_tokens.h"

#include <algorithm>

#include "base/visible.h"
#include "text/normalise.h"

namespace godwit::text {

void StringFinder::add(std::string text, int32_t id) {
  is_first_[static_cast<unsigned char>(text[0])] = true;
  strings_.push_back({std::move(text), id});
}

void StringFinder::finish() {
  std::stable_sort(strings_.begin(), strings_.end(),
                   [](const Entry& a, const Entry& b) { return a.text < b.text; });
}

std::optional<StringFinder::Match> StringFinder::find(std::string_view text, size_t from) const {
  for (size_t at = from; at < text.size(); ++at) {
    if (!is_first_[static_cast<unsigned char>(text[at])]) continue;
    if (auto match = match_at(text, at)) return match;
  }
  return std::nullopt;
}

// The strings that share the first k bytes with the text are neighbours in the sorted list; that
// range narrows byte by byte, and a string that ends at k comes first in it.
std::optional<StringFinder::Match> StringFinder::match_at(std::string_view text,
                                                          size_t begin) const {
  std::optional<Match> longest;
  auto low = strings_.begin(), high = strings_.end();
  for (size_t k = 0; low != high; ++k) {
    if (low->text.size() == k) {
      longest = Match{begin, begin + k, low->id};
      while (low != high && low->text.size() == k) ++low;
    }
    if (begin + k >= text.size()) break;
    const auto byte = static_cast<unsigned char>(text[begin + k]);
    const auto byte_of = [k](const Entry& e) { return static_cast<unsigned char>(e.text[k]); };
    low = std::partition_point(low, high, [&](const Entry& e) { return byte_of(e) < byte; });
    high = std::partition_point(low, high, [&](const Entry& e) { return byte_of(e) == byte; });
  }
  return longest;
}

Status AddedTokens::add(AddedToken token, Vocabulary& vocabulary) {
  const AddedToken* same_id = find(token.id);
  const auto same_content = ids_.find(token.content);
  if (same_id && same_id->content == token.content) return {};
  if (same_id)
    return bad_input("id {} is given to {} and {}", token.id, in_quotes(same_id->content),
                     in_quotes(token.content));
  if (same_content != ids_.end())
    return bad_input("{} has ids {} and {}", in_quotes(token.content), same_content->second,
                     token.id);
  if (token.content.empty() || vocabulary.bytes(token.id) != token.content)
    TRY_STATUS(vocabulary.add_unsearchable(token.id, token.content));
  std::string wanted = token.content;
  if (token.is_normalised) append_nfc(token.content, wanted = "");
  (token.is_normalised ? after_nfc_ : before_nfc_).add(std::move(wanted), token.id);
  ids_.emplace(token.content, token.id);
  by_id_.emplace(token.id, std::move(token));
  return {};
}

void AddedTokens::finish() {
  before_nfc_.finish();
  after_nfc_.finish();
}

const AddedToken* AddedTokens::find(int32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &found->second;
}

std::optional<int32_t> AddedTokens::id_of(std::string_view content) const {
  const auto found = ids_.find(std::string(content));
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

}  // namespace godwit::text
