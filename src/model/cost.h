// How much a model computes: multiply-accumulates of the products with weights, which is what
// speeds are held against the machine's peaks by. The decoder's attention and delta rule have no
// weights and are not counted.
#pragma once

#include "model/config.h"

namespace godwit::model {

int64_t products_per_token(const TextConfig& config);      // of all layers; without the head
int64_t products_per_logit_row(const TextConfig& config);  // the head
// One picture (or temporal slice) of so many patches, its attention included; and that alone.
int64_t products_per_picture(const VisionConfig& config, int64_t patches);
int64_t attention_products_per_picture(const VisionConfig& config, int64_t patches);

}  // namespace godwit::model
