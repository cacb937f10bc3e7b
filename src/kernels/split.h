// How row work is split over the pool.
#pragma once

#include <algorithm>
#include <type_traits>

#include "kernels/context.h"
#include "kernels/kernel_table.h"

namespace godwit::kernels {

// Calls row(i, worker) (or row(i)) for i in [0, rows), in groups on the pool when there is enough
// to do. `cost`: a row's work in units of about one value read, changed and written. Rows must not
// depend on each other.
template <class Row>
void for_rows(const Context& context, int64_t rows, int64_t cost, const Row& row) {
  constexpr int64_t kWorthATask = 16384;  // 1.4 µs: meeting the other threads costs about as much
  const int64_t group =
      std::clamp<int64_t>(kWorthATask / std::max<int64_t>(cost, 1), 1, std::max<int64_t>(rows, 1));
  const int64_t groups = (rows + group - 1) / group;
  const auto run = [&](int64_t g, int worker) {
    for (int64_t i = g * group, end = std::min(rows, i + group); i < end; ++i) {
      if constexpr (std::is_invocable_v<const Row&, int64_t, int>) {
        row(i, worker);
      } else {
        row(i);
      }
    }
  };
  if (context.pool != nullptr && rows * cost > 4 * kWorthATask) {
    context.pool->parallel_for(groups, run);
  } else {
    for (int64_t g = 0; g < groups; ++g) run(g, 0);
  }
}

}  // namespace godwit::kernels
