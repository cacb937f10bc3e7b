// Attention: online softmax over blocks of keys, f32 throughout, all query heads of a key head
// together.
//
//   few queries (decoding, verifying drafts): the positions are cut into at most 32 spans that
//     depend on the context's length alone; (key head × span) are the tasks, read keys and
//     values as they lie in the pages, and leave a partial result; the partial results are
//     merged in the order of positions. A query's bits do not depend on its companions.
//   many queries (prefill), and segments of pictures: (key head × block of queries) are the
//     tasks; tiles of 64 keys are decoded once a task and multiplied as matrices.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/trace.h"
#include "kernels/ops.h"
#include "kernels/split.h"

namespace godwit::kernels {
namespace {

using tensor::DType;

constexpr int64_t kTile = 64;  // keys that are handled at a time
constexpr int64_t kFewQueries = 8;
constexpr int64_t kSpans = 32;       // at most; enough for as many cores with one key head
constexpr int64_t kSpan = 256;       // positions of a span at least
constexpr int64_t kBlockRows = 192;  // query rows (queries × heads of a key head) of a prefill task
constexpr int64_t kSegmentRows = 256;  // query rows of a task of segment_attention
constexpr int64_t kMaxGroup = 32;      // query heads of a key head
constexpr int64_t kPad = 16;           // floats that keep rows from sharing cache sets
constexpr float kLowest = -std::numeric_limits<float>::infinity();

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

KvType kv_type(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return kKvF32;
    case DType::kF16:
      return kKvF16;
    case DType::kBF16:
      return kKvBF16;
    default:
      CHECK_MSG(dtype == DType::kQ8_0, "keys and values are stored as F32, F16, BF16 or Q8_0");
      return kKvQ8_0;
  }
}

// One key head's rows in the pages.
struct PagedHead {
  PagedHead(const KvPages& kv_pages, int64_t kv_head)
      : pages(kv_pages),
        type(kv_type(kv_pages.dtype)),
        row_bytes(static_cast<int64_t>(*tensor::bytes_of(kv_pages.dtype, kv_pages.head_dim))),
        head_offset(kv_head * kv_pages.page_tokens * row_bytes) {}
  const KvPages& pages;
  KvType type;
  int64_t row_bytes, head_offset;

  unsigned char* row(std::byte* const* half, int64_t position) const {
    return reinterpret_cast<unsigned char*>(half[position / pages.page_tokens]) + head_offset +
           position % pages.page_tokens * row_bytes;
  }
  const unsigned char* key(int64_t position) const { return row(pages.key_pages, position); }
  const unsigned char* value(int64_t position) const { return row(pages.value_pages, position); }
  // Positions from `position` on that lie in one page.
  int64_t left_in_page(int64_t position) const {
    return pages.page_tokens - position % pages.page_tokens;
  }
};

void check_pages(const KvPages& pages, int heads) {
  CHECK(pages.page_tokens > 0 && pages.head_dim % 16 == 0 && heads % pages.kv_heads == 0);
  CHECK(heads / pages.kv_heads <= kMaxGroup);
}

// ---- few queries

// Positions of a span when `context` positions are attended to: a doubling of 256, so that the cut
// moves seldom.
int64_t span_of(int64_t context) {
  int64_t span = kSpan;
  while (span * kSpans < context) span *= 2;
  return span;
}

struct Queries {
  ConstMatrixView q;
  int64_t first;  // position of row 0
  int64_t heads, group, head_stride, dim;
  float scale;
  const float* gate;
  MatrixView out;

