// Rotary frequencies of the decoder, with three interleaved position axes and YaRN (spec:
// docs/model.md), and the tables of cosines and sines that one batch needs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/batch.h"
#include "model/config.h"
#include "tensor/view.h"

namespace godwit::model {

enum class Axis : uint8_t { kTime, kHeight, kWidth };

struct RopeFrequencies {
  std::vector<float> inverse;  // [rotary_dim / 2], radians per position
  std::vector<Axis> axis;      // [rotary_dim / 2]: T H W T H W … T T
  float scale = 1;             // of cosine and sine (YaRN's attention factor)
};

RopeFrequencies rope_frequencies(const RopeConfig& rope);

// cos, sin [positions, rotary_dim / 2]
void fill_rope_tables(const RopeFrequencies& frequencies, std::span<const Position> positions,
                      tensor::MatrixView cos, tensor::MatrixView sin);

}  // namespace godwit::model
