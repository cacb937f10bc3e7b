// The tokenizer, the chat template and the sampling defaults as GGUF metadata (spec §8.2).
#include <map>
#include <string>

#include "base/mapped_file.h"
#include "checkpoint/json.h"
#include "model/gguf_export.h"

namespace godwit::model {
namespace {

using checkpoint::GgufArray;
using checkpoint::Json;

enum TokenType : int64_t { kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5 };

struct TokenTable {
  std::vector<std::string> texts;
  std::vector<int64_t> types;
  std::map<std::string, int64_t> added;  // ids

  explicit TokenTable(int64_t size) : types(size, kUnused) {
    for (int64_t id = 0; id < size; ++id) texts.push_back(fmt::format("[PAD{}]", id));
  }
  void set(int64_t id, const std::string& text, TokenType type) {
    if (id < 0 || id >= static_cast<int64_t>(texts.size())) return;
    texts[id] = text;
    types[id] = type;
  }
  void set_added(int64_t id, const std::string& text, bool special) {
    const bool control = special || (text.starts_with("<|") && text.ends_with("|>"));
    set(id, text, control ? kControl : kUserDefined);
    added[text] = id;
  }
};

void read_vocabulary(const Json& tokenizer, TokenTable& table) {
  const Json* model = tokenizer.find("model");
  const Json* vocab = model ? model->find("vocab") : nullptr;
  if (vocab && vocab->is_object()) {
    for (const auto& [text, id] : vocab->members())
      table.set(id.as_int64().value_or(-1), text, kNormal);
  }
  const Json* added = tokenizer.find("added_tokens");
  if (!added || !added->is_array()) return;
  for (const Json& token : added->items()) {
    const Json *id = token.find("id"), *text = token.find("content"),
               *special = token.find("special");
    if (!id || !id->is_number() || !text || !text->is_string()) continue;
    table.set_added(id->as_int64().value_or(-1), text->as_string(),
                    special && special->is_bool() && special->as_bool());
  }
}

// "left right", however the file has them.
std::vector<std::string> read_merges(const Json& tokenizer) {
  std::vector<std::string> merges;
  const Json* model = tokenizer.find("model");
  const Json* list = model ? model->find("merges") : nullptr;
  if (!list || !list->is_array()) return merges;
  for (const Json& merge : list->items()) {
    if (merge.is_string()) {
      merges.push_back(merge.as_string());
    } else if (merge.is_array() && merge.items().size() == 2 && merge.items()[0].is_string() &&
               merge.items()[1].is_string()) {
      merges.push_back(merge.items()[0].as_string() + " " + merge.items()[1].as_string());
    }
  }
  return merges;
}

// The id of a token that tokenizer_config.json names, as text or as an object with "content".
std::optional<int64_t> named_token(const checkpoint::ModelFiles& files, const TokenTable& table,
                                   std::string_view key) {
  if (!files.tokenizer_config || !files.tokenizer_config->is_object()) return std::nullopt;
  const Json* name = files.tokenizer_config->find(key);
  if (name && name->is_object()) name = name->find("content");
  if (!name || !name->is_string()) return std::nullopt;
  const auto found = table.added.find(name->as_string());
  return found == table.added.end() ? std::nullopt : std::optional(found->second);
}

void export_sampling(const Json& file, GgufMetadata& metadata) {
  if (!file.is_object()) return;
  const Json* do_sample = file.find("do_sample");
  const bool greedy = do_sample && do_sample->is_bool() && !do_sample->as_bool();
  if (greedy) metadata.emplace_back("general.sampling.temp", 0.0);
  for (const auto& [key, name] :
       {std::pair{"temperature", "temp"}, std::pair{"top_k", "top_k"}, std::pair{"top_p", "top_p"},
        std::pair{"min_p", "min_p"}, std::pair{"repetition_penalty", "penalty_repeat"}}) {
    const Json* value = file.find(key);
    if (!value || !value->is_number() || (greedy && std::string_view(key) == "temperature"))
      continue;
    const std::string target = std::string("general.sampling.") + name;
    if (const auto whole = value->as_int64(); whole && std::string_view(key) == "top_k") {
      metadata.emplace_back(target, *whole);
    } else {
      metadata.emplace_back(target, value->as_double());
    }
  }
}

}  // namespace

Status export_tokenizer(const checkpoint::ModelFiles& files, const ModelConfig& config,
                        GgufMetadata& metadata) {
  TokenTable table(config.text.vocab_size);
  std::vector<std::string> merges;
  if (!files.tokenizer_json_path.empty()) {
    TRY(const std::string text, read_file(files.tokenizer_json_path));
    auto tokenizer = checkpoint::parse_json(text);
    if (!tokenizer) return in_context(files.tokenizer_json_path, tokenizer.error());
    read_vocabulary(*tokenizer, table);
    merges = read_merges(*tokenizer);
  } else {  // readers look for the marks of pictures by their names
    table.set_added(config.image_token, "<|image_pad|>", true);
    table.set_added(config.video_token, "<|video_pad|>", true);
    table.set_added(config.vision_start_token, "<|vision_start|>", true);
    table.set_added(config.vision_end_token, "<|vision_end|>", true);
  }
  const auto end = named_token(files, table, "eos_token"),
             pad = named_token(files, table, "pad_token");
  metadata.emplace_back("tokenizer.ggml.model", std::string("gpt2"));
  metadata.emplace_back("tokenizer.ggml.pre", std::string("qwen35"));
  metadata.emplace_back("tokenizer.ggml.tokens", GgufArray{std::move(table.texts)});
  metadata.emplace_back("tokenizer.ggml.token_type", GgufArray{std::move(table.types)});
  metadata.emplace_back("tokenizer.ggml.merges", GgufArray{std::move(merges)});
  if (end) metadata.emplace_back("tokenizer.ggml.eos_token_id", *end);
  if (pad) metadata.emplace_back("tokenizer.ggml.padding_token_id", *pad);
  metadata.emplace_back("tokenizer.ggml.add_bos_token", false);
  if (files.chat_template) metadata.emplace_back("tokenizer.chat_template", *files.chat_template);
  if (files.tokenizer_config && files.tokenizer_config->is_object()) {
    const Json* version = files.tokenizer_config->find("chat_template_version");
    if (version && version->is_string())
      metadata.emplace_back("godwit.chat_template_version", version->as_string());
  }
  if (files.generation_config) export_sampling(*files.generation_config, metadata);
  return {};
}

}  // namespace godwit::model