  const float* at(int64_t t, int64_t head) const { return q.row(t) + head * head_stride; }
  float* target(int64_t t, int64_t head) const { return out.row(t) + head * dim; }
};

// A partial result: weighted values [dim], then the largest score and the sum of weights.
struct Partial {
  float* data;
  int64_t dim;
  float& largest() const { return data[dim]; }
  float& sum() const { return data[dim + 1]; }
};
int64_t partial_floats(int64_t dim) { return dim + 16; }

// Scratch: [query][head][span] partial results.
struct Partials {
  float* data;
  int64_t heads, dim;
  Partial at(int64_t t, int64_t head, int64_t span) const {
    return {data + ((t * heads + head) * kSpans + span) * partial_floats(dim), dim};
  }
};

// Rows [begin, end) of the queries over one span of positions of one key head.
void attend_span(const KernelTable& table, const PagedHead& stored, const Queries& queries,
                 int64_t begin, int64_t end, int64_t kv_head, int64_t span, int64_t positions,
                 const Partials& partials) {
  const int64_t head = kv_head * queries.group, dim = queries.dim;
  const int64_t last = std::min((span + 1) * positions, queries.first + end);
  float scores[kMaxGroup * kTile], shrink[kMaxGroup];
  for (int64_t t = begin; t < end; ++t) {
    for (int64_t h = 0; h < queries.group; ++h) {
      const Partial partial = partials.at(t, head + h, span);
      std::fill_n(partial.data, dim, 0.0f);
      partial.largest() = kLowest, partial.sum() = 0;
    }
  }
  for (int64_t p = span * positions; p < last;) {
    const int64_t n = std::min({kTile, last - p, stored.left_in_page(p)});
    const unsigned char* next_keys = p + n < last ? stored.key(p + n) : nullptr;
    for (int64_t t = begin; t < end; ++t) {
      const int64_t count = std::min(n, queries.first + t + 1 - p);
      if (count <= 0) continue;
      table.attend_scores(stored.type, queries.at(t, head), queries.head_stride, queries.group,
                          stored.key(p), stored.row_bytes, count, dim, scores, kTile,
                          stored.value(p));
      for (int64_t h = 0; h < queries.group; ++h) {
        const Partial partial = partials.at(t, head + h, span);
        shrink[h] = table.softmax_step(scores + h * kTile, count, count, queries.scale,
                                       &partial.largest(), &partial.sum());
      }
      table.attend_values(stored.type, scores, kTile, queries.group, stored.value(p),
                          stored.row_bytes, count, dim, shrink, partials.at(t, head, span).data,
                          kSpans * partial_floats(dim), next_keys);
    }
    p += n;
  }
}

// out = Σ over spans, in order; then the gate.
void merge_spans(const KernelTable& table, const Queries& queries, int64_t t, int64_t head,
                 int64_t spans, const Partials& partials) {
  float largest = kLowest, sum = 0;
  for (int64_t s = 0; s < spans; ++s)
    largest = std::max(largest, partials.at(t, head, s).largest());
  float* target = queries.target(t, head);
  std::fill_n(target, queries.dim, 0.0f);
  for (int64_t s = 0; s < spans; ++s) {
    const Partial partial = partials.at(t, head, s);
    const float share = std::exp(partial.largest() - largest);
    sum += share * partial.sum();
    table.add_scaled_row(partial.data, share, queries.dim, target);
  }
  table.scale_row(target, 1.0f / sum, queries.dim, target);
  if (queries.gate)
    table.sigmoid_mul_row(queries.gate + t * queries.q.stride + head * queries.head_stride,
                          queries.dim, target);
}

void attend_few(const Context& context, const KvPages& pages, const Queries& queries,
                float* scratch) {
  const KernelTable& table = *context.table;
  const Partials partials{scratch, queries.heads, queries.dim};
  for (int64_t begin = 0; begin < queries.q.rows;) {  // queries that share a cut into spans
    const int64_t positions = span_of(queries.first + begin + 1);
    int64_t end = begin + 1;
    while (end < queries.q.rows && span_of(queries.first + end + 1) == positions) ++end;
    const int64_t spans = (queries.first + end + positions - 1) / positions;
    const int64_t work =
        std::min(positions, queries.first + end) * queries.group * queries.dim * (end - begin) / 2;
    for_rows(context, pages.kv_heads * spans, work, [&](int64_t task) {
      const int64_t kv_head = task % pages.kv_heads, span = task / pages.kv_heads;
      attend_span(table, PagedHead(pages, kv_head), queries, begin, end, kv_head, span, positions,
                  partials);
    });
    for_rows(context, (end - begin) * queries.heads, spans * queries.dim, [&](int64_t i) {
      const int64_t t = begin + i / queries.heads, visible = (queries.first + t) / positions + 1;
      merge_spans(table, queries, t, i % queries.heads, visible, partials);
    });
    begin = end;
  }
}

// ---- many queries

// One worker's scratch for a block of query rows against tiles of keys.
struct Block {
  int64_t rows, dim, width;       // width: dim rounded up to 16
  float* q;                       // [rows, width]
  float* acc;                     // [rows, width + kPad]
  float* keys;                    // [16, width + kPad]      some keys on their way to
  float* keys_turned;             // [width, kTile]          the tile's keys, transposed
  float* values;                  // [kTile, width + kPad]
  float* scores;                  // [rows, kTile]
  float *largest, *sum, *shrink;  // [rows]

