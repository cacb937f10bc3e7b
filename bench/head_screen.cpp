// How much of the output product (logits = x · headᵀ) could be left out without changing a bit of
// what greedy or top-k sampling takes: for each cheap look at the head ("screen") that bounds
// every row's logit from above, the rows that cannot be ruled out.
//   head_screen MODEL [PROMPTS.jsonl]
//
//   upper N bits   of the stored codes, packed apart from the lower ones, which are read for the
//                  rows that are left
//   N-bit copy     beside the head, of which the rows that are left are read whole
//
// Both bound w·x = c·x + e·x, c the coarse row and e = w − c, by c·x + ‖e‖‖x‖ (Cauchy–Schwarz;
// norms are kept per row, or per block of 32 columns). A row is left if that reaches the k-th
// largest logit itself: no screen can know a higher threshold, so the figures are the least to be
// read.
//
// States x are those that the model computes: for the answers in PROMPTS (prompt_ids, given_ids;
// lines with pictures are passed over), or for made-up ids. The head is rounded to each type here;
// block types multiply x rounded to int8, as the kernels do. Shares are of packed bytes. The
// rounding errors of the sums (a millionth of the bounds) are left out.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/mapped_file.h"
#include "checkpoint/json.h"
#include "checkpoint/model_folder.h"
#include "kernels/kernel_table.h"
#include "model/model.h"
#include "model/plain_memory.h"
#include "model/workspace.h"
#include "tensor/blocks.h"

