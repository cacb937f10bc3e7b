// Encoding: repair UTF-8 → cut out added tokens → NFC → cut out those that want NFC → split →
// merge.
#include "text/tokenizer.h"

#include "base/utf8.h"
#include "base/visible.h"
#include "text/normalise.h"
#include "text/tokenizer_parts.h"

namespace godwit::text {
namespace {

class BpeTokenizer : public Tokenizer {
 public:
  explicit BpeTokenizer(TokenizerParts parts)
      : bpe_(std::move(parts.bpe)), added_(std::move(parts.added)), split_(parts.split) {}

  void encode(std::string_view text, SpecialTokens special,
              std::vector<int32_t>& ids) const override {
    std::string repaired;
    if (find_broken_utf8(text) != std::string_view::npos) {
      repaired = repaired_utf8(text);
      text = repaired;
    }
    Bpe::Scratch scratch;
    const auto encode_pieces = [&](std::string_view section) {
      for (size_t at = 0; at < section.size();) {
        const size_t end = piece_end(split_, section, at);
        bpe_.encode(section.substr(at, end - at), scratch, ids);
        at = end;
      }
    };
    std::string normalised;
    const auto encode_section = [&](std::string_view section) {
      if (find_nfc_suspect(section) != std::string_view::npos) {
        normalised.clear();
        append_nfc(section, normalised);
        section = normalised;
      }
      cut_out(section, added_.after_nfc(), special, ids, encode_pieces);
    };
    cut_out(text, added_.before_nfc(), special, ids, encode_section);
  }

  std::string_view token_bytes(int32_t id) const override { return bpe_.vocabulary().bytes(id); }
  bool is_added(int32_t id) const override { return added_.find(id) != nullptr; }
  bool is_special(int32_t id) const override {
    const AddedToken* token = added_.find(id);
    return token && token->is_special;
  }
  std::optional<int32_t> id_of(std::string_view added_token) const override {
    return added_.id_of(added_token);
  }
  int32_t vocabulary_size() const override { return bpe_.vocabulary().size(); }

 private:
  // Appends the ids of the added tokens in `text` and hands what lies between them to `rest`.
  template <class Rest>
  static void cut_out(std::string_view text, const StringFinder& tokens, SpecialTokens special,
                      std::vector<int32_t>& ids, Rest rest) {
    size_t done = 0;
    if (special == SpecialTokens::kRecognise && !tokens.empty()) {
      while (const auto match = tokens.find(text, done)) {
        if (match->begin > done) rest(text.substr(done, match->begin - done));
        ids.push_back(match->id);
        done = match->end;
      }
    }
    if (done < text.size()) rest(text.substr(done));
  }

  Bpe bpe_;
  AddedTokens added_;
  SplitRule split_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(TokenizerParts parts) {
  return std::make_unique<BpeTokenizer>(std::move(parts));
}

Status add_printable(int64_t id, std::string_view printable, Vocabulary& vocabulary) {
  std::string bytes;
  if (append_bytes_of_printable(printable, bytes)) return vocabulary.add(id, std::move(bytes));
  return vocabulary.add_unsearchable(id, std::string(printable));
}

Status add_merge_line(std::string_view line, Bpe& bpe) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos)
    return bad_input("expected two parts with a space between, found {}", in_quotes(line));
  return add_printable_merge(line.substr(0, space), line.substr(space + 1), bpe);
}

Status add_printable_merge(std::string_view left, std::string_view right, Bpe& bpe) {
  std::string joined;
  size_t left_size = 0;
  for (const std::string_view part : {left, right}) {
    left_size = joined.size();
    if (part.empty() || !append_bytes_of_printable(part, joined))
      return bad_input("{}: expected characters of the byte alphabet", in_quotes(part));
  }
  return bpe.add_merge(joined, left_size);
}

std::string Tokenizer::decode(const std::vector<int32_t>& ids, bool skip_special) const {
  std::string bytes;
  for (const int32_t id : ids)
    if (!skip_special || !is_special(id)) bytes += token_bytes(id);
  return repaired_utf8(bytes);
}

std::string StreamingDetokenizer::push(std::string_view token_bytes) {
  pending_ += token_bytes;
  // Only the last sequence can be unfinished, and it is at most three bytes long.
  size_t whole = pending_.size();
  for (size_t back = 1; back <= 3 && back <= pending_.size(); ++back) {
    const size_t at = pending_.size() - back;
    if (read_utf8(pending_, at).status == Utf8Status::kUnfinished) whole = at;
  }
  std::string text = repaired_utf8(std::string_view(pending_).substr(0, whole));
  pending_.erase(0, whole);
  return text;
}

std::string StreamingDetokenizer::finish() {
  std::string text = repaired_utf8(pending_);
  pending_.clear();
  return text;
}

}  // namespace godwit::text