  static size_t floats(int64_t rows, int64_t dim) {
    const int64_t w = round_up(dim, 16), s = w + kPad;
    return rows * (w + s + kTile + 3) + 16 * s + w * kTile + kTile * s;
  }
  Block(float* memory, int64_t max_rows, int64_t used_rows, int64_t head_dim)
      : rows(used_rows), dim(head_dim), width(round_up(head_dim, 16)) {
    const auto take = [&memory](int64_t n) { return std::exchange(memory, memory + n); };
    q = take(max_rows * width), acc = take(max_rows * stride()), keys = take(16 * stride()),
    keys_turned = take(width * kTile);
    values = take(kTile * stride()), scores = take(max_rows * kTile);
    largest = take(max_rows), sum = take(max_rows), shrink = take(max_rows);
    std::fill_n(acc, rows * stride(), 0.0f);
    std::fill_n(largest, rows, kLowest);
    std::fill_n(sum, rows, 0.0f);
  }
  int64_t stride() const { return width + kPad; }
};

// Takes a tile of n keys and values into the block's running result. load_keys(i, count, target,
// stride) and load_values write rows [i, i + count) as f32 (width columns); row r sees the tile's
// first visible(r) keys.
template <class LoadKeys, class LoadValues, class Visible>
void attend_tile(const KernelTable& table, const Block& b, int64_t n, float scale,
                 const LoadKeys& load_keys, const LoadValues& load_values, const Visible& visible) {
  const int64_t padded = round_up(n, 16), stride = b.stride();
  for (int64_t i = 0; i < padded; i += 16) {
    const int64_t count = std::min<int64_t>(16, n - i);
    load_keys(i, count, b.keys, stride);
    for (int64_t j = count; j < 16; ++j) std::fill_n(b.keys + j * stride, b.width, 0.0f);
    table.transpose(b.keys, stride, 16, b.width, b.keys_turned + i, kTile);
  }
  table.gemm(b.rows, padded, b.width, b.q, b.width, b.keys_turned, kTile, nullptr, b.scores, kTile);
  for (int64_t r = 0; r < b.rows; ++r)
    b.shrink[r] = table.softmax_step(b.scores + r * kTile, std::min(n, visible(r)), n, scale,
                                     b.largest + r, b.sum + r);
  load_values(0, n, b.values, stride);
  table.gemm(b.rows, b.width, n, b.scores, kTile, b.values, stride, b.shrink, b.acc, stride);
}

// Copies rows [i, i + count) of stored keys or values that may span pages.
void load_pages(const KernelTable& table, const PagedHead& stored, std::byte* const* half,
                int64_t position, int64_t count, int64_t dim, float* target, int64_t stride) {
  for (int64_t done = 0; done < count;) {
    const int64_t n = std::min(count - done, stored.left_in_page(position + done));
    table.kv_to_f32(stored.type, stored.row(half, position + done), stored.row_bytes, n, dim,
                    target + done * stride, stride);
    done += n;
  }
}

int64_t queries_of_block(int64_t group) { return std::max<int64_t>(1, kBlockRows / group); }

void attend_block(const KernelTable& table, const PagedHead& stored, const Queries& queries,
                  int64_t kv_head, int64_t begin, int64_t end, float* memory) {
  const int64_t group = queries.group, dim = queries.dim, head = kv_head * group;
  const Block block(memory, kBlockRows, (end - begin) * group, dim);
  for (int64_t r = 0; r < block.rows; ++r)
    std::copy_n(queries.at(begin + r / group, head + r % group), dim, block.q + r * block.width);
  for (int64_t p = 0; p < queries.first + end; p += kTile) {
    const auto load_keys = [&](int64_t i, int64_t count, float* target, int64_t stride) {
      load_pages(table, stored, stored.pages.key_pages, p + i, count, dim, target, stride);
    };
    const auto load_values = [&](int64_t i, int64_t count, float* target, int64_t stride) {
      load_pages(table, stored, stored.pages.value_pages, p + i, count, dim, target, stride);
    };
    attend_tile(table, block, std::min(kTile, queries.first + end - p), queries.scale, load_keys,
                load_values, [&](int64_t r) { return queries.first + begin + r / group + 1 - p; });
  }
  for (int64_t r = 0; r < block.rows; ++r) {
    const int64_t t = begin + r / group, h = head + r % group;
    table.scale_row(block.acc + r * block.stride(), 1.0f / block.sum[r], dim, queries.target(t, h));
    if (queries.gate)
      table.sigmoid_mul_row(queries.gate + t * queries.q.stride + h * queries.head_stride, dim,
                            queries.target(t, h));
  }
}

void attend_many(const Context& context, const KvPages& pages, const Queries& queries,
                 float* scratch) {
  const int64_t step = queries_of_block(queries.group), blocks = (queries.q.rows + step - 1) / step;
  const int64_t floats = Block::floats(kBlockRows, queries.dim);
  const int64_t work = step * queries.group * queries.dim * (queries.first + queries.q.rows) / 8;
  for_rows(context, blocks * pages.kv_heads, work, [&](int64_t task, int worker) {
    const int64_t begin =
        (blocks - 1 - task / pages.kv_heads) * step;  // the longest first: the threads end together
    attend_block(*context.table, PagedHead(pages, task % pages.kv_heads), queries,
                 task % pages.kv_heads, begin, std::min(begin + step, queries.q.rows),
                 scratch + worker * floats);
  });
}

}  // namespace