namespace godwit {
namespace {

using tensor::DType;

constexpr int kBlock = 32, kTile = 16;        // columns of a block, rows of a packed tile
constexpr int64_t kStates = 32, kTask = 256;  // states per head; rows of one task
constexpr int kTop = 20;                      // the family's top_k

float dot(const float* a, const float* b, int64_t n) {  // n is a multiple of 16
  float lanes[16] = {};
  for (int64_t i = 0; i < n; i += 16)
    for (int j = 0; j < 16; ++j) lanes[j] += a[i + j] * b[i + j];
  return std::accumulate(lanes, lanes + 16, 0.0f);
}
float norm(const float* a, int64_t n) { return std::sqrt(dot(a, a, n)); }

void for_rows(const kernels::Context& context, int64_t rows,
              const std::function<void(int64_t row, int worker)>& each) {
  context.pool->parallel_for((rows + kTask - 1) / kTask, [&](int64_t task, int worker) {
    for (int64_t r = task * kTask; r < std::min((task + 1) * kTask, rows); ++r) each(r, worker);
  });
}

// ---- States

struct States {
  std::vector<float> exact, rounded;  // [kStates, columns]; rounded: int8 and a scale per block
  int64_t count = 0, columns = 0;
  const float* x(int64_t i, bool is_rounded) const {
    return (is_rounded ? rounded : exact).data() + i * columns;
  }
};

void round_states(States& s) {
  s.rounded.resize(s.exact.size());
  for (size_t at = 0; at < s.exact.size(); at += kBlock) {
    float largest = 0;
    for (int i = 0; i < kBlock; ++i) largest = std::max(largest, std::abs(s.exact[at + i]));
    for (int i = 0; i < kBlock && largest > 0; ++i)
      s.rounded[at + i] = std::nearbyint(s.exact[at + i] * (127 / largest)) * (largest / 127);
  }
}

// The last `wanted` rows of the final norm over `ids`.
void add_states(const model::Model& model, const std::vector<int32_t>& ids, int64_t wanted,
                States& states) {
  const auto n = static_cast<int64_t>(ids.size()), H = states.columns;
  const auto workspace = model.make_workspace({.max_tokens = n, .max_context = n});
  model::PlainMemory memory(model.cache_geometry(DType::kF16, 64), n);
  std::vector<model::Position> positions(n);
  for (int32_t i = 0; i < n; ++i) positions[i] = {i, i, i};
  std::vector<float> hidden(n * H);
  const model::BatchSequence sequence{0, n, memory.view()};
  model.forward({.ids = ids,
                 .positions = positions,
                 .sequences = {&sequence, 1},
                 .geometry = &memory.geometry()},
                *workspace, {.hidden = {hidden.data(), n, H, H}});
  states.exact.insert(states.exact.end(), hidden.end() - wanted * H, hidden.end());
}

std::vector<int32_t> ids_of(const checkpoint::Json* array) {
  std::vector<int32_t> ids;
  if (!array || !array->is_array()) return ids;
  for (const auto& item : array->items())
    ids.push_back(static_cast<int32_t>(item.as_int64().value_or(0)));
  return ids;
}

Result<States> read_states(const model::Model& model, const std::string& prompts) {
  States s{.columns = model.config().text.hidden_size};
  if (prompts.empty()) {
    std::mt19937 random(35);
    std::vector<int32_t> ids(4 * kStates);
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % model.config().text.vocab_size);
    add_states(model, ids, kStates, s);
  }
  for (size_t at = 0; at < prompts.size();) {
    const size_t end = std::min(prompts.find('\n', at), prompts.size());
    TRY(const auto line, checkpoint::parse_json(std::string_view(prompts).substr(at, end - at)));
    at = end + 1;
    std::vector<int32_t> ids = ids_of(line.find("prompt_ids"));
    const std::vector<int32_t> answer = ids_of(line.find("given_ids"));
    if (std::count(ids.begin(), ids.end(), model.config().vision_start_token)) continue;
    if (ids.empty() || answer.empty())
      return bad_input("prompts: expected prompt_ids and given_ids in every line, found none");
    ids.insert(ids.end(), answer.begin(), answer.end() - 1);
    add_states(model, ids, static_cast<int64_t>(answer.size()), s);
  }
  // As many as are wanted, from all answers alike.
  const auto all = static_cast<int64_t>(s.exact.size()) / s.columns;
  s.count = std::min(all, kStates);
  for (int64_t i = 0; i < s.count; ++i)
    std::copy_n(s.exact.data() + i * all / s.count * s.columns, s.columns,
                s.exact.data() + i * s.columns);
  s.exact.resize(s.count * s.columns);
  round_states(s);
  return s;
}

// ---- The head, and cheap looks at it

struct Head {
  DType type;
  int64_t rows, columns;
  std::vector<std::byte> bytes;
  const std::byte* row(int64_t r) const {
    return bytes.data() + r * (bytes.size() / static_cast<size_t>(rows));
  }
};

struct Screen {
  std::string name;
  double share;  // of the head's bytes that it reads, norms included
  double rest;   // of a row's bytes that are read if the row is left
  std::function<void(const std::byte* row, const float* w, float* c)> coarse;
};

// The `kept` upper bits of the codes, and the middle of what the others may be.
Screen upper_bits(const Head& head, int kept, double scale_bytes, double block_bytes) {
  const double lower_bytes = 4.0 * (tensor::code_book(head.type).bits - kept);
  return {fmt::format("upper {} bits", kept), (4.0 * kept + scale_bytes) / block_bytes,
          lower_bytes / block_bytes, [=, &head](const std::byte* row, const float* w, float* c) {
            const int lost = tensor::code_book(head.type).bits - kept;
            for (int64_t b = 0; b < head.columns / kBlock; ++b) {
              tensor::BlockParts p;
              tensor::split_block(head.type, row, b, &p);
              for (int i = 0; i < kBlock; ++i) {
                const int code = p.codes[i];
                const double middle = (code >> lost << lost) + 0.5 * ((1 << lost) - 1);
                c[b * kBlock + i] = static_cast<float>(
                    w[b * kBlock + i] + p.scale * p.sub_scale[i / 16] * (middle - code));
              }
            }
          }};
}

// A copy in `bits` bits with a scale per 32 columns.
Screen rounded_copy(const Head& head, int bits, double block_bytes) {
  return {fmt::format("{}-bit copy", bits), (4.0 * bits + 2) / block_bytes, 1,
          [=, &head](const std::byte*, const float* w, float* c) {
            const float half = static_cast<float>(1 << (bits - 1));
            for (int64_t b = 0; b < head.columns; b += kBlock) {
              float step = 0;
              for (int i = 0; i < kBlock; ++i) step = std::max(step, std::abs(w[b + i]) / half);
              for (int i = 0; i < kBlock && step > 0; ++i)
                c[b + i] = step * (std::clamp(std::floor(w[b + i] / step), -half, half - 1) + 0.5f);
            }
          }};
}

// ---- Counting

struct Bounds {
  std::vector<float> logits, by_row, by_block;  // [states, rows]
  float threshold(int64_t state, int64_t rows, int k) const {
    std::vector<float> sorted(logits.data() + state * rows, logits.data() + (state + 1) * rows);
    std::nth_element(sorted.begin(), sorted.begin() + k - 1, sorted.end(), std::greater<>());
    return sorted[k - 1];
  }
};

// Norms of blocks of 32 columns, padded with zeros to a multiple of 16.
std::vector<float> block_norms(const std::vector<float>& x) {
  std::vector<float> norms((x.size() / kBlock + 15) / 16 * 16);
  for (size_t b = 0; b < x.size() / kBlock; ++b) norms[b] = norm(x.data() + b * kBlock, kBlock);
  return norms;
}

// What bounds need of a state. For plain types the coarse row meets the rounded state, whose
// rounding is then an error too.
struct StateNorms {
  float all, error;
  std::vector<float> blocks;
  StateNorms(const States& states, int64_t i, bool is_rounded) {
    std::vector<float> x(states.x(i, is_rounded), states.x(i, is_rounded) + states.columns);
    all = norm(x.data(), states.columns);
    blocks = block_norms(x);
    for (int64_t j = 0; j < states.columns; ++j) x[j] -= states.x(i, true)[j];
    error = norm(x.data(), states.columns);
  }
};

Bounds find_bounds(const kernels::Context& context, const Head& head, const States& states,
                   const Screen& screen) {
  const bool is_rounded = tensor::is_block_format(head.type);
  const int64_t n = head.columns;
  std::vector<StateNorms> norms;
  for (int64_t i = 0; i < states.count; ++i) norms.emplace_back(states, i, is_rounded);
  Bounds bounds;
  for (auto* values : {&bounds.logits, &bounds.by_row, &bounds.by_block})
    values->resize(states.count * head.rows);
  for_rows(context, head.rows, [&](int64_t r, int) {
    std::vector<float> w(n), c(n);
    tensor::dequantize_row(head.type, head.row(r), w.data(), n);
    screen.coarse(head.row(r), w.data(), c.data());
    std::vector<float> e(n);
    for (int64_t j = 0; j < n; ++j) e[j] = w[j] - c[j];
    const std::vector<float> e_blocks = block_norms(e);
    const float c_norm = norm(c.data(), n), e_norm = norm(e.data(), n);
    for (int64_t i = 0; i < states.count; ++i) {
      const int64_t at = i * head.rows + r;
      bounds.logits[at] = dot(w.data(), states.x(i, is_rounded), n);
      const float middle = dot(c.data(), states.x(i, true), n) + c_norm * norms[i].error;
      bounds.by_row[at] = middle + e_norm * norms[i].all;
      bounds.by_block[at] = middle + dot(e_blocks.data(), norms[i].blocks.data(),
                                         static_cast<int64_t>(e_blocks.size()));
      CHECK_MSG(bounds.by_block[at] >= bounds.logits[at] - 1e-5f * norm(w.data(), n) * norms[i].all,
                "a bound is below the logit");
    }
  });
  return bounds;
}

// Shares of rows and of tiles that stay uncertain, over `together` states at a time.
struct Left {
  double rows = 0, tiles = 0;
};
Left count_left(const Head& head, const States& states, const Bounds& bounds,
                const std::vector<float>& upper, int k, int64_t together = 1) {
  std::vector<char> row_left(head.rows), tile_left((head.rows + kTile - 1) / kTile);
  Left left;
  for (int64_t i = 0; i < states.count; ++i) {
    if (i % together == 0) {
      std::fill(row_left.begin(), row_left.end(), 0);
      std::fill(tile_left.begin(), tile_left.end(), 0);
    }
    const float threshold = bounds.threshold(i, head.rows, k);
    for (int64_t r = 0; r < head.rows; ++r)
      if (upper[i * head.rows + r] >= threshold) row_left[r] = tile_left[r / kTile] = 1;
    if (i % together != together - 1) continue;
    const double groups = static_cast<double>(states.count / together);
    left.rows += std::accumulate(row_left.begin(), row_left.end(), 0.0) / head.rows / groups;
    left.tiles += std::accumulate(tile_left.begin(), tile_left.end(), 0.0) /
                  static_cast<double>(tile_left.size()) / groups;
  }
  return left;
}

void report(const Head& head, const States& states, const Bounds& bounds, const Screen& screen) {
  fmt::print("{:6} {:12} {:6.1f} |", tensor::dtype_info(head.type).name, screen.name,
             100 * screen.share);
  for (const int k : {1, kTop, 2 * kTop}) {
    const Left left = count_left(head, states, bounds, bounds.by_row, k);
    fmt::print(" {:6.2f} {:6.2f}", 100 * left.rows, 100 * left.tiles);
  }
  const Left one = count_left(head, states, bounds, bounds.by_row, kTop);
  const Left four = count_left(head, states, bounds, bounds.by_row, kTop, 4);
  const Left by_block = count_left(head, states, bounds, bounds.by_block, kTop);
  fmt::print(" | {:6.2f} {:6.2f} | {:6.2f} {:6.2f} | {:5.1f} {:5.1f}\n", 100 * by_block.rows,
             100 * by_block.tiles, 100 * four.rows, 100 * four.tiles,
             100 * (screen.share + screen.rest * one.rows),
             100 * (screen.share + screen.rest * one.tiles));
}

// ---- Screens without a coarse copy

// Blocks of columns in the order in which one state's norms fall, and the norm² of what follows.
struct BlockOrder {
  std::vector<int64_t> blocks;
  std::vector<float> rest;  // [blocks + 1]
  BlockOrder(const float* x, int64_t count) : blocks(count), rest(count + 1) {
    std::iota(blocks.begin(), blocks.end(), 0);
    const auto square = [&](int64_t b) { return dot(x + b * kBlock, x + b * kBlock, kBlock); };
    std::sort(blocks.begin(), blocks.end(),
              [&](int64_t a, int64_t b) { return square(a) > square(b); });
    for (int64_t b = count; b-- > 0;) rest[b] = rest[b + 1] + square(blocks[b]);
  }
};

// A row is read block by block until what follows cannot bring it to the threshold. Returns the
// share of the weights that is read.
double columns_read(const kernels::Context& context, const Head& head, const States& states,
                    const Bounds& bounds) {
  const int64_t blocks = head.columns / kBlock;
  std::vector<BlockOrder> order;
  std::vector<float> threshold;
  for (int64_t i = 0; i < states.count; ++i) {
    order.emplace_back(states.x(i, true), blocks);
    threshold.push_back(bounds.threshold(i, head.rows, kTop));
  }
  std::vector<int64_t> read(context.pool->threads());
  for_rows(context, head.rows, [&](int64_t r, int worker) {
    std::vector<float> w(head.columns);
    tensor::dequantize_row(head.type, head.row(r), w.data(), head.columns);
    const std::vector<float> norms = block_norms(w);
    for (int64_t i = 0; i < states.count; ++i) {
      float rest = dot(w.data(), w.data(), head.columns), sum = 0;
      for (int64_t b = 0; b < blocks; ++b) {
        if (sum + std::sqrt(std::max(0.0f, rest) * order[i].rest[b]) < threshold[i]) break;
        const int64_t block = order[i].blocks[b], at = block * kBlock;
        sum += dot(w.data() + at, states.x(i, true) + at, kBlock);
        rest -= norms[block] * norms[block];
        ++read[worker];
      }
    }
  });
  return static_cast<double>(std::accumulate(read.begin(), read.end(), int64_t{0})) /
         static_cast<double>(head.rows * blocks * states.count);
}

// k-means over `rows` rows: the centre of each. No clusters: 0 is the centre of all.
std::vector<float> centres_of(const kernels::Context& context, const std::vector<float>& w,
                              int64_t rows, int64_t clusters) {
  constexpr int kRounds = 8;
  const int64_t n = static_cast<int64_t>(w.size()) / rows;
  std::vector<float> centres(clusters * n), squares(clusters), result(w.size());
  std::vector<int64_t> nearest(rows);
  for (int64_t c = 0; c < clusters; ++c)
    std::copy_n(&w[c * (rows / clusters) * n], n, &centres[c * n]);
  for (int round = 0; round < kRounds && clusters > 0; ++round) {
    for (int64_t c = 0; c < clusters; ++c) squares[c] = dot(&centres[c * n], &centres[c * n], n);
    for_rows(context, rows, [&](int64_t r, int) {
      float best = INFINITY;
      for (int64_t c = 0; c < clusters; ++c) {
        const float distance = squares[c] - 2 * dot(&w[r * n], &centres[c * n], n);
        if (distance < best) best = distance, nearest[r] = c;
      }
    });
    std::vector<float> members(clusters);
    for (const int64_t c : nearest) ++members[c];
    std::fill(centres.begin(), centres.end(), 0.0f);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t j = 0; j < n; ++j)
        centres[nearest[r] * n + j] += w[r * n + j] / members[nearest[r]];
  }
  for (int64_t r = 0; r < rows && clusters > 0; ++r)
    std::copy_n(&centres[nearest[r] * n], n, &result[r * n]);
  return result;
}

