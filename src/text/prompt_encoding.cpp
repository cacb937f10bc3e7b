#include "text/prompt_encoding.h"

#include <algorithm>

namespace godwit::text {
namespace {

class Encoder {
 public:
  explicit Encoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  void plain(std::string_view text) { run_ += text; }

  // All added tokens of the templates have the form <…>.
  void markup(std::string_view text) {
    while (!text.empty()) {
      const size_t open = text.find('<'), close = text.find('>', std::min(open, text.size()));
      if (close == std::string_view::npos) return plain(text);
      const auto id = tokenizer_.id_of(text.substr(open, close + 1 - open));
      plain(text.substr(0, id ? open : open + 1));
      if (id) added_token(*id);
      text.remove_prefix(id ? close + 1 : open + 1);
    }
  }

  void added_token(int32_t id, int64_t count = 1) {
    flush();
    prompt_.ids.insert(prompt_.ids.end(), static_cast<size_t>(count), id);
  }

  void boundary(PromptPiece::Boundary boundary, int message_index) {
    prompt_.marks.push_back({boundary, message_index, 0});
    waiting_.push_back(run_.size());
  }

  Status media(const PromptPiece& piece, const MediaLayout& layout) {
    const bool is_clip = piece.kind == PromptPiece::Kind::kVideo;
    const char* pad_name = is_clip ? "<|video_pad|>" : "<|image_pad|>";
    const auto start = tokenizer_.id_of("<|vision_start|>"),
               end = tokenizer_.id_of("<|vision_end|>");
    const auto pad = tokenizer_.id_of(pad_name);
    if (!start || !end || !pad)
      return bad_input("tokenizer: expected the token {} for pictures and clips, found none",
                       pad_name);
    if (layout.tokens_per_slice <= 0 || is_clip == layout.timestamps.empty()) {
      return bad_input(
          "media {}: expected the layout of a {}, found {} tokens a slice and {} slices",
          piece.media_index, is_clip ? "clip" : "picture", layout.tokens_per_slice,
          layout.timestamps.size());
    }
    EncodedPrompt::MediaSpan span{piece.media_index, piece.kind, 0, 0, {}};
    for (size_t slice = 0; slice < (is_clip ? layout.timestamps.size() : 1); ++slice) {
      if (is_clip) plain(fmt::format("<{:.1f} seconds>", layout.timestamps[slice]));
      added_token(*start);
      span.slices.push_back(prompt_.ids.size());
      added_token(*pad, layout.tokens_per_slice);
      added_token(*end);
    }
    span.begin = span.slices.front() - 1;
    span.end = prompt_.ids.size();
    prompt_.media.push_back(std::move(span));
    return {};
  }

  // The placeholder as the template wrote it.
  void bare_media(const PromptPiece& piece) {
    flush();
    const size_t begin = prompt_.ids.size();
    markup(piece.text);
    prompt_.media.push_back(
        {piece.media_index, piece.kind, begin, prompt_.ids.size(), {begin + 1}});
  }

  EncodedPrompt finish() {
    flush();
    return std::move(prompt_);
  }

 private:
  void flush() {
    const size_t before = prompt_.ids.size();
    tokenizer_.encode(run_, SpecialTokens::kPlain, prompt_.ids);
    for (size_t i = 0; i < waiting_.size(); ++i) {
      const size_t mark = prompt_.marks.size() - waiting_.size() + i;
      prompt_.marks[mark].token = before + tokens_before(waiting_[i], before);
    }
    waiting_.clear();
    run_.clear();
  }

  // How many of the run's tokens do not depend on what follows `offset`.
  size_t tokens_before(size_t offset, size_t first) const {
    const size_t count = prompt_.ids.size() - first;
    if (offset == 0) return 0;
    if (offset == run_.size()) return count;
    const auto head =
        tokenizer_.encode(std::string_view(run_).substr(0, offset), SpecialTokens::kPlain);
    const auto run = prompt_.ids.begin() + static_cast<ptrdiff_t>(first);
    return std::mismatch(head.begin(), head.end(), run, prompt_.ids.end()).first - head.begin();
  }

  const Tokenizer& tokenizer_;
  EncodedPrompt prompt_;
  std::string run_;              // plain text that is not encoded yet
  std::vector<size_t> waiting_;  // where in run_ the last marks lie
};

}  // namespace

Result<EncodedPrompt> encode_prompt(const RenderedPrompt& prompt, const Tokenizer& tokenizer,
                                    const std::vector<MediaLayout>& layouts) {
  Encoder encoder(tokenizer);
  for (const PromptPiece& piece : prompt.pieces) {
    switch (piece.kind) {
      case PromptPiece::Kind::kMarkup:
        encoder.markup(piece.text);
        break;
      case PromptPiece::Kind::kQuoted:
        encoder.plain(piece.text);
        break;
      case PromptPiece::Kind::kImage:
      case PromptPiece::Kind::kVideo:
        if (layouts.empty()) {
          encoder.bare_media(piece);
          break;
        }
        if (static_cast<size_t>(piece.media_index) >= layouts.size()) {
          return bad_input("media {}: expected a layout for each picture and clip, found {}",
                           piece.media_index, layouts.size());
        }
        TRY_STATUS(encoder.media(piece, layouts[static_cast<size_t>(piece.media_index)]));
        break;
    }
    if (piece.boundary != PromptPiece::Boundary::kNone)
      encoder.boundary(piece.boundary, piece.message_index);
  }
  return encoder.finish();
}

}  // namespace godwit::text
