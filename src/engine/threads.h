// How many threads compute. Decoding is limited by the memory, which a few cores may exhaust;
// prompts and pictures are limited by the cores. Counts that nobody has given come from a short
// probe at the first run on a machine, which is kept; before it, every performance core is used.
#pragma once

#include <algorithm>

#include "engine/engine.h"

namespace godwit::engine {

constexpr int64_t kDecodeRows = 8;  // with so few the memory is the limit, with more the cores

struct ThreadCounts {
  int prefill = 1, decode = 1, vision = 1;
  int of_rows(int64_t rows) const { return rows <= kDecodeRows ? decode : prefill; }
  int most() const { return std::max({prefill, decode, vision}); }
};

// Given counts, else those of an earlier probe, else the topology's.
ThreadCounts thread_counts(const EngineOptions& options);
// Measures, if nothing is given or known, and there is a folder to keep the finding in. Takes a
// fraction of a second.
void probe_threads(const EngineOptions& options);

// Other programs take a good part of the processor: a probe would find what is true now only.
bool machine_is_busy();

}  // namespace godwit::engine