// Rows bounded by their cluster's centre c, c·x + ‖w − c‖‖x‖: the share that is left, of the first
// rows.
double clusters_left(const kernels::Context& context, const Head& head, const States& states,
                     const Bounds& bounds, int64_t clusters) {
  constexpr int64_t kSample = 16384;
  const int64_t n = head.columns, rows = std::min(head.rows, kSample);
  std::vector<float> w(rows * n);
  for (int64_t r = 0; r < rows; ++r) tensor::dequantize_row(head.type, head.row(r), &w[r * n], n);
  const std::vector<float> centres = centres_of(context, w, rows, clusters);
  std::vector<float> upper(states.count * head.rows, -INFINITY);
  for_rows(context, rows, [&](int64_t r, int) {
    std::vector<float> e(n);
    for (int64_t j = 0; j < n; ++j) e[j] = w[r * n + j] - centres[r * n + j];
    for (int64_t i = 0; i < states.count; ++i) {
      const float* x = states.x(i, true);
      upper[i * head.rows + r] = dot(&centres[r * n], x, n) + norm(e.data(), n) * norm(x, n);
    }
  });
  return count_left(head, states, bounds, upper, kTop).rows * static_cast<double>(head.rows) /
         static_cast<double>(rows);
}

// ---- All of it

Result<tensor::TensorView> find_head(const checkpoint::ModelFiles& files) {
  const checkpoint::TensorSource& source =
      files.is_gguf ? static_cast<const checkpoint::TensorSource&>(*files.gguf) : *files.tensors;
  for (const char* end :
       {"lm_head.weight", "output.weight", "embed_tokens.weight", "token_embd.weight"})
    for (const std::string& name : source.names())
      if (name == end || name.ends_with(std::string(".") + end)) return *source.find(name);
  return bad_input("{}: expected a head or tied embeddings, found neither", files.path);
}

