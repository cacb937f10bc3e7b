// Tokenizer: byte-level BPE of the Qwen3.5 family. NFC → split rule → merges by rank; added tokens
// cut out first. Source: spec of the shipped tokenizer.json; the split rule is in split.h, NFC in
// normalise.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "checkpoint/gguf.h"

namespace godwit::text {

enum class SpecialTokens {
  kRecognise,  // the text of an added token becomes that token (a rendered prompt, the reference's
               // encode)
  kPlain,      // it is ordinary text (what a user or a tool wrote)
};

class Tokenizer {
 public:
  // tokenizer.json (merges as pairs or as "a b"), plus tokenizer_config.json's added_tokens_decoder
  // if given.
  static Result<std::unique_ptr<Tokenizer>> from_json(std::string_view tokenizer_json,
                                                      std::string_view tokenizer_config_json = {});
  static Result<std::unique_ptr<Tokenizer>> from_gguf(const checkpoint::GgufFile& file);
  virtual ~Tokenizer() = default;

  // Appends ids of `text`. Invalid UTF-8 is read as U+FFFD, one per maximal broken part.
  virtual void encode(std::string_view text, SpecialTokens special,
                      std::vector<int32_t>& ids) const = 0;
  std::vector<int32_t> encode(std::string_view text,
                              SpecialTokens special = SpecialTokens::kRecognise) const {
    std::vector<int32_t> ids;
    encode(text, special, ids);
    return ids;
  }

  // Raw bytes of a token; empty for ids that do not decode (padding rows, out of range).
  virtual std::string_view token_bytes(int32_t id) const = 0;
  virtual bool is_added(int32_t id) const = 0;
  virtual bool is_special(
      int32_t id) const = 0;  // "special": true in tokenizer.json; dropped from shown text
  virtual std::optional<int32_t> id_of(
      std::string_view added_token) const = 0;  // "<|im_end|>" → id
  virtual int32_t vocabulary_size() const = 0;  // ids 0 … size−1 decode

  // All bytes joined, broken UTF-8 replaced by U+FFFD.
  std::string decode(const std::vector<int32_t>& ids, bool skip_special = false) const;
};

// Turns a stream of ids into a stream of whole characters (goldens/text: detokenize.jsonl has the
// rule).
class StreamingDetokenizer {
 public:
  // Text that may be shown after these bytes; an unfinished character is held back.
  std::string push(std::string_view token_bytes);
  bool holds_back() const { return !pending_.empty(); }
  // What is left at the end of the stream.
  std::string finish();

 private:
  std::string pending_;
};

}  // namespace godwit::text
