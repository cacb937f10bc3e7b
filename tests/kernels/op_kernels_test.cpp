// Every kernel of rows.inl, gemm.inl, delta.inl and attend.inl, in every version that this machine
// runs, against its scalar version: many sizes, every misalignment, nothing written beyond the
// ends. A row of kernels.def that is missing here fails the last test.
#include <functional>
#include <map>
#include <set>

#include "tests/kernels/ops_testing.h"

namespace godwit::kernels {
namespace {

// Buffers of one call: inputs and outputs at an odd offset inside larger memory; outputs are
// compared.
class Arena {
 public:
  Arena(int offset, unsigned seed) : offset_(offset), seed_(seed) {}
  float* in(int64_t n, float size = 1) { return place(random_floats(n, seed_++, size)); }
  float* out(int64_t n, float size = 1) {  // starts with values that the kernel may add to
    outputs_.push_back(buffers_.size());
    return in(n, size);
  }
  unsigned char* bytes(int64_t n) {
    outputs_.push_back(buffers_.size());
    auto* floats = place(std::vector<float>((n + 3) / 4, 1.0f));
    return reinterpret_cast<unsigned char*>(floats);
  }
  // All outputs, with what lies before and after them.
  std::vector<float> result() const {
    std::vector<float> all;
    for (size_t i : outputs_) all.insert(all.end(), buffers_[i].begin(), buffers_[i].end());
    return all;
  }