Head head_in(const kernels::Context& context, const tensor::TensorView& stored, DType type) {
  Head head{type, stored.rows(), stored.columns(), {}};
  const size_t row_bytes = tensor::bytes_of(type, head.columns).value();
  const size_t stored_bytes = stored.bytes() / head.rows;
  head.bytes.resize(head.rows * row_bytes);
  for_rows(context, head.rows, [&](int64_t r, int) {
    std::vector<float> w(head.columns);
    tensor::dequantize_row(stored.dtype, stored.data + r * stored_bytes, w.data(), head.columns);
    tensor::quantize_row(type, w.data(), head.bytes.data() + r * row_bytes, head.columns);
  });
  return head;
}

std::vector<Screen> screens_of(const Head& head) {
  std::vector<Screen> screens;
  const double norms = 4.0 * kBlock / static_cast<double>(head.columns);
  switch (head.type) {
    case DType::kQ8_0:
      for (const int kept : {3, 4, 5, 6}) screens.push_back(upper_bits(head, kept, 2 + norms, 34));
      break;
    case DType::kQ6_K:
      for (const int kept : {3, 4, 5}) screens.push_back(upper_bits(head, kept, 2.5 + norms, 26.5));
      break;
    case DType::kQ4_0:
      for (const int kept : {2, 3}) screens.push_back(upper_bits(head, kept, 2 + norms, 18));
      break;
    default:
      for (const int bits : {4, 5, 6, 8}) screens.push_back(rounded_copy(head, bits, 64));
  }
  return screens;
}

