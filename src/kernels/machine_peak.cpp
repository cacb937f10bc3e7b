#include "kernels/machine_peak.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

#include "kernels/kernel_table.h"
#include "tensor/view.h"

namespace godwit::kernels {
namespace {

constexpr int64_t kReadBytes = int64_t{256} << 20;  // larger than any last-level cache in our reach
constexpr int64_t kPieceBytes = int64_t{1} << 20;
constexpr int kRepeats = 4;
constexpr double kPieceSeconds = 0.002;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double best_read(const Context& context, const unsigned char* bytes) {
  std::atomic<uint64_t> result{0};
  double best = 0;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    context.pool->parallel_for(kReadBytes / kPieceBytes, [&](int64_t i, int) {
      result ^= context.table->read_xor(bytes + i * kPieceBytes, kPieceBytes);
    });
    best = std::max(best, kReadBytes / seconds_since(start) / 1e9);
  }
  return best;
}

// `run(rounds)` gives its products. Pieces of about two milliseconds, eight for each thread.
template <class Run>
double best_products(const Context& context, const Run& run) {
  int64_t rounds = 4096;
  for (;; rounds *= 2) {
    const auto start = std::chrono::steady_clock::now();
    run(rounds);
    if (seconds_since(start) > kPieceSeconds) break;
  }
  const int64_t pieces = int64_t{8} * context.pool->threads();
  double best = 0;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    std::atomic<int64_t> products{0};
    const auto start = std::chrono::steady_clock::now();
    context.pool->parallel_for(pieces, [&](int64_t, int) { products += run(rounds); });
    best = std::max(best, static_cast<double>(products) / seconds_since(start) / 1e9);
  }
  return best;
}

}  // namespace

MachinePeakMeter::MachinePeakMeter(const Context& context) : context_(context), bytes_(kReadBytes) {
  context.pool->parallel_for(kReadBytes / kPieceBytes, [&](int64_t i, int) {
    std::memset(bytes_.data() + i * kPieceBytes, 1, kPieceBytes);
  });
}

MachinePeak MachinePeakMeter::measure() const {
  MachinePeak peak;
  peak.read_gb_s = best_read(context_, bytes_.data());
  peak.int8_gmac_s = best_products(context_, [&](int64_t rounds) {
    int32_t total;
    return context_.table->multiply_int8(rounds, &total);
  });
  peak.f32_gmac_s = best_products(context_, [&](int64_t rounds) {
    float total;
    return context_.table->multiply_f32(rounds, &total);
  });
  return peak;
}

}  // namespace godwit::kernels
