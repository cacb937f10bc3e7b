// Row operations against their formulas in double, over odd widths, strides and misalignments;
// threads do not change a bit.
#include <functional>

#include "tests/kernels/ops_testing.h"

namespace godwit::kernels {
namespace {

using tensor::ConstMatrixView;
using tensor::MatrixView;

// Rows of `columns` values in a wider, oddly aligned buffer, with sentinels between them.
struct Matrix {
  Matrix(int64_t r, int64_t c, std::vector<float> values)
      : rows(r), columns(c), stride(c + 3), memory(r * stride + 1, kSentinel) {
    for (int64_t i = 0; i < r; ++i)
      std::copy_n(values.data() + i * c, c, memory.data() + 1 + i * stride);
  }
  Matrix(int64_t r, int64_t c, unsigned seed, float size = 1)
      : Matrix(r, c, random_floats(r * c, seed, size)) {}
  MatrixView view() { return {memory.data() + 1, rows, columns, stride}; }
  std::vector<float> values() {
    std::vector<float> result;
    for (int64_t i = 0; i < rows; ++i) {
      result.insert(result.end(), view().row(i), view().row(i) + columns);
      for (int64_t j = columns; j < stride && i * stride + j + 1 < int64_t(memory.size()); ++j)
        EXPECT_EQ(view().row(i)[j], kSentinel) << "written beyond a row's end";
    }
    return result;
  }
  static constexpr float kSentinel = 12345.5f;
  int64_t rows, columns, stride;
  std::vector<float> memory;
};

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }

class OpsRowsTest : public OpsTest {
 protected:
  // `op` works on a fresh matrix of `rows` × `columns` that it makes; the result is compared with
  // `expected`, and across threads.
  using Op = std::function<std::vector<float>(const Context&)>;
  void check(const Op& op, const std::vector<double>& expected, double tolerance = 4e-7) {
    const auto one = op(context(1));
    EXPECT_LT(relative_difference(one, expected), tolerance);
    for (int threads : {2, 3})
      EXPECT_TRUE(same_bits(op(context(threads)), one)) << threads << " threads";
  }
};

constexpr std::pair<int64_t, int64_t> kSizes[] = {{1, 1},   {3, 7},     {2, 16},  {5, 33},
                                                  {1, 172}, {70, 1024}, {2, 3585}};

TEST_P(OpsRowsTest, RmsNorm) {
  for (const auto& [rows, n] : kSizes) {
    Matrix x(rows, n, n);
    const auto weight = random_floats(n, 2);
    std::vector<double> expected;
    for (int64_t t = 0; t < rows; ++t) {
      double squares = 0;
      for (int64_t j = 0; j < n; ++j) squares += double(x.view().row(t)[j]) * x.view().row(t)[j];
      for (int64_t j = 0; j < n; ++j)
        expected.push_back(x.view().row(t)[j] / std::sqrt(squares / n + 1e-6) * weight[j]);
    }
    check(
        [&, rows = rows, n = n](const Context& context) {
          Matrix out(rows, n, 9);
          rms_norm(context, x.view(), weight.data(), 1e-6f, out.view());
          return out.values();
        },
        expected);
  }
}

TEST_P(OpsRowsTest, LayerNorm) {
  for (const auto& [rows, n] : kSizes) {
    Matrix x(rows, n, n);
    for (int64_t t = 0; t < rows; ++t) x.view().row(t)[0] += 5;
    const auto weight = random_floats(n, 2), bias = random_floats(n, 3);
    std::vector<double> expected;
    for (int64_t t = 0; t < rows; ++t) {
      double mean = 0, variance = 0;
      for (int64_t j = 0; j < n; ++j) mean += double(x.view().row(t)[j]) / n;
      for (int64_t j = 0; j < n; ++j) variance += std::pow(x.view().row(t)[j] - mean, 2) / n;
      for (int64_t j = 0; j < n; ++j)
        expected.push_back((x.view().row(t)[j] - mean) / std::sqrt(variance + 1e-6) * weight[j] +
                           bias[j]);
    }
    check(
        [&, rows = rows, n = n](const Context& context) {
          Matrix out(rows, n, 9);
          layer_norm(context, x.view(), weight.data(), bias.data(), 1e-6f, out.view());
          return out.values();
        },
        expected, 2e-6);
  }
}

TEST_P(OpsRowsTest, PointwiseOperations) {
  struct Row {
    const char* name;
    std::function<double(double x, double y)> formula;
    std::function<void(const Context&, ConstMatrixView x, MatrixView y)>
        op;  // y becomes the result
  };
  const double root = std::sqrt(2 / M_PI);
  const Row table[] = {
      {"add", [](double x, double y) { return x + y; }, add},
      {"silu_mul", [](double x, double y) { return x * sigmoid_of(x) * y; },
       [](const Context& c, ConstMatrixView x, MatrixView y) { silu_mul(c, x, y, y); }},
      {"gelu_tanh",
       [&](double, double y) {
         return 0.5 * y * (1 + std::tanh(root * (y + 0.044715 * y * y * y)));
       },
       [](const Context& c, ConstMatrixView, MatrixView y) { gelu_tanh(c, y); }},
      {"gelu_erf", [](double, double y) { return 0.5 * y * (1 + std::erf(y * M_SQRT1_2)); },
       [](const Context& c, ConstMatrixView, MatrixView y) { gelu_erf(c, y); }},
      {"sigmoid", [](double, double y) { return sigmoid_of(y); },
       [](const Context& c, ConstMatrixView, MatrixView y) { sigmoid(c, y); }},
  };
  for (const Row& row : table) {
    SCOPED_TRACE(row.name);
    for (const auto& [rows, n] : kSizes) {
      for (float size : {1.f, 30.f}) {
        Matrix x(rows, n, n, size), y(rows, n, n + 1, size);
        const auto a = x.values(), b = y.values();
        std::vector<double> expected;
        for (size_t i = 0; i < a.size(); ++i) expected.push_back(row.formula(a[i], b[i]));
        check(
            [&](const Context& context) {
              Matrix out = y;
              row.op(context, x.view(), out.view());
              return out.values();
            },
            expected);
      }
    }
  }
}

TEST_P(OpsRowsTest, AddScaledRows) {
  const int64_t rows = 40, n = 600;
  Matrix x(rows, n, 1), start(5, n, 2);
  const auto scale = random_floats(rows, 3);
  std::vector<int32_t> target(rows);
  auto initial = start.values();
  std::vector<double> expected(initial.begin(), initial.end());
  for (int64_t i = 0; i < rows; ++i) {
    target[i] = i * 7 % 5;
    for (int64_t j = 0; j < n; ++j)
      expected[target[i] * n + j] += double(scale[i]) * x.view().row(i)[j];
  }
  check(
      [&](const Context& context) {
        Matrix out = start;
        add_scaled_rows(context, x.view(), scale.data(), target.data(), out.view());
        return out.values();
      },
      expected);
}

TEST_P(OpsRowsTest, HeadNormAndRope) {
  for (const auto& [rows, heads, dim, half, gap] :
       {std::array{1, 2, 256, 32, 256}, {70, 8, 64, 16, 64}, {3, 3, 20, 5, 0}}) {
    const int stride = dim + gap;
    Matrix x(rows, heads * stride, dim);
    const auto weight = random_floats(dim, 2), cos = random_floats(rows * half, 3),
               sin = random_floats(rows * half, 4);
    for (const bool norm : {false, true}) {
      const auto before = x.values();
      std::vector<double> expected(before.begin(), before.end());
      for (int64_t t = 0; t < rows; ++t) {
        for (int h = 0; h < heads; ++h) {
          double* head = expected.data() + t * heads * stride + h * stride;
          double squares = 0;
          for (int i = 0; i < dim; ++i) squares += head[i] * head[i];
          for (int i = 0; norm && i < dim; ++i)
            head[i] *= weight[i] / std::sqrt(squares / dim + 1e-6);
          for (int i = 0; i < half; ++i) {
            const double a = head[i], b = head[i + half], c = cos[t * half + i],
                         s = sin[t * half + i];
            head[i] = a * c - b * s, head[i + half] = b * c + a * s;
          }
        }
      }
      check(
          [&, heads = heads, dim = dim, half = half](const Context& context) {
            Matrix out = x;
            if (norm) {
              head_norm_rope(context, out.view(), heads, dim, stride, weight.data(), 1e-6f, half,
                             cos.data(), sin.data());
            } else {
              apply_rope(context, out.view(), heads, stride, half, cos.data(), sin.data());
            }
            return out.values();
          },
          expected);
    }
  }
}

TEST_P(OpsRowsTest, GatedRmsNorm) {
  for (const auto& [rows, heads, dim] : {std::array{1, 16, 128}, {70, 4, 128}, {3, 3, 20}}) {
    Matrix x(rows, heads * dim, 1), z(rows, heads * dim, 2, 3);
    const auto weight = random_floats(dim, 3);
    std::vector<double> expected;
    for (int64_t t = 0; t < rows; ++t) {
      for (int64_t i = 0; i < heads * dim; ++i) {
        const float* head = x.view().row(t) + i / dim * dim;
        double squares = 0;
        for (int j = 0; j < dim; ++j) squares += double(head[j]) * head[j];
        const double gate = z.view().row(t)[i];
        expected.push_back(weight[i % dim] * x.view().row(t)[i] / std::sqrt(squares / dim + 1e-6) *
                           gate * sigmoid_of(gate));
      }
    }
    check(
        [&, heads = heads, dim = dim](const Context& context) {
          Matrix out = x;
          gated_rms_norm(context, out.view(), z.view(), weight.data(), heads, dim, 1e-6f,
                         out.view());
          return out.values();
        },
        expected, 1e-6);
  }
}

TEST_P(OpsRowsTest, CausalConvolutionAndItsState) {
  for (const auto& [rows, channels] : {std::pair{1, 6144}, {2, 40}, {3, 5}, {70, 1100}}) {
    Matrix x(rows, channels, 1);
    const auto weight = random_floats(channels * 4, 2), start = random_floats(3 * channels, 3);
    const auto input = [&, channels = channels](int64_t t, int64_t c) -> double {
      return t < 0 ? start[(t + 3) * channels + c] : x.view().row(t)[c];
    };
    std::vector<double> expected;
    for (int64_t t = 0; t < rows; ++t) {
      for (int64_t c = 0; c < channels; ++c) {
        double sum = 0;
        for (int j = 0; j < 4; ++j) sum += weight[c * 4 + j] * input(t - 3 + j, c);
        expected.push_back(sum * sigmoid_of(sum));
      }
    }
    for (int64_t t = rows - 3; t < rows; ++t)
      for (int64_t c = 0; c < channels; ++c) expected.push_back(input(t, c));
    for (const int64_t cut : {0, 1, 2, 33}) {
      if (cut >= rows) continue;
      check(
          [&, rows = rows, channels = channels](const Context& context) {
            Matrix out(rows, channels, 9);
            auto state = start;
            const auto part = [](MatrixView m, int64_t begin, int64_t end) {
              return MatrixView{m.row(begin), end - begin, m.columns, m.stride};
            };
            if (cut > 0)
              causal_conv_silu(context, part(x.view(), 0, cut), weight.data(), state.data(),
                               part(out.view(), 0, cut));
            causal_conv_silu(context, part(x.view(), cut, rows), weight.data(), state.data(),
                             part(out.view(), cut, rows));
            auto result = out.values();
            result.insert(result.end(), state.begin(), state.end());
            return result;
          },
          expected);
    }
  }
}

TEST_P(OpsRowsTest, DeltaGates) {
  const int64_t rows = 200, heads = 5;
  Matrix a(rows, heads, 1, 20), b(rows, heads, 2, 20);
  const auto coefficient = random_floats(heads, 3), bias = random_floats(heads, 4, 50);
  std::vector<double> expected;
  for (int64_t i = 0; i < rows * heads; ++i)
    expected.push_back(sigmoid_of(b.view().row(i / heads)[i % heads]));
  for (int64_t i = 0; i < rows * heads; ++i) {
    const double x = a.view().row(i / heads)[i % heads] + bias[i % heads];
    expected.push_back(coefficient[i % heads] * (x > 30 ? x : std::log1p(std::exp(x))));
  }
  check(
      [&](const Context& context) {
        Matrix beta(rows, heads, 9), log_decay(rows, heads, 9);
        delta_gates(context, b.view(), a.view(), coefficient.data(), bias.data(), beta.view(),
                    log_decay.view());
        auto result = beta.values();
        for (float value : log_decay.values()) result.push_back(value);
        return result;
      },
      expected);
}

TEST_P(OpsRowsTest, ExponentialToTwoUnitsInTheLastPlace) {
  std::vector<float> x;
  for (float v = -110; v < 95; v += 0.00917f) x.push_back(v);
  x.insert(x.end(),
           {0.f, -0.f, INFINITY, -INFINITY, NAN, 88.7228f, 88.73f, -87.34f, 1e30f, -1e30f});
  std::vector<float> y(x.size());
  context().table->exp_row(x.data(), x.size(), y.data());
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = std::exp(double(x[i]));
    if (std::isnan(x[i])) {
      EXPECT_TRUE(std::isnan(y[i]));
    } else if (expected > 3.4028235e38) {
      EXPECT_EQ(y[i], INFINITY) << x[i];
    } else if (expected < 1.2e-38) {  // below the normal numbers
      EXPECT_NEAR(y[i], expected, 1e-44) << x[i];
    } else {
      EXPECT_NEAR(y[i] / expected, 1, 1.25e-7) << x[i];
    }
  }
}

TEST_P(OpsRowsTest, ChooseExperts) {
  const int64_t experts = 9;
  std::vector<float> logits = {1, 5, 3, 5, 2, 5, 0, 0, 0, /**/ -1, -2, -3, -4, -5, -6, -7, -8, -9};
  std::vector<int32_t> chosen(4);
  std::vector<float> weight(4);
  choose_experts(context(), {logits.data(), 2, experts}, 2, chosen.data(), weight.data());
  EXPECT_EQ(chosen, (std::vector<int32_t>{1, 3, 0, 1}));  // among equals the lower
  EXPECT_NEAR(weight[0], 0.5, 1e-7);
  EXPECT_NEAR(weight[2], 1 / (1 + std::exp(-1)), 1e-7);
  EXPECT_NEAR(weight[2] + weight[3], 1, 1e-7);
}

INSTANTIATE_OPS_TEST(OpsRowsTest);

}  // namespace
}  // namespace godwit::kernels
