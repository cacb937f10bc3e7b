#include "text/token_lines.h"

#include "checkpoint/json.h"

namespace godwit::text {

using checkpoint::Json;

Result<std::string> tokenize_line(const Tokenizer& tokenizer, std::string_view line,
                                  SpecialTokens special) {
  TRY(const Json text, checkpoint::parse_json(line));
  if (!text.is_string()) return bad_input("expected a JSON string, found another value");
  Json ids = Json::array();
  for (const int32_t id : tokenizer.encode(text.as_string(), special))
    ids.items().push_back(Json::integer(id));
  return ids.dump();
}

Result<std::string> detokenize_line(const Tokenizer& tokenizer, std::string_view line) {
  TRY(const Json array, checkpoint::parse_json(line));
  if (!array.is_array()) return bad_input("expected a JSON array of ids, found another value");
  std::vector<int32_t> ids;
  for (const Json& item : array.items()) {
    const auto id = item.as_int64();
    const int32_t size = tokenizer.vocabulary_size();
    if (!id || *id < 0 || *id >= size)
      return bad_input("item {}: expected an id from 0 to {}, found {}", ids.size(), size - 1,
                       item.dump().substr(0, 60));
    ids.push_back(static_cast<int32_t>(*id));
  }
  return Json::string(tokenizer.decode(ids)).dump();
}

}  // namespace godwit::text
