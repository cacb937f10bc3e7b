// Policy of the products: how rows are grouped, how weights are split over threads, what goes to
// which kernel. No intrinsics.
//
// x is cut into groups of a few rows; each group is rounded to int8 blocks once for all products. A
// task is some pairs of tiles (32 output rows) of one product times all groups: the pair's weights
// come from memory once and stay in the second-level cache for the other groups.
#include "kernels/matmul.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/trace.h"
#include "kernels/kernel_table.h"
#include "kernels/pack.h"

namespace godwit::kernels {

struct PackedMatrixAccess {
  static PackedLayout layout(const PackedMatrix& m) { return static_cast<PackedLayout>(m.layout_); }
  static const uint8_t* data(const PackedMatrix& m) {
    return reinterpret_cast<const uint8_t*>(m.data_.get());
  }
};

namespace {

constexpr int kPairRows = 2 * kTileRows;
constexpr int64_t kTaskBytes =
    256 * 1024;  // of weights: about ten microseconds of one core's memory time
constexpr int64_t kRowChunkBytes =
    128 * 1024;  // of activations that stay near while a task's pairs pass over them
constexpr int64_t kSerialQuantizeValues =
    16 * 1024;  // below, waking the pool costs more than it gains
constexpr int kMaxProducts = 8;

// Of many rows, so many are a group. With AVX-512, 2 tiles × 6 sums and totals fill 24 of 32
// registers; plain types take 3 rows at once without it, block formats 4 (measured with AVX2;
// AVX-VNNI and NEON have tiles of the same shape).
int rows_of_many(Isa isa, bool any_block_format) {
  const bool wide = isa == Isa::kAvx512 || isa == Isa::kAvx512Vnni;
  return wide || !any_block_format ? 6 : 8;
}

// Rows in groups whose sizes differ by at most one: the first `larger` have `size` rows, the rest
// size − 1.
struct RowGroups {
  int64_t count, larger;
  int size;
  RowGroups(int64_t rows, int of_many) {
    count = rows <= kMaxGroupRows ? 1 : (rows + of_many - 1) / of_many;
    size = static_cast<int>((rows + count - 1) / count);
    larger = rows - count * (size - 1);
  }
  int64_t first(int64_t group) const { return group * size - std::max<int64_t>(0, group - larger); }
  int rows(int64_t group) const { return group < larger ? size : size - 1; }
};

// One product's share of the tasks.
struct Plan {
  const Product* product;
  PackedLayout layout;
  product_f32_fn* kernel;
  size_t tile_bytes;
  const uint8_t* tiles;
  int64_t rows, tile_count, tiles_per_task, first_task;
};

product_f32_fn* kernel_for(const KernelTable& table, PackedLayout layout) {
  switch (layout) {
    case PackedLayout::kF32:
      return table.product_f32;
    case PackedLayout::kF16:
      return table.product_f16;
    case PackedLayout::kBF16:
      return table.product_bf16;
    case PackedLayout::kQ8_0:
      return table.product_q8_0;
    case PackedLayout::kQ4_0:
      return table.product_q4_0;
    case PackedLayout::kIQ4_NL:
      return table.product_iq4_nl;
    case PackedLayout::kMXFP4:
      return table.product_mxfp4;
    case PackedLayout::kQ4_K:
      return table.product_q4_k;
    case PackedLayout::kQ5_K:
      return table.product_q5_k;
    case PackedLayout::kQ6_K:
      return table.product_q6_k;
    case PackedLayout::kIQ4_XS:
      return table.product_iq4_xs;
    case PackedLayout::kGeneric:
      return table.product_generic;
  }
  CHECK(false);
  return nullptr;
}

Plan make_plan(const KernelTable& table, const Product& product, int64_t columns, int threads) {
  const PackedMatrix& weight = *product.weight;
  Plan plan;
  plan.product = &product;
  plan.layout = PackedMatrixAccess::layout(weight);
  plan.kernel = kernel_for(table, plan.layout);
  plan.tile_bytes = packed_tile_bytes(plan.layout, columns);
  plan.tiles = PackedMatrixAccess::data(weight) + product.first_row / kTileRows * plan.tile_bytes;
  plan.rows = product.row_count < 0 ? weight.rows() - product.first_row : product.row_count;
  plan.tile_count = (plan.rows + kTileRows - 1) / kTileRows;
  // Pairs of tiles: at least kTaskBytes of weights a task, but enough tasks for the threads to even
  // out.
  const int64_t pairs = (plan.tile_count + 1) / 2;
  const int64_t by_bytes =
      std::max<int64_t>(1, kTaskBytes / (2 * static_cast<int64_t>(plan.tile_bytes)));
  const int64_t by_threads = threads == 1 ? pairs : std::max<int64_t>(1, pairs / (8 * threads));
  plan.tiles_per_task = 2 * std::min(by_bytes, by_threads);
  return plan;
}

void check_product(const Product& product, tensor::ConstMatrixView x) {
  CHECK(product.weight && *product.weight && product.weight->columns() == x.columns);
  const int64_t all = product.weight->rows();
  const int64_t count = product.row_count < 0 ? all - product.first_row : product.row_count;
  CHECK(product.first_row >= 0 && product.first_row % kTileRows == 0 && count > 0 &&
        product.first_row + count <= all);
  CHECK(count % kTileRows == 0 || product.first_row + count == all);
  CHECK(product.out.rows == x.rows && product.out.columns == count);
}

// sums [rows, 16 · tiles] to columns [first, …) of the output rows.
void finish(const Product& product, const float* sums, int64_t sums_stride, int64_t first_row,
            int rows, int64_t first_column, int64_t columns) {
  for (int r = 0; r < rows; ++r) {
    const float* from = sums + r * sums_stride;
    float* to = product.out.row(first_row + r) + first_column;
    const float* bias = product.bias ? product.bias + first_column : nullptr;
    if (product.add && bias) {
      for (int64_t i = 0; i < columns; ++i) to[i] += from[i] + bias[i];
    } else if (product.add) {
      for (int64_t i = 0; i < columns; ++i) to[i] += from[i];
    } else if (bias) {
      for (int64_t i = 0; i < columns; ++i) to[i] = from[i] + bias[i];
    } else {
      std::memcpy(to, from, columns * sizeof(float));
    }
  }
}

// Where x lies for the kernels: f32 rows, and int8 blocks if a product wants them.
struct Activations {
  tensor::ConstMatrixView x;
  RowGroups groups;
  const uint8_t* blocks = nullptr;  // group g starts at first(g) · bytes_per_row
  int64_t bytes_per_row = 0;
};

void run_task(const Plan& plan, const Activations& a, int64_t task) {
  static const Prefetch from_memory =
      streams_to_second_level() ? Prefetch::kSecondLevel : Prefetch::kFirstLevel;
  alignas(64) float sums[kMaxGroupRows * kPairRows];
  const int64_t first_tile = task * plan.tiles_per_task;
  const int64_t end_tile = std::min(first_tile + plan.tiles_per_task, plan.tile_count);
  const bool plain = is_plain(plan.layout);
  const int64_t row_bytes =
      plain ? a.x.columns * static_cast<int64_t>(sizeof(float)) : a.bytes_per_row;
  const int64_t chunk = std::max<int64_t>(1, kRowChunkBytes / (row_bytes * a.groups.size));
  for (int64_t group0 = 0; group0 < a.groups.count; group0 += chunk) {
    const int64_t group1 = std::min(group0 + chunk, a.groups.count);
    for (int64_t tile = first_tile; tile < end_tile; tile += 2) {
      const int count = static_cast<int>(std::min<int64_t>(2, end_tile - tile));
      const int64_t first_column = tile * kTileRows;
      const int64_t columns = std::min<int64_t>(count * kTileRows, plan.rows - first_column);
      for (int64_t g = group0; g < group1; ++g) {
        const int64_t first_row = a.groups.first(g);
        const void* x = plain ? static_cast<const void*>(a.x.row(first_row))
                              : a.blocks + first_row * a.bytes_per_row;
        TileProduct call = {plan.tiles + tile * plan.tile_bytes,
                            plan.tile_bytes,
                            count,
                            a.x.columns,
                            a.groups.rows(g),
                            x,
                            a.x.stride,
                            g == 0 ? from_memory : Prefetch::kNone,
                            sums,
                            count * kTileRows};
        const Product& product = *plan.product;
        const bool in_place = !product.add && !product.bias && columns == count * kTileRows;
        if (in_place) {
          call.sums = product.out.row(first_row) + first_column;
          call.sums_stride = product.out.stride;
        }
        plan.kernel(call);
        if (!in_place)
          finish(product, sums, count * kTileRows, first_row, call.rows, first_column, columns);
      }
    }
  }
}

// Rounds x to int8 blocks, group by group.
void quantize(const Context& context, Activations* a, std::span<std::byte> scratch) {
  CHECK(a->x.columns % kBlockColumns == 0);
  CHECK(scratch.size() >= matmul_scratch_bytes(a->x.rows, a->x.columns));
  const auto address = reinterpret_cast<uintptr_t>(scratch.data());
  auto* blocks = reinterpret_cast<uint8_t*>((address + 63) / 64 * 64);
  a->blocks = blocks;
  a->bytes_per_row = a->x.columns / kBlockColumns * kActivationBlockBytes;
  auto one_group = [&](int64_t g, int) {
    const int64_t first = a->groups.first(g);
    context.table->quantize_activations(a->x.row(first), a->x.stride, a->groups.rows(g),
                                        a->x.columns, blocks + first * a->bytes_per_row);
  };
  if (a->x.rows * a->x.columns > kSerialQuantizeValues) {
    context.pool->parallel_for(a->groups.count, one_group);
  } else {
    for (int64_t g = 0; g < a->groups.count; ++g) one_group(g, 0);
  }
}

}  // namespace

size_t matmul_scratch_bytes(int64_t rows, int64_t columns) {
  const int64_t blocks = (columns + kBlockColumns - 1) / kBlockColumns;
  return static_cast<size_t>(rows * blocks * kActivationBlockBytes) + 64;  // 64: to align
}

void matmul(const Context& context, tensor::ConstMatrixView x, std::span<const Product> products,
            std::span<std::byte> scratch, const char* name) {
  if (x.rows == 0) return;
  for (; products.size() > kMaxProducts; products = products.subspan(kMaxProducts))
    matmul(context, x, products.first(kMaxProducts), scratch, name);
  const TraceScope scope(name);
  Plan plans[kMaxProducts];
  int64_t tasks = 0;
  bool any_block_format = false;
  for (size_t i = 0; i < products.size(); ++i) {
    check_product(products[i], x);
    plans[i] = make_plan(*context.table, products[i], x.columns, context.pool->threads());
    plans[i].first_task = tasks;
    tasks += (plans[i].tile_count + plans[i].tiles_per_task - 1) / plans[i].tiles_per_task;
    any_block_format |= !is_plain(plans[i].layout);
    if (Trace* trace = Trace::active()) [[unlikely]]
      trace->add_work(x.rows * x.columns * plans[i].rows,
                      plans[i].tile_count * static_cast<int64_t>(plans[i].tile_bytes));
  }
  Activations activations{x, RowGroups(x.rows, rows_of_many(context.table->isa, any_block_format))};
  if (any_block_format) quantize(context, &activations, scratch);
  context.pool->parallel_for(tasks, [&](int64_t task, int) {
    size_t i = products.size() - 1;
    while (plans[i].first_task > task) --i;
    run_task(plans[i], activations, task - plans[i].first_task);
  });
}

}  // namespace godwit::kernels
