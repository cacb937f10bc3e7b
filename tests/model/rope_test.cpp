// Positions and rotations against the worked examples of the specification (§3.8, §9.1, §10.4).
#include "model/rope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "model/model.h"

namespace godwit::model {
namespace {

TEST(Rope, AxesAreInterleaved) {
  const RopeFrequencies f = rope_frequencies({});
  std::string axes;
  for (Axis axis : f.axis) axes += "THW"[int(axis)];
  EXPECT_EQ(axes, "THWTHWTHWTHWTHWTHWTHWTHWTHWTHWTH");
  EXPECT_FLOAT_EQ(f.inverse[31], std::pow(1e7f, -62.0f / 64));
  EXPECT_EQ(f.scale, 1);
}

TEST(Rope, YarnCheckValues) {
  RopeConfig rope;
  rope.yarn_factor = 4;
  rope.yarn_original_context = 262144;
  const RopeFrequencies f = rope_frequencies(rope);
  EXPECT_NEAR(f.inverse[14], 8.65964e-4, 1e-9);
  EXPECT_NEAR(f.inverse[15], 4.74240e-4, 1e-9);
  EXPECT_NEAR(f.inverse[18], 7.21739e-5, 1e-10);
  EXPECT_NEAR(f.inverse[22], 3.84982e-6, 1e-11);
  EXPECT_NEAR(f.inverse[31], 4.13704e-8, 1e-13);
  EXPECT_NEAR(f.scale, 1.138629, 1e-6);
  rope.yarn_factor = 2;
  EXPECT_NEAR(rope_frequencies(rope).scale, 1.069315, 1e-6);
}

TEST(Rope, TablesFollowEachAxis) {
  RopeConfig rope;
  rope.rotary_dim = 8;
  rope.theta = 10000;
  rope.sections[0] = 2, rope.sections[1] = 1, rope.sections[2] = 1;
  const RopeFrequencies f = rope_frequencies(rope);  // axes T H W T
  const Position position[] = {{3, 5, 7}};
  float cos[4], sin[4];
  fill_rope_tables(f, position, {cos, 1, 4, 4}, {sin, 1, 4, 4});
  const double expected[] = {3, 5 * 0.1, 7 * 0.01, 3 * 0.001};
  for (int j = 0; j < 4; ++j) {
    EXPECT_NEAR(cos[j], std::cos(expected[j]), 1e-6) << j;
    EXPECT_NEAR(sin[j], std::sin(expected[j]), 1e-6) << j;
  }
}

ModelConfig with_pads() {
  ModelConfig config;
  config.vision.emplace();
  config.image_token = 100;
  config.video_token = 101;
  return config;
}

std::vector<std::vector<int>> assign(const std::vector<int32_t>& ids,
                                     const std::vector<VisionGrid>& grids, int32_t next) {
  std::vector<Position> positions(ids.size());
  EXPECT_EQ(assign_positions(ids, with_pads(), grids, positions), next);
  std::vector<std::vector<int>> result;
  for (const Position& p : positions) result.push_back({p.time, p.height, p.width});
  return result;
}

using Triples = std::vector<std::vector<int>>;

TEST(Positions, OnePicture) {
  EXPECT_EQ(assign({1, 2, 3, 100, 100, 100, 100, 100, 100, 4, 5}, {{1, 4, 6}}, 8),
            (Triples{{0, 0, 0},
                     {1, 1, 1},
                     {2, 2, 2},
                     {3, 3, 3},
                     {3, 3, 4},
                     {3, 3, 5},
                     {3, 4, 3},
                     {3, 4, 4},
                     {3, 4, 5},
                     {6, 6, 6},
                     {7, 7, 7}}));
}

TEST(Positions, SlicesOfAClip) {
  EXPECT_EQ(assign({1, 2, 101, 101, 101, 101, 3, 4, 5, 101, 101, 101, 101, 6, 7},
                   {{1, 4, 4}, {1, 4, 4}}, 11),
            (Triples{{0, 0, 0},
                     {1, 1, 1},
                     {2, 2, 2},
                     {2, 2, 3},
                     {2, 3, 2},
                     {2, 3, 3},
                     {4, 4, 4},
                     {5, 5, 5},
                     {6, 6, 6},
                     {7, 7, 7},
                     {7, 7, 8},
                     {7, 8, 7},
                     {7, 8, 8},
                     {9, 9, 9},
                     {10, 10, 10}}));
}

TEST(Positions, PadsWithoutAPictureCountAsText) {
  EXPECT_EQ(assign({1, 100, 2}, {}, 3), (Triples{{0, 0, 0}, {1, 1, 1}, {2, 2, 2}}));
}

TEST(Positions, PromptThatEndsInsideAPicture) {
  EXPECT_EQ(assign({1, 100, 100}, {{1, 4, 4}}, 3), (Triples{{0, 0, 0}, {1, 1, 1}, {1, 1, 2}}));
}

}  // namespace
}  // namespace godwit::model
