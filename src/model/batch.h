// Batch: ragged tokens of many sequences, in one call of forward().
#pragma once

#include <cstdint>
#include <span>

#include "cache/views.h"
#include "tensor/view.h"

namespace godwit::model {

struct Position {
  int32_t time = 0, height = 0, width = 0;
};

struct BatchSequence {
  int64_t first = 0, count = 0;  // its tokens: rows [first, first + count)
  cache::SequenceView memory;
};

struct Batch {
  std::span<const int32_t> ids;              // [n]
  std::span<const Position> positions;       // [n]
  std::span<const BatchSequence> sequences;  // cover the n rows, in order
  // Of every sequence's pages: Model::cache_geometry() for forward(), draft_cache_geometry() for
  // draft().
  const cache::CacheGeometry* geometry = nullptr;
  // Rows that stand in place of the embeddings of picture and video pads: vision_row[i] is the row
  // of token i in `vision`, or −1.
  tensor::ConstMatrixView vision;       // [v, hidden]
  std::span<const int32_t> vision_row;  // [n], or empty: none
  std::span<const int32_t> logit_rows;  // rows of the batch whose logits are wanted, rising
};

// Where forward() puts its results; views into memory that the caller owns. An empty view: not
// wanted.
struct BatchOutput {
  // [logit_rows, vocabulary rows], or of the first so many ids only (a multiple of 16).
  tensor::MatrixView logits;
  tensor::MatrixView hidden;  // [n, hidden], after the final norm (what the drafting head eats)
};

}  // namespace godwit::model
