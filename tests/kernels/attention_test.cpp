// Paged attention and segment attention against the formula in double.
#include "base/float16.h"
#include "tests/kernels/ops_testing.h"

namespace godwit::kernels {
namespace {

using tensor::DType;

struct Shape {
  int heads, kv_heads, head_dim, page_tokens;
  DType dtype;
};

// Keys, values, queries with their gates ([T, heads, query | gate]) of one sequence, and its pages.
struct Sequence {
  Sequence(Shape s, int64_t n, unsigned seed)
      : shape(s),
        tokens(n),
        k(random_floats(n * s.kv_heads * s.head_dim, seed)),
        v(random_floats(n * s.kv_heads * s.head_dim, seed + 1)),
        q(random_floats(n * s.heads * 2 * s.head_dim, seed + 2, 2)) {
    half_bytes = *tensor::bytes_of(s.dtype, s.head_dim) * s.kv_heads * s.page_tokens;
    const int64_t count = (n + s.page_tokens - 1) / s.page_tokens;
    memory.resize(2 * count * half_bytes);
    for (int64_t p = count - 1; p >= 0; --p) {  // pages lie in no order
      keys.push_back(memory.data() + 2 * p * half_bytes);
      values.push_back(memory.data() + (2 * p + 1) * half_bytes);
    }
  }
  KvPages pages() const {
    return {keys.data(),       values.data(),  shape.dtype,
            shape.page_tokens, shape.kv_heads, shape.head_dim};
  }
  int64_t kv_width() const { return int64_t{shape.kv_heads} * shape.head_dim; }
  int64_t q_width() const { return int64_t{shape.heads} * 2 * shape.head_dim; }
  int64_t out_width() const { return int64_t{shape.heads} * shape.head_dim; }

  // What a page of this type gives back for stored values.
  std::vector<float> stored(const std::vector<float>& rows) const {
    std::vector<float> result = rows;
    for (size_t i = 0; i < rows.size(); ++i) {
      if (shape.dtype == DType::kF16) result[i] = f16_to_f32(f32_to_f16(rows[i]));
      if (shape.dtype == DType::kBF16) result[i] = bf16_to_f32(f32_to_bf16(rows[i]));
    }
    if (shape.dtype != DType::kQ8_0) return result;
    for (size_t i = 0; i < rows.size(); i += 32) {
      float largest = 0;
      for (size_t j = i; j < i + 32; ++j) largest = std::max(largest, std::abs(rows[j]));
      const float scale = largest / 127, inverse = 1 / scale;
      for (size_t j = i; j < i + 32; ++j)
        result[j] = f16_to_f32(f32_to_f16(scale)) * std::round(rows[j] * inverse);
    }
    return result;
  }

  // Calls that end at each of `cuts` and at the end.
  std::vector<float> run(const Context& context, std::vector<int64_t> cuts = {},
                         bool gated = true) {
    std::fill(memory.begin(), memory.end(),
              std::byte{0x7f});  // what is not stored must not be read: NaN in every type but Q8_0
    std::vector<float> out(tokens * out_width());
    tensor::AlignedBuffer<std::byte> scratch(
        attention_scratch_bytes(context.pool->threads(), tokens, shape.heads, shape.head_dim));
    cuts.push_back(tokens);
    int64_t begin = 0;
    for (int64_t end : cuts) {
      const int64_t n = end - begin;
      store_kv(context, pages(), begin, {k.data() + begin * kv_width(), n, kv_width()},
               {v.data() + begin * kv_width(), n, kv_width()});
      const float* rows = q.data() + begin * q_width();
      attention(context, pages(), begin, {rows, n, q_width()}, shape.heads, 2 * shape.head_dim,
                gated ? rows + shape.head_dim : nullptr, 1 / std::sqrt(float(shape.head_dim)),
                {out.data() + begin * out_width(), n, out_width(), out_width()}, scratch.span());
      begin = end;
    }
    return out;
  }

  std::vector<double> in_double(bool gated = true) const {
    const auto stored_k = stored(k), stored_v = stored(v);
    const int dim = shape.head_dim, group = shape.heads / shape.kv_heads;
    std::vector<double> out(tokens * out_width());
    for (int64_t t = 0; t < tokens; ++t) {
      for (int h = 0; h < shape.heads; ++h) {
        const float *query = q.data() + t * q_width() + h * 2 * dim, *gate = query + dim;
        double* target = out.data() + t * out_width() + h * dim;
        std::vector<double> weights(t + 1);
        double largest = -1e300, sum = 0;
        for (int64_t p = 0; p <= t; ++p) {
          for (int d = 0; d < dim; ++d)
            weights[p] += double(query[d]) * stored_k[p * kv_width() + h / group * dim + d];
          largest = std::max(largest, weights[p] /= std::sqrt(double(dim)));
        }
        for (double& w : weights) sum += w = std::exp(w - largest);
        for (int64_t p = 0; p <= t; ++p)
          for (int d = 0; d < dim; ++d)
            target[d] += weights[p] / sum * stored_v[p * kv_width() + h / group * dim + d];
        if (!gated) continue;
        for (int d = 0; d < dim; ++d) target[d] /= 1 + std::exp(-double(gate[d]));
      }
    }
    return out;
  }