Status run(const std::string& path, const std::string& prompts_path) {
  ComputePool pool(cpu_topology().performance_cores);
  TRY(const Isa isa, isa_from_environment());
  const kernels::Context context{&pool, &kernels::kernel_table(isa)};
  std::string prompts;
  if (!prompts_path.empty()) {
    TRY(prompts, read_file(prompts_path));
  }
  TRY(const auto files, checkpoint::open_model_files(path));
  TRY(const auto model, model::Model::load(files, context, {.vision = false, .drafting = false}));
  TRY(const States states, read_states(*model, prompts));
  TRY(const tensor::TensorView stored, find_head(files));
  fmt::print("{}: {} rows of {}, {} states\n", path, stored.rows(), stored.columns(), states.count);
  fmt::print(
      "left: % of rows and of tiles of 16 rows; read in all: % of the head's bytes, top {}\n",
      kTop);
  fmt::print("{:6} {:12} {:>6} | {:>13} {:>13} {:>13} | {:>13} | {:>13} | read in all, by\n",
             "head", "screen", "reads", "left: greedy", "top 20", "top 40", "by blocks",
             "4 sequences");
  for (const DType type : {DType::kQ8_0, DType::kQ6_K, DType::kQ4_0, DType::kBF16}) {
    if (!tensor::bytes_of(type, stored.columns())) continue;  // columns do not fill its blocks
    const Head head = head_in(context, stored, type);
    Bounds bounds;
    for (const Screen& screen : screens_of(head)) {
      bounds = find_bounds(context, head, states, screen);
      report(head, states, bounds, screen);
      std::fflush(stdout);
    }
    if (type != DType::kQ8_0) continue;
    fmt::print("{:6} blocks of columns, by falling ‖x‖, until a row is ruled out: {:.1f} % read\n",
               "", 100 * columns_read(context, head, states, bounds));
    fmt::print("{:6} rows left by ‖w‖‖x‖: {:.1f} %", "",
               100 * clusters_left(context, head, states, bounds, 0));
    for (const int64_t clusters : {1, 32, 256})
      fmt::print(", {} centres: {:.1f} %", clusters,
                 100 * clusters_left(context, head, states, bounds, clusters));
    fmt::print("\n");
  }
  return {};
}

}  // namespace
}  // namespace godwit

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    fmt::print(stderr, "usage: head_screen MODEL [PROMPTS.jsonl]\n");
    return 2;
  }
  const godwit::Status done = godwit::run(argv[1], argc == 3 ? argv[2] : "");
  if (!done) fmt::print(stderr, "head_screen: {}\n", done.error().message);
  return done ? 0 : 1;
}
