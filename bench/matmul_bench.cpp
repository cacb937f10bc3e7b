// Speed of the products: weights of each type that exceed the caches are read once a pass (1 … 8
// rows: GB/s of packed bytes), or one matrix is multiplied by many rows (GMAC/s). Compare with the
// machine's own limits, measured in the same minute.
//
//   matmul_bench [isa] [threads] [type,type,…] [rows,rows,…] [weight rows] [columns]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/matmul.h"
#include "kernels/pack.h"

namespace godwit::kernels {
namespace {

using tensor::DType;

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::istringstream in(list);
  for (std::string part; std::getline(in, part, ',');) parts.push_back(part);
  return parts;
}

// With one thread its own CPU time: other programs' turns do not count.
double seconds_now(int threads) {
  timespec now;
  clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return now.tv_sec + 1e-9 * now.tv_nsec;
}

struct Setup {
  int64_t weight_rows, columns;
  std::vector<PackedMatrix> weights;  // together larger than the caches
};

Setup make_weights(const Context& context, DType dtype, int64_t rows, int64_t columns) {
  Setup setup{rows, columns, {}};
  std::vector<std::byte> bytes(*tensor::bytes_of(dtype, rows * columns), std::byte{0x21});
  const size_t one = packed_bytes(dtype, rows, columns);
  const int copies = static_cast<int>(std::clamp<size_t>((size_t{200} << 20) / one, 1, 200));
  for (int i = 0; i < copies; ++i)
    setup.weights.push_back(PackedMatrix::pack(context, {bytes.data(), dtype, {rows, columns}}));
  return setup;
}

// Seconds of one product: the best of several passes over all copies.
double measure(const Context& context, const Setup& setup, int64_t rows) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> x(rows * setup.columns), out(rows * setup.weight_rows);
  for (auto& v : x) v = normal(random);
  std::vector<std::byte> scratch(matmul_scratch_bytes(rows, setup.columns));
  const size_t used = rows <= 8 ? setup.weights.size() : std::min<size_t>(setup.weights.size(), 4);
  std::vector<double> times;
  for (int pass = 0; pass < 9; ++pass) {
    const double start = seconds_now(context.pool->threads());
    for (size_t i = 0; i < used; ++i) {
      const Product product{
          &setup.weights[i], 0, -1, {out.data(), rows, setup.weight_rows, setup.weight_rows}};
      matmul(context, {x.data(), rows, setup.columns}, std::span(&product, 1), scratch);
    }
    times.push_back((seconds_now(context.pool->threads()) - start) / used);
  }
  return *std::min_element(times.begin(), times.end());
}

int run(int argc, char** argv) {
  auto argument = [&](int i, const char* otherwise) {
    return std::string(i < argc ? argv[i] : otherwise);
  };
  const std::string isa_wanted = argument(1, "best");
  const auto isa = isa_wanted == "best" ? Result<Isa>(best_isa()) : parse_isa(isa_wanted);
  if (!isa || !cpu_has(*isa))
    return std::fprintf(stderr, "no such instruction set here: %s\n", isa_wanted.c_str()), 2;
  ComputePool pool(std::max(1, std::atoi(argument(2, "2").c_str())));
  const Context context{&pool, &kernel_table(*isa)};
  const int64_t weight_rows = std::atoll(argument(5, "3584").c_str()),
                columns = std::atoll(argument(6, "1024").c_str());
  for (const auto& type :
       split(argument(3, "Q8_0,Q4_0,Q4_K,Q5_K,Q6_K,IQ4_NL,IQ4_XS,MXFP4,Q5_0,BF16,F16,F32"))) {
    const auto* info = tensor::find_dtype(type);
    if (!info) return std::fprintf(stderr, "unknown type %s\n", type.c_str()), 2;
    const double start = seconds_now(context.pool->threads());
    const Setup setup = make_weights(context, info->dtype, weight_rows, columns);
    const double pack = (seconds_now(context.pool->threads()) - start) / setup.weights.size();
    std::printf("%-7s %-12s pack %.2f GB/s\n", type.c_str(), std::string(isa_name(*isa)).c_str(),
                setup.weights[0].bytes() / pack / 1e9);
    for (const auto& n : split(argument(4, "1,4,8,512"))) {
      const int64_t rows = std::atoll(n.c_str());
      const double time = measure(context, setup, rows);
      std::printf("  rows %4ld  %9.1f us  %6.1f GB/s  %7.1f GMAC/s\n", static_cast<long>(rows),
                  time * 1e6, setup.weights[0].bytes() / time / 1e9,
                  double(rows) * weight_rows * columns / time / 1e9);
    }
  }
  return 0;
}

}  // namespace
}  // namespace godwit::kernels

int main(int argc, char** argv) { return godwit::kernels::run(argc, argv); }
