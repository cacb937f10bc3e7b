// A tokenizer.json of 256 byte tokens, a few merges and added tokens, for tests to bend.
#pragma once

#include <string>
#include <vector>

#include "base/utf8.h"
#include "checkpoint/json.h"
#include "text/vocabulary.h"

namespace godwit::text {

// How tokenizer files write these bytes.
inline std::string printable_of(std::string_view bytes) {
  std::string out;
  for (const char byte : bytes) {
    for (char32_t c = 0; c < 0x144; ++c) {
      std::string character, read;
      append_utf8(c, character);
      if (append_bytes_of_printable(character, read) && read == std::string(1, byte))
        out += character;
    }
  }
  return out;
}

inline checkpoint::Json small_added_token(int64_t id, const std::string& content) {
  using checkpoint::Json;
  return Json::object({{"id", Json::integer(id)},
                       {"content", Json::string(content)},
                       {"single_word", Json::boolean(false)},
                       {"lstrip", Json::boolean(false)},
                       {"rstrip", Json::boolean(false)},
                       {"normalized", Json::boolean(false)},
                       {"special", Json::boolean(true)}});
}

// Ids: bytes 0…255, "he" 256, "ll" 257, "hell" 258, "hello" 259 (no merge leads to it), "<|end|>"
// 260, "<|end|>>" 261, "<think>" 262 (not special).
inline checkpoint::Json small_tokenizer_json() {
  using checkpoint::Json;
  Json vocab = Json::object();
  for (int byte = 0; byte < 256; ++byte)
    vocab.set(printable_of(std::string(1, static_cast<char>(byte))), Json::integer(byte));
  int next = 256;
  for (const char* token : {"he", "ll", "hell", "hello"}) vocab.set(token, Json::integer(next++));
  Json merges = Json::array({Json::array({Json::string("h"), Json::string("e")}),
                             Json::array({Json::string("l"), Json::string("l")}),
                             Json::array({Json::string("he"), Json::string("ll")})});
  Json think = small_added_token(262, "<think>");
  think.set("special", Json::boolean(false));
  const std::string regex =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  Json split = Json::object({{"type", Json::string("Split")},
                             {"pattern", Json::object({{"Regex", Json::string(regex)}})},
                             {"behavior", Json::string("Isolated")},
                             {"invert", Json::boolean(false)}});
  Json bytes = Json::object({{"type", Json::string("ByteLevel")},
                             {"add_prefix_space", Json::boolean(false)},
                             {"trim_offsets", Json::boolean(false)},
                             {"use_regex", Json::boolean(false)}});
  return Json::object(
      {{"added_tokens", Json::array({small_added_token(260, "<|end|>"),
                                     small_added_token(261, "<|end|>>"), std::move(think)})},
       {"normalizer", Json::object({{"type", Json::string("NFC")}})},
       {"pre_tokenizer",
        Json::object({{"type", Json::string("Sequence")},
                      {"pretokenizers", Json::array({std::move(split), std::move(bytes)})}})},
       {"model", Json::object({{"type", Json::string("BPE")},
                               {"dropout", Json()},
                               {"byte_fallback", Json::boolean(false)},
                               {"ignore_merges", Json::boolean(false)},
                               {"vocab", std::move(vocab)},
                               {"merges", std::move(merges)}})}});
}

// The value at a path of keys and indices, to be changed in place: at(json, {"model", "merges",
// "0"}).
inline checkpoint::Json& at(checkpoint::Json& json, const std::vector<std::string>& path) {
  checkpoint::Json* found = &json;
  for (const std::string& key : path) {
    if (found->is_array()) {
      found = &found->items().at(std::stoul(key));
      continue;
    }
    if (!found->find(key)) found->set(key, {});
    for (auto& [name, value] : found->members())
      if (name == key) found = &value;
  }
  return *found;
}

}  // namespace godwit::text
