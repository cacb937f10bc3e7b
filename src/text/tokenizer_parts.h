// What the readers of tokenizer files (tokenizer_json.cpp, tokenizer_gguf.cpp) hand over.
#pragma once

#include <memory>
#include <string_view>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/split.h"
#include "text/tokenizer.h"

namespace godwit::text {

struct TokenizerParts {
  Bpe bpe;  // its vocabulary holds the added tokens too
  AddedTokens added;
  SplitRule split = SplitRule::kQwen35;
};

std::unique_ptr<Tokenizer> make_tokenizer(TokenizerParts parts);

// A token of the model as files spell it: bytes of the printable alphabet, or else just text, which
// the merges never reach.
Status add_printable(int64_t id, std::string_view printable, Vocabulary& vocabulary);

// The parts of a merge spelled "left right".
Status add_merge_line(std::string_view line, Bpe& bpe);
Status add_printable_merge(std::string_view left, std::string_view right, Bpe& bpe);

}  // namespace godwit::text
