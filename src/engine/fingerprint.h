// What the bytes of caches mean: the model's content, the types of numbers, the layout. Caches on
// disk of another are never read.
#pragma once

#include "cache/hash.h"
#include "checkpoint/model_folder.h"
#include "engine/settings.h"

namespace godwit::engine {

// Of the weights every tensor's name, type and shape counts, and a sample of its bytes: enough to
// tell checkpoints apart, without reading gigabytes.
cache::Hash128 fingerprint(const checkpoint::ModelFiles& files, const Settings& settings);

}  // namespace godwit::engine
