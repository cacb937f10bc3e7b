// Reads tokenizer.json (Hugging Face) and the added tokens of tokenizer_config.json.
//
// What this engine does not do (another normaliser, another split rule, dropout, …) is an error: a
// tokenizer that is nearly right gives answers that are nearly right.
#include <initializer_list>

#include "base/visible.h"
#include "checkpoint/json.h"
#include "text/tokenizer_parts.h"

namespace godwit::text {
namespace {

using checkpoint::Json;

std::string_view kind_name(const Json* json) {
  if (!json) return "nothing";
  switch (json->kind()) {
    case Json::Kind::kNull:
      return "null";
    case Json::Kind::kBool:
      return "a boolean";
    case Json::Kind::kNumber:
      return "a number";
    case Json::Kind::kString:
      return "a string";
    case Json::Kind::kArray:
      return "an array";
    case Json::Kind::kObject:
      return "an object";
  }
  return "";
}

Result<const Json*> member(const Json& object, std::string_view key, Json::Kind kind,
                           std::string_view expected) {
  const Json* found = object.find(key);
  if (!found || found->kind() != kind)
    return bad_input("{}: expected {}, found {}", key, expected, kind_name(found));
  return found;
}
Result<const Json*> object_member(const Json& object, std::string_view key) {
  return member(object, key, Json::Kind::kObject, "an object");
}
Result<const Json*> array_member(const Json& object, std::string_view key) {
  return member(object, key, Json::Kind::kArray, "an array");
}
Result<const Json*> string_member(const Json& object, std::string_view key) {
  return member(object, key, Json::Kind::kString, "a string");
}

// false if missing or null.
Result<bool> flag(const Json& object, std::string_view key) {
  const Json* found = object.find(key);
  if (!found || found->is_null()) return false;
  if (!found->is_bool())
    return bad_input("{}: expected a boolean, found {}", key, kind_name(found));
  return found->as_bool();
}

// The steps of a normalizer or pre_tokenizer: those of a Sequence, else itself.
Result<std::vector<const Json*>> steps(const Json& root, std::string_view key,
                                       std::string_view list_key) {
  TRY(const Json* step, object_member(root, key));
  TRY(const Json* type, string_member(*step, "type"));
  if (type->as_string() != "Sequence") return std::vector{step};
  TRY(const Json* list, array_member(*step, list_key));
  std::vector<const Json*> out;
  for (const Json& item : list->items()) out.push_back(&item);
  return out;
}

bool has_type(const Json& step, std::string_view type) {
  const Json* found = step.find("type");
  return found && found->is_string() && found->as_string() == type;
}

Status check_normalizer(const Json& root) {
  TRY(const auto list, steps(root, "normalizer", "normalizers"));
  if (list.size() != 1 || !has_type(*list[0], "NFC"))
    return bad_input("normalizer: expected NFC, found another");
  return {};
}

// Split by a known rule, then the byte alphabet with no splitting of its own.
Result<SplitRule> read_split_rule(const Json& root) {
  TRY(const auto list, steps(root, "pre_tokenizer", "pretokenizers"));
  if (list.size() != 2 || !has_type(*list[0], "Split") || !has_type(*list[1], "ByteLevel"))
    return bad_input("pre_tokenizer: expected Split and ByteLevel, found others");
  const Json& split = *list[0];
  TRY(const Json* pattern, object_member(split, "pattern"));
  TRY(const Json* regex, string_member(*pattern, "Regex"));
  const auto rule = find_split_rule(regex->as_string());
  if (!rule)
    return bad_input("pre_tokenizer: expected Qwen's split rule, found {}",
                     in_quotes(regex->as_string()));
  TRY(const Json* behavior, string_member(split, "behavior"));
  TRY(const bool invert, flag(split, "invert"));
  TRY(const bool add_prefix_space, flag(*list[1], "add_prefix_space"));
  TRY(const bool use_regex, flag(*list[1], "use_regex"));
  if (behavior->as_string() != "Isolated" || invert || add_prefix_space || use_regex)
    return bad_input(
        "pre_tokenizer: expected behavior Isolated, without invert, add_prefix_space or use_regex");
  return *rule;
}

Result<Vocabulary> read_vocabulary(const Json& model) {
  TRY(const Json* vocab, object_member(model, "vocab"));
  Vocabulary vocabulary;
  vocabulary.reserve(vocab->members().size());
  for (const auto& [token, id] : vocab->members()) {
    const auto number = id.as_int64();
    if (!number)
      return bad_input("vocab: {}: expected an id, found {}", in_quotes(token), kind_name(&id));
    if (auto status = add_printable(*number, token, vocabulary); !status)
      return in_context("vocab", std::move(status.error()));
  }
  return vocabulary;
}

Result<AddedToken> read_added_token(const Json& entry, std::optional<int64_t> id) {
  if (!entry.is_object()) return bad_input("expected an object, found {}", kind_name(&entry));
  if (!id || *id < 0 || *id >= Vocabulary::kMaxSize)
    return bad_input("id: expected a number from 0 to {}", Vocabulary::kMaxSize - 1);
  TRY(const Json* content, string_member(entry, "content"));
  TRY(const bool special, flag(entry, "special"));
  TRY(const bool normalized, flag(entry, "normalized"));
  for (const std::string_view key : {"single_word", "lstrip", "rstrip"}) {
    TRY(const bool set, flag(entry, key));
    if (set) return bad_input("{}: {} is not supported", in_quotes(content->as_string()), key);
  }
  return AddedToken{static_cast<int32_t>(*id), content->as_string(), special, normalized};
}

Status add_one(const Json& entry, std::optional<int64_t> id, Vocabulary& vocabulary,
               AddedTokens& added) {
  TRY(AddedToken token, read_added_token(entry, id));
  return added.add(std::move(token), vocabulary);
}

Status read_added_tokens(const Json& root, Vocabulary& vocabulary, AddedTokens& added) {
  if (const Json* missing = root.find("added_tokens"); !missing || missing->is_null()) return {};
  TRY(const Json* list, array_member(root, "added_tokens"));
  for (size_t i = 0; i < list->items().size(); ++i) {
    const Json& entry = list->items()[i];
    const Json* id = entry.find("id");
    auto status = add_one(entry, id ? id->as_int64() : std::nullopt, vocabulary, added);
    if (!status) return in_context(fmt::format("added_tokens[{}]", i), std::move(status.error()));
  }
  return {};
}

// "added_tokens_decoder": {"248070": {"content": "<|audio_start|>", …}, …}
Status read_config(std::string_view text, Vocabulary& vocabulary, AddedTokens& added) {
  TRY(const Json root, checkpoint::parse_json(text));
  if (!root.is_object()) return bad_input("expected an object, found {}", kind_name(&root));
  if (const Json* none = root.find("added_tokens_decoder"); !none || none->is_null()) return {};
  TRY(const Json* decoder, object_member(root, "added_tokens_decoder"));
  for (const auto& [key, entry] : decoder->members()) {
    std::optional<int64_t> id;
    if (auto number = checkpoint::parse_json(key)) id = number->as_int64();
    auto status = add_one(entry, id, vocabulary, added);
    if (!status)
      return in_context(fmt::format("added_tokens_decoder {}", in_quotes(key)),
                        std::move(status.error()));
  }
  return {};
}

Status check_model(const Json& model) {
  if (!has_type(model, "BPE")) return bad_input("type: expected \"BPE\"");
  for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const Json* found = model.find(key);
    if (found && !found->is_null() && !(found->is_string() && found->as_string().empty()))
      return bad_input("{}: expected null or \"\", found {}", key, found->dump().substr(0, 60));
  }
  const Json* dropout = model.find("dropout");
  if (dropout && !dropout->is_null() && !(dropout->is_number() && dropout->as_double() == 0))
    return bad_input("dropout: expected null, found {}", dropout->dump().substr(0, 60));
  TRY(const bool byte_fallback, flag(model, "byte_fallback"));
  if (byte_fallback) return bad_input("byte_fallback is not supported");
  return {};
}

Status read_merges(const Json& model, Bpe& bpe) {
  TRY(const Json* merges, array_member(model, "merges"));
  bpe.reserve_merges(merges->items().size());
  for (size_t i = 0; i < merges->items().size(); ++i) {
    const Json& merge = merges->items()[i];
    Status status = bad_input("expected two strings or one \"left right\"");
    if (merge.is_string()) {
      status = add_merge_line(merge.as_string(), bpe);
    } else if (merge.is_array() && merge.items().size() == 2 && merge.items()[0].is_string() &&
               merge.items()[1].is_string()) {
      status = add_printable_merge(merge.items()[0].as_string(), merge.items()[1].as_string(), bpe);
    }
    if (!status) return in_context(fmt::format("merges[{}]", i), std::move(status.error()));
  }
  return {};
}

Result<Bpe> read_bpe(const Json& model, Vocabulary vocabulary) {
  TRY(const bool ignore_merges, flag(model, "ignore_merges"));
  TRY(Bpe bpe, Bpe::make(std::move(vocabulary),
                         ignore_merges ? Bpe::WholeTokens::kAlways : Bpe::WholeTokens::kByMerges));
  TRY_STATUS(read_merges(model, bpe));
  return bpe;
}

Result<TokenizerParts> read_tokenizer(std::string_view text, std::string_view config_text) {
  TRY(const Json root, checkpoint::parse_json(text));
  if (!root.is_object()) return bad_input("expected an object, found {}", kind_name(&root));
  TRY_STATUS(check_normalizer(root));
  TRY(const SplitRule split, read_split_rule(root));
  TRY(const Json* model, object_member(root, "model"));
  const auto in_model = [](Error& error) { return in_context("model", std::move(error)); };
  if (auto status = check_model(*model); !status) return in_model(status.error());
  auto vocabulary = read_vocabulary(*model);
  if (!vocabulary) return in_model(vocabulary.error());
  AddedTokens added;
  TRY_STATUS(read_added_tokens(root, *vocabulary, added));
  if (!config_text.empty())
    if (auto status = read_config(config_text, *vocabulary, added); !status)
      return in_context("tokenizer_config.json", std::move(status.error()));
  added.finish();
  auto bpe = read_bpe(*model, std::move(*vocabulary));
  if (!bpe) return in_model(bpe.error());
  return TokenizerParts{std::move(*bpe), std::move(added), split};
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> Tokenizer::from_json(std::string_view tokenizer_json,
                                                        std::string_view tokenizer_config_json) {
  auto parts = read_tokenizer(tokenizer_json, tokenizer_config_json);
  if (!parts) return in_context("tokenizer.json", std::move(parts.error()));
  return make_tokenizer(std::move(*parts));
}

}  // namespace godwit::text
