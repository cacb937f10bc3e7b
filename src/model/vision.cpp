// The vision tower: patch embedding + interpolated positions → blocks of attention and MLP → 2×2
// patches merged into one row.
//
// Every picture, and every temporal slice of a clip, is a segment: attention stays inside it.
// Patches of a segment come in merge-block order: block row, block column, row in block, column in
// block.
#include "model/vision.h"

#include <algorithm>
#include <cmath>

#include "kernels/matmul.h"
#include "kernels/ops.h"

namespace godwit::model {
namespace {

using kernels::Context;
using kernels::Product;
using tensor::ConstMatrixView;
using tensor::MatrixView;

constexpr float kLayerNormEps = 1e-6f;
constexpr int64_t kSliceRows =
    1024;  // of the MLP: bounds its inner matrix to a few MiB whatever the picture
constexpr double kRopeTheta = 10000;

MatrixView rows(MatrixView m, int64_t first, int64_t count) {
  return {m.row(first), count, m.columns, m.stride};
}

// Calls f(patch, row, column) for each patch of one temporal slice.
template <class F>
void for_patches(const VisionGrid& grid, int merge, const F& f) {
  int64_t patch = 0;
  for (int block_row = 0; block_row < grid.h; block_row += merge) {
    for (int block_column = 0; block_column < grid.w; block_column += merge) {
      for (int row = block_row; row < block_row + merge; ++row) {
        for (int column = block_column; column < block_column + merge; ++column)
          f(patch++, row, column);
      }
    }
  }
}

// Where position i of n falls between two of `side` learned ones, ends on ends.
struct Between {
  int64_t low, high;
  float share;  // of high
};
Between between(int i, int n, int64_t side) {
  const float place = n > 1 ? float(i) * float(side - 1) / float(n - 1) : 0;
  const auto low = static_cast<int64_t>(place);
  return {low, std::min(low + 1, side - 1), place - float(low)};
}

// out [h · w, D]: the table [side², D] stretched over the grid, bilinearly.
void interpolate_positions(const Vector& table, int64_t D, const VisionGrid& grid, int merge,
                           MatrixView out) {
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(double(table.size() / D))));
  for_patches(grid, merge, [&](int64_t patch, int row, int column) {
    const Between y = between(row, grid.h, side), x = between(column, grid.w, side);
    const float *a = &table[(y.low * side + x.low) * D], *b = &table[(y.low * side + x.high) * D];
    const float *c = &table[(y.high * side + x.low) * D], *d = &table[(y.high * side + x.high) * D];
    const float wa = (1 - y.share) * (1 - x.share), wb = (1 - y.share) * x.share;
    const float wc = y.share * (1 - x.share), wd = y.share * x.share;
    float* target = out.row(patch);
    for (int64_t i = 0; i < D; ++i) target[i] = wa * a[i] + wb * b[i] + wc * c[i] + wd * d[i];
  });
}

// cos, sin [h · w, d/2]: the first half of the angles turns with the row, the second with the
// column.
void fill_rotations(const VisionGrid& grid, int merge, int head_dim, MatrixView cos,
                    MatrixView sin) {
  const int quarter = head_dim / 4;
  for_patches(grid, merge, [&](int64_t patch, int row, int column) {
    for (int j = 0; j < 2 * quarter; ++j) {
      const auto inverse =
          static_cast<float>(std::pow(kRopeTheta, -2.0 * (j % quarter) / (head_dim / 2)));
      const float angle = float(j < quarter ? row : column) * inverse;
      cos.row(patch)[j] = static_cast<float>(std::cos(double(angle)));
      sin.row(patch)[j] = static_cast<float>(std::sin(double(angle)));
    }
  });
}

void copy_rows(ConstMatrixView from, MatrixView to) {
  for (int64_t i = 0; i < to.rows; ++i) std::copy_n(from.row(i), to.columns, to.row(i));
}

// Fills positions (into `mixed`), rotations and starts; returns the number of segments.
int64_t lay_out(const VisionConfig& config, const VisionWeights& weights,
                std::span<const VisionGrid> grids, const VisionScratch& s) {
  int64_t patch = 0, segments = 0;
  for (const VisionGrid& grid : grids) {
    CHECK(grid.t > 0 && grid.h > 0 && grid.w > 0 && grid.h % config.merge_size == 0 &&
          grid.w % config.merge_size == 0);
    const int64_t count = int64_t{grid.h} * grid.w, first = patch;
    CHECK(first + count * grid.t <= s.x.rows);
    for (int32_t t = 0; t < grid.t; ++t, patch += count) {
      s.starts[segments++] = patch;
      if (t == 0) {
        interpolate_positions(weights.pos_embed, config.hidden_size, grid, config.merge_size,
                              rows(s.mixed, patch, count));
        fill_rotations(grid, config.merge_size, config.head_dim(), rows(s.cos, patch, count),
                       rows(s.sin, patch, count));
      } else {  // slices of a clip look alike
        copy_rows(rows(s.mixed, first, count), rows(s.mixed, patch, count));
        copy_rows(rows(s.cos, first, count), rows(s.cos, patch, count));
        copy_rows(rows(s.sin, first, count), rows(s.sin, patch, count));
      }
    }
  }
  CHECK(patch == s.x.rows);
  s.starts[segments] = patch;
  return segments;
}

int64_t longest_segment(std::span<const VisionGrid> grids) {
  int64_t longest = 0;
  for (const VisionGrid& grid : grids) longest = std::max(longest, int64_t{grid.h} * grid.w);
  return longest;
}

