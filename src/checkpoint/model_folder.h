// What `-m MODEL` names: a Hugging Face folder, or a .gguf file with its mmproj; and the files
// beside the weights.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "checkpoint/gguf.h"
#include "checkpoint/json.h"
#include "checkpoint/tensor_source.h"

namespace godwit::checkpoint {

struct ModelFiles {
  std::string path;  // as given
  bool is_gguf = false;

  // Hugging Face folder (text and vision in one source)
  std::unique_ptr<TensorSource> tensors;
  Json config;                                    // config.json
  std::optional<Json> generation_config;          // generation_config.json
  std::optional<Json> preprocessor_config;        // preprocessor_config.json
  std::optional<Json> video_preprocessor_config;  // video_preprocessor_config.json
  std::optional<Json> tokenizer_config;           // tokenizer_config.json
  std::string tokenizer_json_path;                // empty if there is none
  std::optional<std::string>
      chat_template;  // chat_template.jinja, or tokenizer_config's "chat_template"

  // GGUF
  std::unique_ptr<GgufFile> gguf;
  std::unique_ptr<GgufFile> mmproj;  // null if none was found
};

// MODEL: folder, .gguf, or a folder that holds exactly one text .gguf. MMPROJ empty: look beside
// the .gguf for one *mmproj*.gguf. Errors name the path and what a model needs (config.json and
// safetensors, or .gguf).
Result<ModelFiles> open_model_files(const std::string& model, const std::string& mmproj = {});
// What text alone needs: of a Hugging Face folder the tokenizer and the chat template, whatever
// else is there or is not.
Result<ModelFiles> open_text_files(const std::string& model);

}  // namespace godwit::checkpoint
