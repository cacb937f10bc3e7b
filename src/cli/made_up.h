// Made-up texts, tools and pictures for benchmarks: the same in every run.
#pragma once

#include <memory>
#include <random>
#include <string>

#include "checkpoint/json.h"
#include "engine/engine.h"

namespace godwit::cli {

class Words {
 public:
  explicit Words(uint64_t seed) : random_(seed) {}
  // Sentences of at least so many tokens, and hardly more.
  std::string text(const engine::Engine& engine, int64_t tokens);
  uint64_t number() { return random_(); }

 private:
  std::string sentence();
  std::mt19937_64 random_;
};

checkpoint::Json made_up_tool(Words& words, int index);
// A PNG of 256 × 256 pixels.
std::shared_ptr<const text::MediaBytes> made_up_picture(Words& words);

}  // namespace godwit::cli
