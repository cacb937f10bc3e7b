#include "model/cost.h"

namespace godwit::model {
namespace {

int64_t mixer_products(const TextConfig& c, Mixer mixer) {
  const int64_t H = c.hidden_size;
  if (mixer == Mixer::kGatedAttention) {
    const int64_t q = int64_t{c.num_attention_heads} * c.head_dim;
    const int64_t kv = int64_t{c.num_kv_heads} * c.head_dim;
    return H * (2 * q + 2 * kv) + q * H;
  }
  const int64_t V = c.value_width();
  return H * (c.conv_channels() + V + 2 * c.linear_value_heads) + V * H;
}

int64_t feed_forward_products(const TextConfig& c) {
  const int64_t H = c.hidden_size;
  if (c.experts == 0) return 3 * H * c.intermediate_size;
  return H * (c.experts + 1) + 3 * H * int64_t{c.experts_per_token} * c.expert_intermediate +
         3 * H * c.shared_expert_intermediate;
}

}  // namespace

int64_t products_per_token(const TextConfig& config) {
  int64_t products = 0;
  for (const Mixer mixer : config.layers)
    products += mixer_products(config, mixer) + feed_forward_products(config);
  return products;
}

int64_t products_per_logit_row(const TextConfig& config) {
  return config.vocab_size * config.hidden_size;
}

int64_t attention_products_per_picture(const VisionConfig& config, int64_t patches) {
  return 2 * patches * patches * config.hidden_size * config.depth;
}

int64_t products_per_picture(const VisionConfig& config, int64_t patches) {
  const int64_t D = config.hidden_size, merge = int64_t{config.merge_size} * config.merge_size;
  const int64_t block = 4 * D * D + 2 * D * config.intermediate_size;
  const int64_t merger = merge * D * (merge * D + config.out_hidden_size);
  return patches * (D * config.patch_values() + config.depth * block) + patches / merge * merger +
         attention_products_per_picture(config, patches);
}

}  // namespace godwit::model
