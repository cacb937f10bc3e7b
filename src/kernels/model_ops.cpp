// Small operations of the mixture of experts; their cost does not show beside the products around
// them.
#include <algorithm>
#include <cmath>

#include "base/trace.h"
#include "kernels/ops.h"
#include "kernels/split.h"

namespace godwit::kernels {
namespace {

// One row of choose_experts. Softmax rises with the logit, so the largest logits are found first
// and only they are needed apart from the sum, which cancels: w_i = exp(l_i − m) / Σ over the
// chosen.
void choose_row(const float* logits, int64_t experts, int count, int32_t* chosen, float* weight) {
  for (int found = 0; found < count; ++found) {
    int32_t best = -1;
    for (int32_t e = 0; e < experts; ++e) {
      const bool taken = std::find(chosen, chosen + found, e) != chosen + found;
      if (!taken && (best < 0 || logits[e] > logits[best])) best = e;
    }
    chosen[found] = best;
  }
  const float largest = logits[chosen[0]];
  std::sort(chosen, chosen + count);
  float sum = 0;
  for (int i = 0; i < count; ++i) sum += weight[i] = std::exp(logits[chosen[i]] - largest);
  for (int i = 0; i < count; ++i) weight[i] /= sum;
}

}  // namespace

void sigmoid(const Context& context, MatrixView x) {
  for_rows(context, x.rows, x.columns * 100, [&](int64_t i) {
    for (int64_t j = 0; j < x.columns; ++j) x.row(i)[j] = 1 / (1 + std::exp(-x.row(i)[j]));
  });
}

void choose_experts(const Context& context, ConstMatrixView logits, int count, int32_t* chosen,
                    float* weight) {
  const TraceScope scope("choose_experts");
  for_rows(context, logits.rows, logits.columns * count * 2, [&](int64_t t) {
    choose_row(logits.row(t), logits.columns, count, chosen + t * count, weight + t * count);
  });
}

}  // namespace godwit::kernels
