// Speed of the operations beside matmul in the 0.8B shape, on one thread, as shares of what the
// processor can do: f32 multiply-adds a second (measured here with the matrix kernel on operands in
// the first-level cache) and bytes read a second. Time is the thread's own processor time, so other
// programs disturb less; each figure is the best of several runs.
//   ops_bench [ISA] [delta|attention|segment|rows]
#include <fmt/core.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/ops.h"

namespace godwit::kernels {
namespace {

double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec + 1e-9 * now.tv_nsec;
}

// Seconds of one call: the best of runs that last about 0.3 s together.
double seconds_of(const std::function<void()>& call) {
  call();
  double best = 1e9;
  for (double total = 0, runs = 0; total < 0.3 || runs < 3; ++runs) {
    const double begin = cpu_seconds();
    call();
    const double taken = cpu_seconds() - begin;
    best = std::min(best, taken), total += taken;
  }
  return best;
}

struct Bench {
  Context context;
  double gmac_s = 0, gb_s = 0;

  void report(const char* name, double seconds, double macs, double bytes) const {
    fmt::print("{:44} {:10.1f} µs", name, seconds * 1e6);
    if (macs > 0)
      fmt::print("  {:6.1f} GMAC/s ({:3.0f} %)", macs / seconds * 1e-9,
                 100 * macs / seconds * 1e-9 / gmac_s);
    if (bytes > 0)
      fmt::print("  {:6.1f} GB/s ({:3.0f} %)", bytes / seconds * 1e-9,
                 100 * bytes / seconds * 1e-9 / gb_s);
    fmt::print("\n");
  }
  void peaks() {
    std::vector<float> a(48 * 64, 1.0f), b(64 * 64, 1.0f), c(48 * 64);
    const double product = seconds_of([&] {
      for (int i = 0; i < 2000; ++i)
        context.table->gemm(48, 64, 64, a.data(), 64, b.data(), 64, nullptr, c.data(), 64);
    });
    gmac_s = 2000. * 48 * 64 * 64 / product * 1e-9;
    std::vector<float> large(64 << 20, 1.0f);
    std::vector<float> out(1024);
    const double reading = seconds_of([&] {
      for (size_t i = 0; i < large.size(); i += 1024)
        context.table->rms_norm_row(large.data() + i, out.data(), 1e-6f, 1024, out.data());
    });
    gb_s = 4. * large.size() / reading * 1e-9;
    fmt::print("{:44} {:6.1f} GMAC/s, {:.1f} GB/s\n", "peaks (f32 products in cache, reading)",
               gmac_s, gb_s);
  }

  void delta(int64_t tokens) const {
    const DeltaRuleShape shape{16, 16, 128, 128};
    const int64_t width = 6144,
                  layers = tokens > 8 ? 1 : 72;  // decoding finds states in memory, not in a cache
    std::vector<float> qkv(tokens * width), beta(tokens * 16, 0.5f), decay(tokens * 16, -0.1f),
        out(tokens * 2048);
    std::vector<float> state(layers * 16 * 128 * 128);
    for (size_t i = 0; i < qkv.size(); ++i) qkv[i] = std::sin(float(i));
    tensor::AlignedBuffer<std::byte> scratch(delta_rule_scratch_bytes(1, tokens, shape));
    const double seconds = seconds_of([&] {
      for (int64_t layer = 0; layer < layers; ++layer)
        delta_rule(context, {qkv.data(), tokens, width}, {beta.data(), tokens, 16},
                   {decay.data(), tokens, 16}, shape, state.data() + layer * 16 * 128 * 128, {},
                   {out.data(), tokens, 2048, 2048}, scratch.span());
    });
    const double steps = tokens * 16. * 128 * 128 * layers;
    report(fmt::format("delta rule, {} tokens × {} layers", tokens, layers).c_str(), seconds,
           4 * steps, 0);
    if (layers > 1) report("  state read and written", seconds, 0, 8. * state.size());
  }

  void attention_at(int64_t tokens, int64_t first, tensor::DType dtype) const {
    const int heads = 8, kv_heads = 2, dim = 256, page = 64;
    const int64_t pages = (first + tokens + page - 1) / page;
    const size_t half = *tensor::bytes_of(dtype, dim) * kv_heads * page;
    std::vector<std::byte> memory(2 * pages * half);
    std::vector<std::byte*> keys, values;
    for (int64_t p = 0; p < pages; ++p)
      keys.push_back(memory.data() + 2 * p * half),
          values.push_back(memory.data() + (2 * p + 1) * half);
    const KvPages kv{keys.data(), values.data(), dtype, page, kv_heads, dim};
    std::vector<float> q(tokens * heads * dim * 2, 0.01f), out(tokens * heads * dim);
    tensor::AlignedBuffer<std::byte> scratch(attention_scratch_bytes(1, tokens, heads, dim));
    const double seconds = seconds_of([&] {
      attention(context, kv, first, {q.data(), tokens, heads * dim * 2}, heads, 2 * dim,
                q.data() + dim, 1 / 16.f, {out.data(), tokens, heads * dim, heads * dim},
                scratch.span());
    });
    double pairs = 0;
    for (int64_t t = 0; t < tokens; ++t) pairs += double(first + t + 1);
    report(
        fmt::format("attention, {} tokens at {}, {}", tokens, first, tensor::dtype_info(dtype).name)
            .c_str(),
        seconds, pairs * heads * dim * 2, tokens <= 8 ? double(memory.size()) : 0);
  }

