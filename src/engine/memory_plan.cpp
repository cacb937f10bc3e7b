#include "engine/memory_plan.h"

#include <algorithm>
#include <filesystem>

#include "base/container.h"
#include "cache/sequence_memory.h"
#include "engine/draft_state.h"

namespace godwit::engine {
namespace {

// Of one question: after the system message, after the question, before the answer, after it.
constexpr int64_t kSnapshotsOfOne = 4;
constexpr int64_t kMostSnapshots = 64;
// Program and libraries (mapped), stacks, heap, buffers of requests.
constexpr size_t kProcessBytes = size_t{20} << 20;
// Measured, with 248,000 tokens and as many merges: strings of the file and the look-up tables.
constexpr size_t kBytesPerToken = 100, kBytesPerMerge = 150;
constexpr size_t kJsonPercent = 400;  // of the size of a tokenizer.json
// Rows of an embedding table that is read from its file are forgotten now and then
// (model/decoder.cpp); until then each may bring its neighbours with it.
constexpr size_t kMappedRows = size_t{32} << 20;

int64_t pages_of_one(const Settings& settings) {  // one more, for the copy of a shared partial page
  return (settings.context + kPageTokens - 1) / kPageTokens + 1;
}

size_t tokenizer_bytes(const checkpoint::ModelFiles& files) {
  if (files.gguf) {
    const auto* tokens = files.gguf->strings("tokenizer.ggml.tokens");
    const auto* merges = files.gguf->strings("tokenizer.ggml.merges");
    return (tokens ? tokens->size() : 0) * kBytesPerToken +
           (merges ? merges->size() : 0) * kBytesPerMerge;
  }
  std::error_code unknown;
  const auto size = std::filesystem::file_size(files.tokenizer_json_path, unknown);
  return unknown ? 0 : size / 100 * kJsonPercent;
}

// Of one sequence: the head's keys and values, and the hidden rows that it will be fed.
size_t draft_bytes(const Settings& settings, int64_t hidden) {
  return cache::WindowMemory::bytes(settings.draft_geometry, settings.draft_window) +
         static_cast<size_t>(2 * kDraftRowsKept * hidden) * sizeof(float);
}

// forward()'s hidden rows, a batch for the head with its results, logits.
size_t drafter_bytes(const Settings& settings, int64_t hidden) {
  const int64_t rows = settings.workspace.max_tokens + 2 * kDraftRowsKept;
  return static_cast<size_t>(rows * hidden + settings.draft_ids) * sizeof(float);
}

}  // namespace

Result<int64_t> choose_pages(const EngineOptions& options, const Settings& settings,
                             size_t weights) {
  const size_t page = settings.geometry.page_bytes();
  const int64_t one = pages_of_one(settings);
  const int64_t snapshot = options.prefix_cache ? cache::snapshot_pages(settings.geometry) : 0;
  const int64_t least = one + snapshot;
  if (options.cache_bytes > 0) {
    const auto pages = static_cast<int64_t>(options.cache_bytes / page);
    if (pages < least) {
      return bad_input("cache: a context of {} tokens needs {} bytes, found {}", settings.context,
                       static_cast<size_t>(least) * page, options.cache_bytes);
    }
    return pages;
  }
  const size_t available = available_memory();
  const auto quarter =
      static_cast<int64_t>((available > weights ? available - weights : 0) / 4 / page);
  // Beyond this nothing can be used: every sequence with a full context, and snapshots along them.
  const int64_t most = options.max_sequences * one + kMostSnapshots * snapshot;
  return std::max(least, std::min(quarter, most));
}

MemoryPlan plan_memory(const EngineOptions& options, const Settings& settings,
                       const checkpoint::ModelFiles& files, const model::WeightPlan& weights,
                       size_t workspace, const model::TextConfig& config) {
  const cache::CacheGeometry& geometry = settings.geometry;
  const int64_t one = pages_of_one(settings);
  const int64_t snapshots =
      options.prefix_cache
          ? std::min(kSnapshotsOfOne * cache::snapshot_pages(geometry), settings.pages - one)
          : 0;
  size_t state = cache::block_floats(geometry) * sizeof(float) +
                 cache::SequenceMemory::undo_bytes(geometry, settings.undo_window, settings.drafts);
  const size_t logits = static_cast<size_t>(config.vocab_size) * sizeof(float);
  if (settings.drafts > 0) {
    state += draft_bytes(settings, config.hidden_size);
    workspace += drafter_bytes(settings, config.hidden_size) + settings.drafts * logits;
  }
  MemoryPlan plan;
  plan.weights = weights.packed_bytes + std::min(weights.mapped_bytes, kMappedRows);
  plan.kv_pages = static_cast<size_t>(one) * geometry.page_bytes();
  plan.snapshots = static_cast<size_t>(snapshots) * geometry.page_bytes();
  plan.recurrent = state;
  plan.workspace = workspace + logits;
  plan.tokenizer = tokenizer_bytes(files);
  plan.other = kProcessBytes;
  if (const size_t available = available_memory(); weights.expert_bytes > 0 &&
                                                   !options.packed_folder.empty() &&
                                                   plan.total() > available && available > 0) {
    plan.weights -= weights.expert_bytes;
    plan.on_disk = weights.expert_bytes;
  }
  const int64_t more_logits = settings.workspace.max_logit_rows - 1 - settings.drafts;
  plan.limit = plan.total() +
               static_cast<size_t>(settings.pages - one - snapshots) * geometry.page_bytes() +
               static_cast<size_t>(options.max_sequences - 1) * state +
               static_cast<size_t>(more_logits) * logits;
  return plan;
}

}  // namespace godwit::engine