 private:
  float* place(const std::vector<float>& values) {
    buffers_.emplace_back(values.size() + 64, -7.25f);
    float* target = buffers_.back().data() + 16 + offset_;
    std::copy(values.begin(), values.end(), target);
    return target;
  }
  int offset_;
  unsigned seed_;
  std::vector<std::vector<float>> buffers_;
  std::vector<size_t> outputs_;
};

// Runs a kernel of `table` in sizes that follow from n ≥ 1.
using Call = std::function<void(const KernelTable& table, Arena& arena, int64_t n)>;

int64_t to16(int64_t n) { return (n + 15) / 16 * 16; }

KvType kv_type_of(int64_t n) { return static_cast<KvType>(n % 4); }
int64_t kv_bytes(KvType type, int64_t dim) {
  return type == kKvF32 ? dim * 4 : type == kKvQ8_0 ? dim / 32 * 34 : dim * 2;
}
// `count` stored rows of random values, the same for every table.
unsigned char* stored_rows(Arena& arena, KvType type, int64_t count, int64_t dim) {
  auto* rows = reinterpret_cast<unsigned char*>(arena.in(count * kv_bytes(type, dim) / 4 + 1));
  const float* values = arena.in(count * dim);
  for (int64_t i = 0; i < count; ++i)
    kernel_table(Isa::kScalar)
        .kv_from_f32(type, values + i * dim, dim, rows + i * kv_bytes(type, dim));
  return rows;
}

const std::map<std::string, Call>& calls() {
  static const std::map<std::string, Call> table = {
      {"rms_norm_row",
       [](auto& t, Arena& a, int64_t n) { t.rms_norm_row(a.in(n), a.in(n), 1e-6f, n, a.out(n)); }},
      {"layer_norm_row",
       [](auto& t, Arena& a, int64_t n) {
         t.layer_norm_row(a.in(n), a.in(n), a.in(n), 1e-6f, n, a.out(n));
       }},
      {"add_row", [](auto& t, Arena& a, int64_t n) { t.add_row(a.in(n), n, a.out(n)); }},
      {"add_scaled_row",
       [](auto& t, Arena& a, int64_t n) { t.add_scaled_row(a.in(n), 0.7f, n, a.out(n)); }},
      {"scale_row", [](auto& t, Arena& a, int64_t n) { t.scale_row(a.in(n), 0.7f, n, a.out(n)); }},
      {"silu_mul_row",
       [](auto& t, Arena& a, int64_t n) { t.silu_mul_row(a.in(n, 9), a.in(n), n, a.out(n)); }},
      {"sigmoid_mul_row",
       [](auto& t, Arena& a, int64_t n) { t.sigmoid_mul_row(a.in(n, 9), n, a.out(n)); }},
      {"gelu_tanh_row", [](auto& t, Arena& a, int64_t n) { t.gelu_tanh_row(a.out(n, 3), n); }},
      {"gelu_erf_row", [](auto& t, Arena& a, int64_t n) { t.gelu_erf_row(a.out(n, 3), n); }},
      {"exp_row", [](auto& t, Arena& a, int64_t n) { t.exp_row(a.in(n, 3), n, a.out(n)); }},
      {"rope_row",
       [](auto& t, Arena& a, int64_t n) { t.rope_row(a.out(2 * n), n, a.in(n), a.in(n)); }},
      {"gated_rms_norm_row",
       [](auto& t, Arena& a, int64_t n) {
         t.gated_rms_norm_row(a.in(n), a.in(n, 3), a.in(n), 1e-6f, n, a.out(n));
       }},
      {"l2_norm_row",
       [](auto& t, Arena& a, int64_t n) { t.l2_norm_row(a.in(n), 1e-6f, 0.3f, n, a.out(n)); }},
      {"conv_silu_rows",
       [](auto& t, Arena& a, int64_t n) {
         const int64_t rows = 1 + n % 6;
         t.conv_silu_rows(a.in(rows * (n + 3)), n + 3, rows, a.in(4 * n), a.out(3 * (n + 1)), n + 1,
                          n, a.out(rows * (n + 2)), n + 2);
       }},
      {"delta_step",
       [](auto& t, Arena& a, int64_t n) {
         const int64_t dk = n % 40 + 1, dv = to16(n);
         t.delta_step(a.in(dk, 0.3f), a.in(dk, 0.3f), a.in(dv), 0.4f, 0.9f, a.out(dk * dv), dk, dv,
                      a.out(dv), a.out(dv));
       }},
      {"delta_replay_step",
       [](auto& t, Arena& a, int64_t n) {
         t.delta_replay_step(a.in(n % 40 + 1), a.in(to16(n)), 0.9f, a.out((n % 40 + 1) * to16(n)),
                             n % 40 + 1, to16(n));
       }},
      {"decay_triangle_row",
       [](auto& t, Arena& a, int64_t n) {
         t.decay_triangle_row(a.out(to16(n)), -0.3f, 0.6f, n - 1, a.out(to16(n)), a.out(to16(n)),
                              to16(n));
       }},
      {"delta_residual_row",
       [](auto& t, Arena& a, int64_t n) {
         t.delta_residual_row(a.in(n), a.in(n), 0.4f, 0.8f, n, a.out(n));
       }},
      {"solve_unit_lower",
       [](auto& t, Arena& a, int64_t n) {
         const int64_t m = n % 20 + 1;
         t.solve_unit_lower(m, a.in(m * 21, 0.1f), 21, a.out(m * (to16(n) + 3)), to16(n) + 3,
                            to16(n));
       }},
      {"gemm",
       [](auto& t, Arena& a, int64_t n) {
         const int64_t m = n % 15 + 1, k = n % 37 + 1, columns = to16(n);
         t.gemm(m, columns, k, a.in(m * (k + 1)), k + 1, a.in(k * (columns + 2)), columns + 2,
                n % 2 ? a.in(m) : nullptr, a.out(m * (columns + 3)), columns + 3);
       }},
      {"transpose",
       [](auto& t, Arena& a, int64_t n) {
         const int64_t rows = to16(n % 40), columns = n / 4 * 4;
         t.transpose(a.in(rows * (columns + 1)), columns + 1, rows, columns,
                     a.out((columns + 1) * (rows + 1)), rows + 1);
       }},
      {"softmax_step",
       [](auto& t, Arena& a, int64_t n) {
         float* sums = a.out(3, 0.5f);
         sums[1] = 2;
         sums[2] = t.softmax_step(a.out(n + 5), n, n + 5, 0.4f, sums, sums + 1);
         if (n % 3 == 0) t.softmax_step(a.out(n), 0, n, 0.4f, sums, sums + 1);  // nothing visible
       }},
      {"kv_from_f32",
       [](auto& t, Arena& a, int64_t n) {
         const int64_t dim = (n + 31) / 32 * 32;
         t.kv_from_f32(kv_type_of(n), a.in(dim), dim, a.bytes(kv_bytes(kv_type_of(n), dim)));
       }},
      {"kv_to_f32",
       [](auto& t, Arena& a, int64_t n) {
         const int64_t dim = (n + 31) / 32 * 32, count = n % 5 + 1;
         const KvType type = kv_type_of(n);
         t.kv_to_f32(type, stored_rows(a, type, count, dim), kv_bytes(type, dim), count, dim,
                     a.out(count * (dim + 1)), dim + 1);
       }},
      {"attend_scores",
       [](auto& t, Arena& a, int64_t n) {
         const int64_t dim = (n % 300 + 31) / 32 * 32, count = n % 11 + 1, heads = n % 7 + 1;
         const KvType type = kv_type_of(n);
         const unsigned char* keys = stored_rows(a, type, count, dim);
         t.attend_scores(type, a.in(heads * (dim + 1)), dim + 1, heads, keys, kv_bytes(type, dim),
                         count, dim, a.out(heads * 12), 12, keys);
       }},
      {"attend_values",
       [](auto& t, Arena& a, int64_t n) {
         const int64_t dim = (n % 300 + 31) / 32 * 32, count = n % 11 + 1, heads = n % 7 + 1;
         const KvType type = kv_type_of(n);
         t.attend_values(type, a.in(heads * 12), 12, heads, stored_rows(a, type, count, dim),
                         kv_bytes(type, dim), count, dim, a.in(heads), a.out(heads * (dim + 1)),
                         dim + 1, nullptr);
       }},
  };
  return table;
}

class OpKernelsTest : public testing::TestWithParam<Isa> {};

TEST_P(OpKernelsTest, AgreeWithScalar) {
  if (!cpu_has(GetParam())) GTEST_SKIP() << "this machine has no " << isa_name(GetParam());
  const KernelTable& scalar = kernel_table(Isa::kScalar);
  const KernelTable& table = kernel_table(GetParam());
  ASSERT_EQ(table.isa, GetParam());
  ASSERT_NE(table.rms_norm_row, scalar.rms_norm_row) << "the scalar version stands in";
  for (const auto& [name, call] : calls()) {
    SCOPED_TRACE(name);
    for (int64_t n = 1; n < 700; n += n < 40 ? 1 : 37) {
      for (int offset : {0, 1, 2, 3, 4, 7, 8, 15}) {
        Arena found(offset, n), expected(offset, n);
        call(table, found, n);
        call(scalar, expected, n);
        if (name == "kv_from_f32") {
          ASSERT_TRUE(same_bits(found.result(), expected.result())) << n << " + " << offset;
        } else {
          ASSERT_LT(relative_difference(found.result(), expected.result()), 2e-6)
              << n << " + " << offset;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, OpKernelsTest, testing::Values(Isa::kAvx2, Isa::kAvx512, Isa::kNeon),
                         [](const auto& param) { return test_name(param.param); });

TEST(OpKernels, EveryRowOfTheListIsTested) {
  const std::set<std::string> listed = {
#define OPERATION(name) #name,
#include "kernels/kernels.def"
  };
  std::set<std::string> tested;
  for (const auto& [name, call] : calls()) tested.insert(name);
  EXPECT_EQ(tested, listed);
}

}  // namespace
}  // namespace godwit::kernels
