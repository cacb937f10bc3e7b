// Tokens as lines of JSON: what `debug tokenize` and `debug detokenize` read and write.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "text/tokenizer.h"

namespace godwit::text {

// A JSON string → a JSON array of ids.
Result<std::string> tokenize_line(const Tokenizer& tokenizer, std::string_view line,
                                  SpecialTokens special);
// A JSON array of ids → a JSON string. Errors: an id that does not decode.
Result<std::string> detokenize_line(const Tokenizer& tokenizer, std::string_view line);

}  // namespace godwit::text