  Shape shape;
  int64_t tokens;
  std::vector<float> k, v, q;
  size_t half_bytes;
  std::vector<std::byte> memory;
  std::vector<std::byte*> keys, values;
};

class AttentionTest : public OpsTest {};

TEST_P(AttentionTest, FollowsTheFormulaForEveryTypeAndPageSize) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0}) {
    for (const int page : {1, 16, 48, 64, 256}) {
      Sequence s({4, 2, 64, page, dtype}, 150, page);
      const auto expected = s.in_double();
      EXPECT_LT(relative_difference(s.run(context()), expected), 2e-6) << page;
      EXPECT_LT(relative_difference(s.run(context(), {1, 3, 64, 70, 101, 141}), expected), 2e-6)
          << page;
    }
  }
}

TEST_P(AttentionTest, FollowsTheFormulaForEveryShape) {
  const int shapes[][3] = {{8, 2, 256},  {1, 1, 16},  {6, 1, 32}, {5, 5, 48},
                           {24, 4, 256}, {16, 1, 80}, {3, 1, 96}};
  for (const auto& [heads, kv_heads, dim] : shapes) {
    Sequence s({heads, kv_heads, dim, 64, DType::kF32}, 70, dim);
    EXPECT_LT(relative_difference(s.run(context(), {66}), s.in_double()), 2e-6)
        << heads << " " << dim;
    EXPECT_LT(relative_difference(s.run(context(), {66}, false), s.in_double(false)), 2e-6)
        << heads << " " << dim;
  }
}

TEST_P(AttentionTest, DecodingOverManySpans) {
  Sequence s({2, 1, 32, 64, DType::kF16}, 900, 3);
  const auto expected = s.in_double();
  EXPECT_LT(relative_difference(s.run(context(), {892, 893, 897}), expected), 2e-6);
}

TEST_P(AttentionTest, AQueryDoesNotSeeItsCompanions) {
  Sequence s({8, 2, 64, 64, DType::kF16}, 600, 4);
  const auto together = s.run(context(), {592}),
             alone = s.run(context(), {592, 593, 594, 595, 596, 597, 598, 599});
  EXPECT_TRUE(same_bits(together, alone));
}

TEST_P(AttentionTest, ThreadsDoNotChangeABit) {
  Sequence s({8, 2, 64, 64, DType::kF16}, 600, 5);
  const auto one = s.run(context(1), {300, 599});
  for (int threads : {2, 3}) EXPECT_TRUE(same_bits(s.run(context(threads), {300, 599}), one));
}

TEST_P(AttentionTest, ScoresFarApartDoNotOverflow) {
  Sequence s({2, 1, 32, 64, DType::kF32}, 80, 6);
  for (float& x : s.q) x *= 300;
  for (int64_t t = 0; t < s.tokens; ++t)
    s.q[t * s.q_width() + 40] = -200, s.q[t * s.q_width() + 41] = 200;  // gates too
  EXPECT_LT(relative_difference(s.run(context(), {70}), s.in_double()), 2e-5);
}

TEST_P(AttentionTest, SegmentsFollowTheFormula) {
  for (const auto& [heads, dim] : {std::pair{2, 64}, {3, 72}, {1, 16}, {2, 20}, {1, 86}}) {
    const std::vector<int64_t> starts = {0, 1, 65, 65, 130, 400};
    const int64_t n = starts.back(), width = int64_t{heads} * dim;
    const auto qkv = random_floats(n * 3 * width, dim, 1.5);
    std::vector<double> expected(n * width);
    for (size_t s = 0; s + 1 < starts.size(); ++s) {
      for (int64_t t = starts[s]; t < starts[s + 1]; ++t) {
        for (int h = 0; h < heads; ++h) {
          std::vector<double> weights(starts[s + 1] - starts[s]);
          double largest = -1e300, sum = 0;
          for (size_t p = 0; p < weights.size(); ++p) {
            for (int d = 0; d < dim; ++d)
              weights[p] += double(qkv[t * 3 * width + h * dim + d]) *
                            qkv[(starts[s] + p) * 3 * width + width + h * dim + d];
            largest = std::max(largest, weights[p] /= std::sqrt(double(dim)));
          }
          for (double& w : weights) sum += w = std::exp(w - largest);
          for (size_t p = 0; p < weights.size(); ++p)
            for (int d = 0; d < dim; ++d)
              expected[t * width + h * dim + d] +=
                  weights[p] / sum * qkv[(starts[s] + p) * 3 * width + 2 * width + h * dim + d];
        }
      }
    }
    std::vector<float> first;
    for (int threads : {1, 2, 3}) {
      std::vector<float> found(n * width);
      tensor::AlignedBuffer<std::byte> scratch(
          segment_attention_scratch_bytes(threads, 335, heads, dim));
      segment_attention(context(threads), {qkv.data(), n, 3 * width}, heads, dim, starts,
                        1 / std::sqrt(float(dim)), {found.data(), n, width, width}, scratch.span());
      EXPECT_LT(relative_difference(found, expected), 2e-6) << dim;
      if (threads == 1) first = found;
      EXPECT_TRUE(same_bits(found, first));
    }
  }
}

INSTANTIATE_OPS_TEST(AttentionTest);

}  // namespace
}  // namespace godwit::kernels
