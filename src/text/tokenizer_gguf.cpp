// Reads the tokenizer of a GGUF file: tokenizer.ggml.{model, tokens, token_type, merges}.
//
// The split rule is always Qwen3.5's: `tokenizer.ggml.pre` only says which hash a converter found.
#include <algorithm>
#include <array>

#include "base/visible.h"
#include "text/tokenizer_parts.h"

namespace godwit::text {
namespace {

enum TokenType : int64_t { kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5 };

// Converters write every added token of the form <|…|> as control; tokenizer.json does not count
// these among its special ones, and shows them.
constexpr std::array<std::string_view, 6> kShownControls = {"<|fim_prefix|>", "<|fim_middle|>",
                                                            "<|fim_suffix|>", "<|fim_pad|>",
                                                            "<|repo_name|>",  "<|file_sep|>"};

bool is_special(int64_t type, std::string_view content) {
  return type == kControl &&
         std::find(kShownControls.begin(), kShownControls.end(), content) == kShownControls.end();
}

Result<TokenizerParts> read_tokenizer(const checkpoint::GgufFile& file) {
  TRY(const std::string model, file.text("tokenizer.ggml.model"));
  if (model != "gpt2")
    return bad_input("tokenizer.ggml.model: expected gpt2, found {}", in_quotes(model));
  const auto* tokens = file.strings("tokenizer.ggml.tokens");
  const auto* types = file.integers("tokenizer.ggml.token_type");
  const auto* merges = file.strings("tokenizer.ggml.merges");
  if (!tokens || !merges)
    return bad_input("tokenizer.ggml.{}: expected an array of strings",
                     tokens ? "merges" : "tokens");
  if (!types || types->size() != tokens->size())
    return bad_input("tokenizer.ggml.token_type: expected {} integers, found {}", tokens->size(),
                     types ? types->size() : 0);
  if (tokens->size() > static_cast<size_t>(Vocabulary::kMaxSize))
    return bad_input("tokenizer.ggml.tokens: expected at most {} tokens, found {}",
                     Vocabulary::kMaxSize, tokens->size());
  Vocabulary vocabulary;
  vocabulary.reserve(tokens->size());
  AddedTokens added;
  for (size_t i = 0; i < tokens->size(); ++i) {
    const std::string& token = (*tokens)[i];
    const int64_t type = (*types)[i];
    Status status;
    if (type == kNormal) {
      status = add_printable(static_cast<int64_t>(i), token, vocabulary);
    } else if (type == kControl || type == kUserDefined) {
      status =
          added.add({static_cast<int32_t>(i), token, is_special(type, token), false}, vocabulary);
    } else if (type != kUnused) {
      status = bad_input("expected type 1, 3, 4 or 5, found {}", type);
    }
    if (!status)
      return in_context(fmt::format("tokenizer.ggml.tokens[{}]", i), std::move(status.error()));
  }
  added.finish();
  TRY(Bpe bpe, Bpe::make(std::move(vocabulary), Bpe::WholeTokens::kByMerges));
  bpe.reserve_merges(merges->size());
  bpe.skip_merges_without_token();
  for (size_t i = 0; i < merges->size(); ++i)
    if (auto status = add_merge_line((*merges)[i], bpe); !status)
      return in_context(fmt::format("tokenizer.ggml.merges[{}]", i), std::move(status.error()));
  return TokenizerParts{std::move(bpe), std::move(added), SplitRule::kQwen35};
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> Tokenizer::from_gguf(const checkpoint::GgufFile& file) {
  auto parts = read_tokenizer(file);
  if (!parts) return in_context(file.description(), std::move(parts.error()));
  return make_tokenizer(std::move(*parts));
}

}  // namespace godwit::text