void store_kv(const Context& context, const KvPages& pages, int64_t first, ConstMatrixView k,
              ConstMatrixView v) {
  const TraceScope scope("store_kv");
  const int64_t dim = pages.head_dim;
  CHECK(dim % (pages.dtype == DType::kQ8_0 ? 32 : 16) == 0);
  for_rows(context, k.rows, k.columns * 2, [&](int64_t t) {
    for (int64_t h = 0; h < pages.kv_heads; ++h) {
      const PagedHead stored(pages, h);
      context.table->kv_from_f32(stored.type, k.row(t) + h * dim, dim,
                                 stored.row(pages.key_pages, first + t));
      context.table->kv_from_f32(stored.type, v.row(t) + h * dim, dim,
                                 stored.row(pages.value_pages, first + t));
    }
  });
}

size_t attention_scratch_bytes(int threads, int64_t max_tokens, int heads, int head_dim) {
  const int64_t few = std::min(max_tokens, kFewQueries) * heads * kSpans * partial_floats(head_dim);
  const int64_t many = max_tokens > kFewQueries
                           ? threads * static_cast<int64_t>(Block::floats(kBlockRows, head_dim))
                           : 0;
  return std::max(few, many) * sizeof(float);
}

void attention(const Context& context, const KvPages& pages, int64_t first, ConstMatrixView q,
               int heads, int q_head_stride, const float* gate, float scale, MatrixView out,
               std::span<std::byte> scratch) {
  const TraceScope scope("attention");
  check_pages(pages, heads);
  CHECK(scratch.size() >= attention_scratch_bytes(context.pool ? context.pool->threads() : 1,
                                                  q.rows, heads, pages.head_dim));
  auto* memory = reinterpret_cast<float*>(scratch.data());
  const auto attend = [&](int64_t begin, int64_t end, const auto& run) {
    if (begin == end) return;
    const int64_t n = end - begin;
    run(context, pages,
        Queries{{q.row(begin), n, q.columns, q.stride},
                first + begin,
                heads,
                heads / pages.kv_heads,
                q_head_stride,
                pages.head_dim,
                scale,
                gate ? gate + begin * q.stride : nullptr,
                {out.row(begin), n, out.columns, out.stride}},
        memory);
  };
  // The rest of a long call goes as it would alone, so that a call may be cut at multiples of kTile
  // and gives the same bits.
  const int64_t rest = q.rows % kTile, many = rest <= kFewQueries ? q.rows - rest : q.rows;
  attend(0, many, attend_many);
  attend(many, q.rows, attend_few);
}