void linear(const Context& context, const char* name, ConstMatrixView x, const LinearWeights& w,
            MatrixView out, std::span<std::byte> scratch) {
  const Product product[] = {{.weight = &w.weight, .out = out, .bias = w.bias.data()}};
  kernels::matmul(context, x, product, scratch, name);
}

// x += proj(attention(qkv(norm1(x)))); x += fc2(gelu(fc1(norm2(x))))
void run_block(const Context& context, const VisionConfig& config, const VisionBlockWeights& w,
               std::span<const int64_t> starts, const VisionScratch& s) {
  const int heads = config.num_heads, d = config.head_dim();
  kernels::layer_norm(context, s.x, w.norm1.weight.data(), w.norm1.bias.data(), kLayerNormEps,
                      s.normed);
  linear(context, "vision.qkv", s.normed, w.qkv, s.qkv, s.matmul);
  kernels::apply_rope(context, s.qkv, 2 * heads, d, d / 2, s.cos.data,
                      s.sin.data);  // heads of q, then of k
  kernels::segment_attention(context, s.qkv, heads, d, starts, 1 / std::sqrt(float(d)), s.mixed,
                             s.attention);
  linear(context, "vision.proj", s.mixed, w.proj, s.normed, s.matmul);
  kernels::add(context, s.normed, s.x);

  for (int64_t first = 0; first < s.x.rows; first += kSliceRows) {
    const int64_t count = std::min(kSliceRows, s.x.rows - first);
    const MatrixView x = rows(s.x, first, count), normed = rows(s.normed, first, count),
                     inner = rows(s.inner, 0, count);
    kernels::layer_norm(context, x, w.norm2.weight.data(), w.norm2.bias.data(), kLayerNormEps,
                        normed);
    linear(context, "vision.fc1", normed, w.linear_fc1, inner, s.matmul);
    kernels::gelu_tanh(context, inner);
    linear(context, "vision.fc2", inner, w.linear_fc2, normed, s.matmul);
    kernels::add(context, normed, x);
  }
}

}  // namespace

VisionScratch::VisionScratch(Arena& arena, const Context& context, const VisionConfig& c, int64_t n,
                             int64_t longest_segment)
    : x(arena.matrix(n, c.hidden_size)),
      normed(arena.matrix(n, c.hidden_size)),
      mixed(arena.matrix(n, c.hidden_size)),
      qkv(arena.matrix(n, int64_t{3} * c.hidden_size)),
      cos(arena.matrix(n, c.head_dim() / 2)),
      sin(arena.matrix(n, c.head_dim() / 2)),
      inner(arena.matrix(std::min(n, kSliceRows), c.intermediate_size)) {
  const int64_t merge = int64_t{c.merge_size} * c.merge_size;
  merger = arena.matrix(n / merge, merge * c.hidden_size);
  starts = arena.array<int64_t>(n / merge + 1);
  attention = arena.array<std::byte>(kernels::segment_attention_scratch_bytes(
      context.pool->threads(), longest_segment, c.num_heads, c.head_dim()));
  matmul = arena.array<std::byte>(std::max({
      kernels::matmul_scratch_bytes(n, std::max(c.patch_values(), c.hidden_size)),
      kernels::matmul_scratch_bytes(inner.rows, std::max(c.intermediate_size, c.hidden_size)),
      kernels::matmul_scratch_bytes(n / merge, merge * c.hidden_size),
  }));
}

VisionEncoder::VisionEncoder(const Context& context, const VisionConfig& config,
                             const VisionWeights& weights, ConstMatrixView pixel_values,
                             std::span<const VisionGrid> grids, Arena arena, MatrixView merged,
                             Observer* observer)
    : context_(context),
      config_(config),
      weights_(weights),
      pixel_values_(pixel_values),
      scratch_(arena, context, config, pixel_values.rows, longest_segment(grids)),
      merged_(merged),
      observer_(observer) {
  CHECK(pixel_values.columns == config.patch_values());
  CHECK(merged.rows == scratch_.merger.rows && merged.columns == config.out_hidden_size);
  starts_ = scratch_.starts.first(lay_out(config, weights, grids, scratch_) + 1);
}

bool VisionEncoder::next() {
  if (block_ == 0) embed();
  run_block(context_, config_, weights_.blocks[block_], starts_, scratch_);
  if (observer_) observe(fmt::format("vision.blocks.{}", block_), scratch_.x);
  if (++block_ < weights_.blocks.size()) return true;
  merge();
  return false;
}

void VisionEncoder::embed() {
  const VisionScratch& s = scratch_;
  linear(context_, "vision.patches", pixel_values_, weights_.patch_embed, s.x, s.matmul);
  observe("vision.patch_embed", s.x);
  observe("vision.pos", s.mixed);
  kernels::add(context_, s.mixed, s.x);
}

void VisionEncoder::merge() {
  const VisionScratch& s = scratch_;
  const LayerNormWeights& norm = weights_.merger_norm;
  kernels::layer_norm(context_, s.x, norm.weight.data(), norm.bias.data(), kLayerNormEps, s.normed);
  // merge² consecutive rows are one block of the picture: the same memory read with longer rows.
  const ConstMatrixView blocks(s.normed.data, s.merger.rows, s.merger.columns);
  linear(context_, "vision.merger1", blocks, weights_.merger_fc1, s.merger, s.matmul);
  kernels::gelu_erf(context_, s.merger);
  linear(context_, "vision.merger2", s.merger, weights_.merger_fc2, merged_, s.matmul);
  observe("vision.merged", merged_);
}

}  // namespace godwit::model
