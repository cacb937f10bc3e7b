// DraftState: what drafting keeps of one running sequence (drafter.h).
#pragma once

#include <cstdint>
#include <vector>

#include "cache/window_memory.h"
#include "engine/draft_policy.h"
#include "tensor/view.h"

namespace godwit::engine {

constexpr int64_t kDraftWindow = 1024;   // positions that the head sees at least
constexpr int64_t kDraftRowsKept = 256;  // hidden rows that wait for the head, at most twice

struct DraftState {
  cache::WindowMemory memory;  // the head's keys and values
  int64_t hidden;              // values of a row
  int64_t guessed = 0;         // memory's last positions, made from drafts
  std::vector<float> rows{};   // [n, hidden]: of positions [first, first + n), not fed yet
  int64_t first = 0;
  std::vector<int32_t> ids{};  // drafts of the present step
  int64_t unconfirmed = 0;     // of them: computed, not known to be right
  DraftPolicy policy{};

  int64_t pending() const { return static_cast<int64_t>(rows.size()) / hidden; }
  // Where the next row belongs. A sequence that begins anew behind a kept prefix has none of it.
  int64_t end() const { return first + pending(); }
  // Hidden rows of positions [from, …).
  void keep(int64_t from, tensor::ConstMatrixView more);
  void drop_last(int64_t count) { rows.resize(rows.size() - count * hidden); }
};

}  // namespace godwit::engine
