// Frequency j turns by θ^(−2j / dim) radians a position. YaRN (Peng et al., arXiv 2309.00071)
// divides the slow ones by its factor, keeps the fast ones, and ramps between those that turn
// beta_slow and beta_fast times within the original context. As the reference does, angles are
// products of two f32.
#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace godwit::model {
namespace {

// The share of interpolation of each frequency, 0 … 1.
std::vector<double> yarn_ramp(const RopeConfig& rope) {
  const double dim = rope.rotary_dim;
  const auto frequency_of = [&](double turns) {
    const double context = double(rope.yarn_original_context);
    return dim * std::log(context / (turns * 2 * std::numbers::pi)) / (2 * std::log(rope.theta));
  };
  const double low = std::max(std::floor(frequency_of(rope.yarn_beta_fast)), 0.0);
  double high = std::min(std::ceil(frequency_of(rope.yarn_beta_slow)), dim - 1);
  if (low == high) high += 0.001;
  std::vector<double> ramp;
  for (int j = 0; j < rope.rotary_dim / 2; ++j) {
    ramp.push_back(std::clamp((j - low) / (high - low), 0.0, 1.0));
  }
  return ramp;
}

}  // namespace

RopeFrequencies rope_frequencies(const RopeConfig& rope) {
  const int half = rope.rotary_dim / 2;
  RopeFrequencies result;
  result.axis.assign(half, Axis::kTime);
  for (int axis = 1; axis < 3; ++axis) {
    for (int j = axis; j < std::min(3 * rope.sections[axis], half); j += 3)
      result.axis[j] = Axis(axis);
  }
  const bool yarn = rope.yarn_factor != 1;
  const std::vector<double> ramp = yarn ? yarn_ramp(rope) : std::vector<double>(half, 0.0);
  for (int j = 0; j < half; ++j) {
    const double inverse = std::pow(rope.theta, -2.0 * j / rope.rotary_dim);
    result.inverse.push_back(
        static_cast<float>(inverse * (1 - ramp[j]) + inverse / rope.yarn_factor * ramp[j]));
  }
  if (yarn) result.scale = static_cast<float>(0.1 * std::log(rope.yarn_factor) + 1);
  if (rope.yarn_attention_factor > 0) result.scale = static_cast<float>(rope.yarn_attention_factor);
  return result;
}

void fill_rope_tables(const RopeFrequencies& frequencies, std::span<const Position> positions,
                      tensor::MatrixView cos, tensor::MatrixView sin) {
  const auto half = static_cast<int64_t>(frequencies.inverse.size());
  for (size_t t = 0; t < positions.size(); ++t) {
    const float coordinate[] = {float(positions[t].time), float(positions[t].height),
                                float(positions[t].width)};
    for (int64_t j = 0; j < half; ++j) {
      const float angle = coordinate[int(frequencies.axis[j])] * frequencies.inverse[j];
      cos.row(t)[j] = static_cast<float>(std::cos(double(angle))) * frequencies.scale;
      sin.row(t)[j] = static_cast<float>(std::sin(double(angle))) * frequencies.scale;
    }
  }
}

}  // namespace godwit::model