size_t segment_attention_scratch_bytes(int threads, int64_t, int, int head_dim) {
  return threads * Block::floats(kSegmentRows, head_dim) * sizeof(float);
}

void segment_attention(const Context& context, ConstMatrixView qkv, int heads, int head_dim,
                       std::span<const int64_t> starts, float scale, MatrixView out,
                       std::span<std::byte> scratch) {
  const TraceScope scope("segment_attention");
  const int threads = context.pool ? context.pool->threads() : 1;
  CHECK(scratch.size() >= segment_attention_scratch_bytes(threads, 0, heads, head_dim));
  const int64_t dim = head_dim, values_at = int64_t{heads} * dim;
  const KernelTable& table = *context.table;
  for (size_t s = 0; s + 1 < starts.size(); ++s) {
    const int64_t begin = starts[s], end = starts[s + 1],
                  blocks = (end - begin + kSegmentRows - 1) / kSegmentRows;
    for_rows(context, blocks * heads, (end - begin) * kSegmentRows * dim / 8,
             [&](int64_t task, int worker) {
               const int64_t head_column = task % heads * dim,
                             first = begin + task / heads * kSegmentRows;
               const Block block(reinterpret_cast<float*>(scratch.data()) +
                                     worker * Block::floats(kSegmentRows, dim),
                                 kSegmentRows, std::min(kSegmentRows, end - first), dim);
               const auto load = [&](int64_t row, int64_t column, int64_t count, float* target,
                                     int64_t stride) {
                 for (int64_t i = 0; i < count; ++i) {
                   std::copy_n(qkv.row(row + i) + column + head_column, dim, target + i * stride);
                   std::fill_n(target + i * stride + dim, block.width - dim, 0.0f);
                 }
               };
               load(first, 0, block.rows, block.q, block.width);
               for (int64_t p = begin; p < end; p += kTile) {
                 attend_tile(
                     table, block, std::min(kTile, end - p), scale,
                     [&](int64_t i, int64_t count, float* target, int64_t stride) {
                       load(p + i, values_at, count, target, stride);
                     },
                     [&](int64_t i, int64_t count, float* target, int64_t stride) {
                       load(p + i, 2 * values_at, count, target, stride);
                     },
                     [](int64_t) { return kTile; });
               }
               for (int64_t r = 0; r < block.rows; ++r)
                 table.scale_row(block.acc + r * block.stride(), 1.0f / block.sum[r], dim,
                                 out.row(first + r) + head_column);
             });
  }
}

}  // namespace godwit::kernels
