// The gated delta rule: steps and chunks against the formula in double, cuts, logs, threads.
#include "tests/kernels/ops_testing.h"

namespace godwit::kernels {
namespace {

struct Case {
  DeltaRuleShape shape;
  int64_t tokens;
  std::vector<float> qkv, beta, log_decay, state;
  int64_t width() const {
    return 2 * shape.key_heads * shape.key_dim + shape.value_heads * shape.value_dim;
  }
  int64_t out_width() const { return shape.value_heads * shape.value_dim; }
};

// Heads in turn: ordinary decay, hardly any, forgetting at once (exponentials underflow), and both
// by turns.
Case make_case(DeltaRuleShape shape, int64_t tokens, unsigned seed) {
  Case c{shape, tokens, {}, {}, {}, {}};
  c.qkv = random_floats(tokens * c.width(), seed);
  c.beta = random_floats(tokens * shape.value_heads, seed + 1);
  for (float& b : c.beta) b = 1 / (1 + std::exp(-b));
  c.log_decay.resize(tokens * shape.value_heads);
  const auto noise = random_floats(c.log_decay.size(), seed + 2);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int h = 0; h < shape.value_heads; ++h) {
      const int64_t i = t * shape.value_heads + h;
      const float scale[] = {-0.1f, -1e-4f, -80.f, t % 7 == 3 ? -60.f : -0.01f};
      c.log_decay[i] = scale[h % 4] * (1 + 0.5f * std::abs(noise[i]));
    }
  }
  c.state = random_floats(shape.value_heads * shape.key_dim * shape.value_dim, seed + 3, 0.3f);
  return c;
}

struct Reference {
  std::vector<double> out, state;
};

Reference in_double(const Case& c) {
  const DeltaRuleShape& s = c.shape;
  Reference r{std::vector<double>(c.tokens * c.out_width()), {c.state.begin(), c.state.end()}};
  for (int h = 0; h < s.value_heads; ++h) {
    const int source = s.gguf_head_order ? h % s.key_heads : h / (s.value_heads / s.key_heads);
    double* state = r.state.data() + int64_t{h} * s.key_dim * s.value_dim;
    for (int64_t t = 0; t < c.tokens; ++t) {
      const float* q = c.qkv.data() + t * c.width() + source * s.key_dim;
      const float* k = q + s.key_heads * s.key_dim;
      const float* v = c.qkv.data() + t * c.width() + 2 * s.key_heads * s.key_dim + h * s.value_dim;
      double qq = 1e-6, kk = 1e-6;
      for (int i = 0; i < s.key_dim; ++i) qq += double(q[i]) * q[i], kk += double(k[i]) * k[i];
      const double q_scale = 1 / std::sqrt(qq * s.key_dim), k_scale = 1 / std::sqrt(kk);
      const double decay = std::exp(double(c.log_decay[t * s.value_heads + h])),
                   beta = c.beta[t * s.value_heads + h];
      for (int j = 0; j < s.value_dim; ++j) {
        double memory = 0, out = 0;
        for (int i = 0; i < s.key_dim; ++i)
          memory += (state[i * s.value_dim + j] *= decay) * k[i] * k_scale;
        const double delta = beta * (v[j] - memory);
        for (int i = 0; i < s.key_dim; ++i)
          out += (state[i * s.value_dim + j] += delta * k[i] * k_scale) * q[i] * q_scale;
        r.out[t * c.out_width() + h * s.value_dim + j] = out;
      }
    }
  }
  return r;
}

struct Result {
  std::vector<float> out, state, factors;
};

// Feeds the case in calls that end at each of `cuts` and at the end.
Result run(const Context& context, const Case& c, std::vector<int64_t> cuts = {}) {
  const DeltaRuleShape& s = c.shape;
  Result r{
      std::vector<float>(c.tokens * c.out_width()), std::vector<float>(c.state.size(), NAN), {}};
  const int64_t entry = s.value_heads * (s.key_dim + s.value_dim + 1);
  r.factors.resize(c.tokens * entry);
  tensor::AlignedBuffer<std::byte> scratch(
      delta_rule_scratch_bytes(context.pool->threads(), c.tokens, s));
  cuts.push_back(c.tokens);
  int64_t begin = 0;
  for (int64_t end : cuts) {
    const int64_t n = end - begin;
    delta_rule(
        context, {c.qkv.data() + begin * c.width(), n, c.width()},
        {c.beta.data() + begin * s.value_heads, n, s.value_heads},
        {c.log_decay.data() + begin * s.value_heads, n, s.value_heads}, s,
        {r.state.data(), begin == 0 ? c.state.data() : nullptr}, {r.factors.data() + begin * entry},
        {r.out.data() + begin * c.out_width(), n, c.out_width(), c.out_width()}, scratch.span());
    begin = end;
  }
  return r;
}

std::vector<int64_t> every_token(int64_t tokens) {
  std::vector<int64_t> cuts;
  for (int64_t t = 1; t < tokens; ++t) cuts.push_back(t);
  return cuts;
}

