// The same answer, to the bit, alone or in company; and to rounding, whole or in chunks. No
// allocation while running.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <new>
#include <random>

#include "model/plain_memory.h"
#include "model/workspace.h"
#include "tensor/blocks.h"
#include "tests/model/memory_files.h"

namespace {
std::atomic<int64_t> allocations{0};
}
void* operator new(size_t size) {
  ++allocations;
  if (void* p = std::malloc(size)) return p;
  std::abort();
}
// Large buffers come from here (tensor::AlignedBuffer).
extern "C" int posix_memalign(void** target, size_t alignment, size_t size) noexcept {
  ++allocations;
  *target = memalign(alignment, size);
  return *target ? 0 : ENOMEM;
}
void* operator new(size_t size, std::align_val_t alignment) {
  void* p = nullptr;
  if (posix_memalign(&p, static_cast<size_t>(alignment), size) == 0) return p;
  std::abort();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { std::free(p); }

namespace godwit::model {
namespace {

using tensor::MatrixView;

// The demonstration model's matrices as a Q4_K_M file has them: Q4_K, some Q6_K, and Q8_0 where
// rows are no multiple of 256.
EditableFolder nano_in_blocks() {
  EditableFolder folder("nano");
  for (const std::string& name : folder.tensors->names()) {
    const tensor::TensorView view = *folder.tensors->find(name);
    const int64_t n = view.columns();
    if (view.shape.rank() != 2 || n % 32 != 0) continue;
    const tensor::DType type = n % 256 != 0                         ? tensor::DType::kQ8_0
                               : name.ends_with("down_proj.weight") ? tensor::DType::kQ6_K
                                                                    : tensor::DType::kQ4_K;
    const size_t stored = tensor::bytes_of(view.dtype, n).value(),
                 made = tensor::bytes_of(type, n).value();
    std::vector<std::byte> blocks(view.rows() * made);
    std::vector<float> row(n);
    for (int64_t i = 0; i < view.rows(); ++i) {
      tensor::dequantize_row(view.dtype, view.data + i * stored, row.data(), n);
      tensor::quantize_row(type, row.data(), blocks.data() + i * made, n);
    }
    folder.tensors->add(name, type, view.shape, blocks);
  }
  return folder;
}

// A model with sequences of its own. GODWIT_ISA chooses the kernels.
struct Runner {
  explicit Runner(const std::string& family) : Runner(EditableFolder(family)) {}
  explicit Runner(EditableFolder from)
      : folder(std::move(from)),
        model(Model::load(folder.files,
                          {&pool, &kernels::kernel_table(isa_from_environment().value())})
                  .value()),
        workspace(model->make_workspace({.max_tokens = 256,
                                         .max_logit_rows = 256,
                                         .max_context = 512,
                                         .max_patches = 256,
                                         .max_segment = 256})) {}

  PlainMemory new_memory() const {
    return {model->cache_geometry(tensor::DType::kF16, 16), 512, 256};
  }
  PlainMemory new_draft_memory() const {
    return {model->draft_cache_geometry(tensor::DType::kF16, 16), 512};
  }
  int64_t vocabulary() const { return model->config().text.vocab_size; }

  struct Part {
    PlainMemory* memory;
    std::vector<int32_t> ids;
    std::vector<cache::RecurrentPause> pauses{};
  };
  // Logits of every row of all parts, in one forward().
  std::vector<float> forward(const std::vector<Part>& parts) {
    std::vector<int32_t> ids, logit_rows;
    std::vector<Position> positions;
    std::vector<BatchSequence> sequences;
    for (const Part& part : parts) {
      sequences.push_back({int64_t(ids.size()), int64_t(part.ids.size()), part.memory->view()});
      sequences.back().memory.pauses = part.pauses;
      for (int32_t id : part.ids) {
        const auto p =
            static_cast<int32_t>(part.memory->cached() + ids.size() - sequences.back().first);
        logit_rows.push_back(static_cast<int32_t>(ids.size()));
        ids.push_back(id);
        positions.push_back({p, p, p});
      }
    }
    std::vector<float> logits(ids.size() * vocabulary());
    const Batch batch{.ids = ids,
                      .positions = positions,
                      .sequences = sequences,
                      .geometry = &parts.front().memory->geometry(),
                      .logit_rows = logit_rows};
    model->forward(batch, *workspace,
                   {.logits = {logits.data(), int64_t(ids.size()), vocabulary(), vocabulary()}});
    for (const Part& part : parts) part.memory->advance(part.ids.size());
    return logits;
  }

  ComputePool pool{2};
  EditableFolder folder;
  std::unique_ptr<Model> model;
  std::unique_ptr<Workspace> workspace;
};

std::vector<int32_t> some_ids(int n, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> ids(n);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % 290);
  return ids;
}

std::vector<float> joined(std::vector<float> a, const std::vector<float>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class Invariance : public testing::TestWithParam<const char*> {};

TEST_P(Invariance, CompanionsChangeNoBit) {
  Runner r(GetParam());
  const auto a = some_ids(70, 1), b = some_ids(3, 2), c = some_ids(1, 3), d = some_ids(33, 4);
  PlainMemory a1 = r.new_memory(), b1 = r.new_memory(), c1 = r.new_memory();
  PlainMemory a2 = r.new_memory(), b2 = r.new_memory(), c2 = r.new_memory();
  const auto alone =
      joined(joined(r.forward({{&a1, a}}), r.forward({{&b1, b}})), r.forward({{&c1, c}}));
  EXPECT_EQ(alone, r.forward({{&a2, a}, {&b2, b}, {&c2, c}}));
  // And with something in the caches: a prompt goes on beside two that decode.
  const auto later =
      joined(joined(r.forward({{&a1, d}}), r.forward({{&b1, c}})), r.forward({{&c1, c}}));
  EXPECT_EQ(later, r.forward({{&a2, d}, {&b2, c}, {&c2, c}}));
}

TEST_P(Invariance, ChunksAgreeToRounding) {
  Runner r(GetParam());
  const auto ids = some_ids(150, 5);
  PlainMemory whole_memory = r.new_memory();
  const std::vector<float> whole = r.forward({{&whole_memory, ids}});
  for (const std::vector<int>& cut :
       {std::vector<int>{64, 86}, {1, 63, 86}, {65, 1, 1, 1, 82}, {149, 1}}) {
    PlainMemory memory = r.new_memory();
    std::vector<float> logits;
    auto place = ids.begin();
    for (int n : cut) {
      logits = joined(logits, r.forward({{&memory, {place, place + n}}}));
      place += n;
    }
    double largest = 0;
    ASSERT_TRUE(
        std::all_of(logits.begin(), logits.end(), [](float v) { return std::isfinite(v); }));
    for (size_t i = 0; i < whole.size(); ++i)
      largest = std::max(largest, double(std::abs(whole[i] - logits[i])));
    EXPECT_LT(largest, 0.02) << "first chunk of " << cut[0];  // keys and values in f16
    EXPECT_EQ(memory.cached(), 150);
  }
}

// What verifying drafts rests on; 256 positions is where attention begins another span.
TEST_P(Invariance, AFewRowsHaveTheBitsOfSteps) {
  Runner r(GetParam());
  const auto prompt = some_ids(253, 9);
  for (const int rows : {2, 3, 4, 5, 8}) {
    PlainMemory together = r.new_memory(), apart = r.new_memory();
    r.forward({{&together, prompt}}), r.forward({{&apart, prompt}});
    for (int call = 0; call < 3; ++call) {
      const auto ids = some_ids(rows, 10 + call);
      std::vector<float> steps;
      for (const int32_t id : ids) steps = joined(steps, r.forward({{&apart, {id}}}));
      EXPECT_EQ(r.forward({{&together, ids}}), steps) << rows << " rows, call " << call;
    }
  }
}

// Logits of calls of so many tokens, one after the other.
std::vector<float> in_calls(Runner& r, PlainMemory& memory, const std::vector<int32_t>& ids,
                            const std::vector<int>& counts) {
  std::vector<float> logits;
  auto place = ids.begin();
  for (int n : counts) {
    logits = joined(logits, r.forward({{&memory, {place, place + n}}}));
    place += n;
  }
  return logits;
}

TEST_P(Invariance, CutsAtMultiplesOf64ChangeNoBit) {
  Runner r(GetParam());
  for (int n : {133, 144, 150, 190}) {
    const auto ids = some_ids(n, 6);
    PlainMemory whole = r.new_memory(), cut = r.new_memory(), twice = r.new_memory();
    const auto logits = in_calls(r, whole, ids, {n});
    EXPECT_EQ(logits, in_calls(r, cut, ids, {64, n - 64})) << n;
    EXPECT_EQ(logits, in_calls(r, twice, ids, {64, 64, n - 128})) << n;
  }
}

TEST_P(Invariance, APauseHasTheBitsOfACutAndGivesACopy) {
  Runner r(GetParam());
  const auto ids = some_ids(150, 7);
  PlainMemory cut = r.new_memory(), paused = r.new_memory(), early = r.new_memory();
  const auto logits = in_calls(r, cut, ids, {12, 68, 65, 5});
  const cache::CacheGeometry& g = paused.geometry();
  const size_t bytes = g.layer_floats() * g.recurrent_layers * sizeof(float),
               pages = (bytes + g.page_bytes() - 1) / g.page_bytes();
  std::vector<float> copy(pages * g.page_bytes() / sizeof(float));
  std::vector<std::byte*> addresses;
  for (size_t i = 0; i < pages; ++i)
    addresses.push_back(reinterpret_cast<std::byte*>(copy.data()) + i * g.page_bytes());
  EXPECT_EQ(logits, r.forward({{&paused, ids, {{12, {}}, {80, addresses}, {145, {}}}}}));
  in_calls(r, early, {ids.begin(), ids.begin() + 80}, {12, 68});
  for (int layer = 0; layer < g.recurrent_layers; ++layer) {
    const float* kept = copy.data() + g.layer_floats() * static_cast<size_t>(layer);
    const cache::RecurrentView& view = early.view().recurrent[layer];
    EXPECT_TRUE(std::equal(view.state, view.state + g.state_floats(), kept)) << layer;
    EXPECT_TRUE(std::equal(view.conv, view.conv + g.conv_floats(), kept + g.state_floats()));
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Invariance, testing::Values("qwen35-tiny", "qwen35-moe"),
                         [](const auto& tested) { return std::string(tested.param).substr(7); });

std::vector<float> some_pixels(int64_t patches, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> pixels(patches * 1536);
  for (float& p : pixels) p = float(random() % 256) / 127.5f - 1;
  return pixels;
}

std::vector<float> encode(Runner& r, const std::vector<float>& pixels,
                          const std::vector<VisionGrid>& grids) {
  const int64_t patches = pixels.size() / 1536, H = r.model->config().text.hidden_size;
  std::vector<float> merged(patches / 4 * H);
  r.model->encode_vision({pixels.data(), patches, 1536}, grids, *r.workspace,
                         {merged.data(), patches / 4, H, H});
  return merged;
}

TEST(VisionInvariance, PicturesAndSlicesDoNotSeeEachOther) {
  Runner r("qwen35-tiny");
  const auto a = some_pixels(24, 1), b = some_pixels(16, 2), c = some_pixels(48, 3);
  const std::vector<float> first_slice(c.begin(), c.begin() + 24 * 1536),
      second_slice(c.begin() + 24 * 1536, c.end());
  const auto alone = joined(joined(joined(encode(r, a, {{1, 4, 6}}), encode(r, b, {{1, 4, 4}})),
                                   encode(r, first_slice, {{1, 6, 4}})),
                            encode(r, second_slice, {{1, 6, 4}}));
  EXPECT_EQ(alone, encode(r, joined(joined(a, b), c), {{1, 4, 6}, {1, 4, 4}, {2, 6, 4}}));
}

TEST(Vision, InPartsOrAtOnce) {
  Runner r("qwen35-tiny");
  const auto pixels = some_pixels(24, 9);
  const VisionGrid grid{1, 4, 6};
  const int64_t H = r.model->config().text.hidden_size;
  std::vector<float> merged(6 * H);
  const auto start = [&] {
    return r.model->start_vision({pixels.data(), 24, 1536}, {&grid, 1}, *r.workspace,
                                 {merged.data(), 6, H, H});
  };
  start()->next();  // dropped unfinished
  const auto pass = start();
  int parts = 1;
  while (pass->next()) ++parts;
  EXPECT_EQ(parts, r.model->config().vision->depth);
  EXPECT_EQ(merged, encode(r, pixels, {grid}));
}

TEST(Allocation, NoneWhileRunning) {
  for (const std::string family : {"qwen35-tiny", "qwen35-moe", "nano in blocks"}) {
    Runner r(family == "nano in blocks" ? nano_in_blocks() : EditableFolder(family));
    PlainMemory memory = r.new_memory(), draft_memory = r.new_draft_memory();
    const int64_t H = r.model->config().text.hidden_size, V = r.vocabulary();
    const auto ids = some_ids(100, 7);
    std::vector<Position> positions(100);
    std::vector<float> hidden(100 * H), next(100 * H), logits(V), merged(6 * H);
    const auto pixels = some_pixels(24, 8);
    const VisionGrid grid{1, 4, 6};
    const int64_t before = allocations;
    int64_t first = 0;
    for (int64_t n : {97, 1, 1}) {
      const BatchSequence sequence{0, n, memory.view()}, draft_sequence{0, n, draft_memory.view()};
      const auto last = static_cast<int32_t>(n - 1);
      Batch batch{.ids = std::span(ids).subspan(first, n),
                  .positions = std::span(positions).subspan(first, n),
                  .sequences = {&sequence, 1},
                  .geometry = &memory.geometry(),
                  .logit_rows = {&last, 1}};
      r.model->forward(batch, *r.workspace,
                       {.logits = {logits.data(), 1, V, V}, .hidden = {hidden.data(), n, H, H}});
      batch.sequences = {&draft_sequence, 1};
      batch.geometry = &draft_memory.geometry();
      r.model->draft(batch, {hidden.data(), n, H}, *r.workspace,
                     {.logits = {logits.data(), 1, V, V}, .hidden = {next.data(), n, H, H}});
      memory.advance(n);
      draft_memory.advance(n);
      first += n;
    }
    r.model->encode_vision({pixels.data(), 24, 1536}, {&grid, 1}, *r.workspace,
                           {merged.data(), 6, H, H});
    EXPECT_EQ(allocations - before, 0) << family;
    const int64_t counted = allocations;
    delete new int;
    const tensor::AlignedBuffer<float> buffer(100);
    EXPECT_EQ(allocations - counted, 2) << "the count does not count";
  }
}

TEST(Workspace, HoldsTheLargestBatch) {
  Runner r("qwen35-moe");
  PlainMemory memory = r.new_memory();
  r.forward({{&memory, some_ids(256, 9)}});
  EXPECT_EQ(r.workspace->bytes(), r.model->workspace_bytes(r.workspace->limits()));
  EXPECT_DEATH(r.forward({{&memory, some_ids(257, 9)}}), "workspace was made for");
}

}  // namespace
}  // namespace godwit::model
