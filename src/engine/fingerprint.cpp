#include "engine/fingerprint.h"

#include <algorithm>

namespace godwit::engine {
namespace {

// Raised when the meaning of cached bytes changes, or an order of additions that they come from.
constexpr int kFormat = 5;
constexpr size_t kSamples = 16, kSampleBytes = 256;

void add_tensors(const checkpoint::TensorSource& source, std::string& text) {
  for (const std::string& name : source.names()) {
    const auto view = source.find(name);
    if (!view) continue;
    text += fmt::format("{} {} {}\n", name, tensor::dtype_info(view->dtype).name,
                        view->shape.to_string());
    const size_t bytes = view->bytes();
    for (size_t i = 0; i < kSamples; ++i) {
      const size_t at = bytes / kSamples * i;
      text.append(reinterpret_cast<const char*>(view->data) + at,
                  std::min(kSampleBytes, bytes - at));
    }
  }
}

void add_metadata(const checkpoint::GgufFile& file, std::string& text) {
  for (const auto& [key, value] : file.metadata()) {
    if (key.starts_with("tokenizer.")) continue;  // tokens are the key of what is cached
    std::visit(
        [&text, &name = key](const auto& v) {
          if constexpr (!std::is_same_v<std::decay_t<decltype(v)>, checkpoint::GgufArray>)
            text += fmt::format("{} {}\n", name, v);
        },
        value);
  }
}

}  // namespace

cache::Hash128 fingerprint(const checkpoint::ModelFiles& files, const Settings& settings) {
  const cache::CacheGeometry& g = settings.geometry;
  std::string text = fmt::format(
      "{} {} {} {} {} {} {} {} {} {} {} {} {} {}\n", kFormat, settings.grain,
      isa_name(isa_from_environment().value_or(best_isa())), static_cast<int>(g.kv_type),
      g.attention_layers, g.kv_heads, g.head_dim, g.page_tokens, g.recurrent_layers, g.value_heads,
      g.key_dim, g.value_dim, g.conv_channels, g.conv_columns);
  if (files.gguf) {
    add_metadata(*files.gguf, text);
    add_tensors(*files.gguf, text);
    if (files.mmproj) {
      add_metadata(*files.mmproj, text);
      add_tensors(*files.mmproj, text);
    }
  } else {
    text += files.config.dump();
    if (files.preprocessor_config) text += files.preprocessor_config->dump();
    if (files.video_preprocessor_config) text += files.video_preprocessor_config->dump();
    add_tensors(*files.tensors, text);
  }
  return cache::hash_bytes(text);
}

}  // namespace godwit::engine