constexpr DeltaRuleShape kReal{2, 4, 128, 128}, kSmall{2, 4, 16, 16}, kUneven{1, 4, 48, 80},
    kGguf{2, 6, 32, 32, true};

class DeltaRuleTest : public OpsTest {};

TEST_P(DeltaRuleTest, FollowsTheFormulaAtEveryLength) {
  for (const DeltaRuleShape& shape : {kReal, kSmall, kUneven, kGguf}) {
    for (int64_t tokens : {1, 2, 16, 17, 33, 63, 64, 65, 128, 130, 200}) {
      const Case c = make_case(shape, tokens, 7 * tokens);
      const Reference expected = in_double(c);
      const Result found = run(context(), c);
      EXPECT_LT(relative_difference(found.out, expected.out), 3e-6) << tokens;
      EXPECT_LT(relative_difference(found.state, expected.state), 3e-6) << tokens;
    }
  }
}

TEST_P(DeltaRuleTest, CutsDoNotMatter) {
  const Case c = make_case(kReal, 130, 5);
  const Result whole = run(context(), c);
  for (const auto& cuts :
       {std::vector<int64_t>{1}, {64}, {63, 64}, {17, 100}, {129}, every_token(130)}) {
    const Result found = run(context(), c, cuts);
    EXPECT_LT(relative_difference(found.out, whole.out), 3e-6);
    EXPECT_LT(relative_difference(found.state, whole.state), 3e-6);
    EXPECT_LT(relative_difference(found.factors, whole.factors), 3e-6);
  }
}

TEST_P(DeltaRuleTest, AFewTokensAtOnceHaveTheBitsOfSingleOnes) {
  const Case c = make_case(kReal, 8, 6);
  const Result together = run(context(), c), alone = run(context(), c, every_token(8));
  EXPECT_TRUE(same_bits(together.out, alone.out));
  EXPECT_TRUE(same_bits(together.state, alone.state));
  EXPECT_TRUE(same_bits(together.factors, alone.factors));
}

TEST_P(DeltaRuleTest, CutsBetweenChunksDoNotChangeABit) {
  for (int64_t tokens : {65, 72, 80, 81, 96, 127}) {
    const Case c = make_case(kReal, tokens, 12);
    const Result whole = run(context(), c);
    for (const auto& cuts : {std::vector<int64_t>{64}, {32}, {32, 64}}) {
      const Result found = run(context(), c, cuts);
      EXPECT_TRUE(same_bits(found.out, whole.out) && same_bits(found.state, whole.state) &&
                  same_bits(found.factors, whole.factors))
          << tokens;
    }
  }
}

TEST_P(DeltaRuleTest, ReplayingTheLogLeavesTheSameState) {
  const Case c = make_case(kReal, 9, 8);
  const int64_t entry = kReal.value_heads * (kReal.key_dim + kReal.value_dim + 1);
  const Result found = run(context(), c, every_token(9));
  std::vector<float> state = c.state;
  delta_replay(context(), found.factors.data(), 4, kReal, state.data());
  EXPECT_FALSE(same_bits(state, found.state));
  delta_replay(context(), found.factors.data() + 4 * entry, 5, kReal, state.data());
  EXPECT_TRUE(same_bits(state, found.state));
  std::vector<float> elsewhere(state.size(), NAN);
  delta_replay(context(), found.factors.data(), 9, kReal, {elsewhere.data(), c.state.data()});
  EXPECT_TRUE(same_bits(elsewhere, found.state));
  delta_replay(context(), nullptr, 0, kReal, {elsewhere.data(), c.state.data()});
  EXPECT_TRUE(same_bits(elsewhere, c.state));

  const Case longer = make_case(kReal, 100, 9);  // logged by chunks
  const Result chunked = run(context(), longer);
  state = longer.state;
  delta_replay(context(), chunked.factors.data(), 100, kReal, state.data());
  EXPECT_LT(relative_difference(state, chunked.state), 3e-6);
}

TEST_P(DeltaRuleTest, ThreadsDoNotChangeABit) {
  for (int64_t tokens : {1, 5, 130}) {
    const Case c = make_case(kReal, tokens, 10);
    const Result one = run(context(1), c);
    for (int threads : {2, 3}) {
      const Result more = run(context(threads), c);
      EXPECT_TRUE(same_bits(more.out, one.out) && same_bits(more.state, one.state) &&
                  same_bits(more.factors, one.factors))
          << tokens;
    }
  }
}

TEST_P(DeltaRuleTest, KeysThatVanishDoNotDivideByZero) {
  Case c = make_case(kSmall, 70, 11);
  std::fill(c.qkv.begin(), c.qkv.begin() + 40 * c.width(), 0.0f);
  const Result found = run(context(), c);
  EXPECT_LT(relative_difference(found.out, in_double(c).out), 3e-6);
}

INSTANTIATE_OPS_TEST(DeltaRuleTest);

}  // namespace
}  // namespace godwit::kernels