  void segment(int64_t patches, int heads, int dim) const {
    const int64_t width = int64_t{heads} * dim;
    std::vector<float> qkv(patches * 3 * width, 0.01f), out(patches * width);
    tensor::AlignedBuffer<std::byte> scratch(
        segment_attention_scratch_bytes(1, patches, heads, dim));
    const int64_t starts[] = {0, patches};
    const double seconds = seconds_of([&] {
      segment_attention(context, {qkv.data(), patches, 3 * width}, heads, dim, starts, 0.125f,
                        {out.data(), patches, width, width}, scratch.span());
    });
    report(fmt::format("segment attention, {} patches, {} × {}", patches, heads, dim).c_str(),
           seconds, double(patches) * patches * width * 2, 0);
  }

  void rows(int64_t tokens) const {
    const auto matrix = [&](std::vector<float>& data, int64_t columns) {
      data.assign(tokens * columns, 0.5f);
      return tensor::MatrixView{data.data(), tokens, columns, columns};
    };
    std::vector<float> data[6];
    const auto hidden = matrix(data[0], 1024), normed = matrix(data[1], 1024),
               gate = matrix(data[2], 3584), up = matrix(data[3], 3584),
               wide = matrix(data[4], 6144), mixed = matrix(data[5], 6144);
    const std::vector<float> weight(6144 * 4, 0.5f), turn(tokens * 32, 0.7f);
    std::vector<float> state(3 * 6144);
    const auto print = [&](const char* name, double values, const std::function<void()>& call) {
      const double seconds = seconds_of(call);
      fmt::print("{:44} {:10.2f} µs  {:6.2f} values/ns\n",
                 fmt::format("{}, {} tokens", name, tokens), seconds * 1e6,
                 values * tokens / seconds * 1e-9);
    };
    print("rms_norm", 1024, [&] { rms_norm(context, hidden, weight.data(), 1e-6f, normed); });
    print("add", 1024, [&] { add(context, hidden, normed); });
    print("silu_mul", 3584, [&] { silu_mul(context, gate, up, gate); });
    print("gelu_tanh", 3584, [&] { gelu_tanh(context, up); });
    print("causal_conv_silu", 6144,
          [&] { causal_conv_silu(context, wide, weight.data(), state.data(), mixed); });
    const tensor::MatrixView value_rows{mixed.data, tokens, 2048, 6144},
        z{wide.data, tokens, 2048, 6144};
    print("gated_rms_norm", 2048, [&] {
      gated_rms_norm(context, value_rows, z, weight.data(), 16, 128, 1e-6f, value_rows);
    });
    print("head_norm_rope", 2048, [&] {
      head_norm_rope(context, value_rows, 8, 256, 256, weight.data(), 1e-6f, 32, turn.data(),
                     turn.data());
    });
    std::vector<float> b(tokens * 16, 0.1f), beta(tokens * 16), decay(tokens * 16);
    print("delta_gates", 16, [&] {
      delta_gates(context, {b.data(), tokens, 16}, {b.data(), tokens, 16}, weight.data(),
                  weight.data(), {beta.data(), tokens, 16, 16}, {decay.data(), tokens, 16, 16});
    });
  }
};

int run(int argc, char** argv) {
  const auto isa = argc > 1 ? parse_isa(argv[1]) : isa_from_environment();
  if (!isa || !cpu_has(*isa)) {
    fmt::print(stderr, "ops_bench: {}\n",
               isa ? "this machine lacks that instruction set" : isa.error().message);
    return 2;
  }
  ComputePool pool(1);
  Bench bench{{&pool, &kernel_table(*isa)}};
  bench.peaks();
  const std::string part = argc > 2 ? argv[2] : "";
  const auto wanted = [&](const char* name) { return part.empty() || part == name; };
  for (int64_t tokens : {1, 4, 16, 17, 32, 64, 512})
    if (wanted("delta")) bench.delta(tokens);
  if (wanted("attention")) {
    for (auto dtype : {tensor::DType::kF16, tensor::DType::kQ8_0, tensor::DType::kF32})
      bench.attention_at(1, 32767, dtype);
    bench.attention_at(4, 32764, tensor::DType::kF16);
    bench.attention_at(512, 0, tensor::DType::kF16);
    for (auto dtype : {tensor::DType::kF16, tensor::DType::kQ8_0})
      bench.attention_at(512, 7680, dtype);
  }
  if (wanted("segment")) {
    bench.segment(4096, 12, 64);
    bench.segment(2040, 16, 72);
  }
  for (int64_t tokens : {1, 512})
    if (wanted("rows")) bench.rows(tokens);
  return 0;
}

}  // namespace
}  // namespace godwit::kernels

int main(int argc, char** argv) { return godwit::kernels::run(argc, argv); }
