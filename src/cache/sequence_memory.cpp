#include "cache/sequence_memory.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/resident.h"

namespace godwit::cache {

tensor::AlignedBuffer<float> BlockPool::take(size_t floats) {
  const auto found = std::find_if(free_.begin(), free_.end(),
                                  [&](const auto& block) { return block.size() == floats; });
  if (found == free_.end()) return tensor::AlignedBuffer<float>(floats);
  auto block = std::move(*found);
  free_.erase(found);
  return block;
}

void BlockPool::give(tensor::AlignedBuffer<float> block) { free_.push_back(std::move(block)); }

void BlockPool::make_ready() {
  tensor::AlignedBuffer<float> block(floats_);
  make_resident(std::as_bytes(block.span()));
  give(std::move(block));
}

size_t block_floats(const CacheGeometry& geometry) {
  return geometry.layer_floats() * static_cast<size_t>(geometry.recurrent_layers);
}
int64_t snapshot_pages(const CacheGeometry& geometry) {
  const size_t page = geometry.page_bytes();
  return static_cast<int64_t>((block_floats(geometry) * sizeof(float) + page - 1) / page);
}

SequenceMemory::SequenceMemory(const CacheGeometry& geometry, PagePool& pool, BlockPool& blocks,
                               const Undo& undo)
    : geometry_(geometry),
      pool_(pool),
      blocks_(blocks),
      drafts_(undo.drafts),
      window_(undo.window > 0 ? std::max(undo.window, undo.drafts + 1) : 0),
      log_size_(log_size(undo.window, undo.drafts)),
      replay_(undo.replay),
      recurrent_(geometry.recurrent_layers),
      block_(blocks.take()) {
  CHECK(blocks.floats() == block_floats(geometry) && pool.page_bytes() == geometry.page_bytes());
  std::memset(block_.data(), 0, block_.size() * sizeof(float));
  CHECK(drafts_ < kLoggedCall);
  if (log_size_ == 0) return;
  const size_t entries = static_cast<size_t>(geometry.recurrent_layers * log_size_);
  factors_ = blocks.take(entries * geometry.factor_floats());
  columns_ = blocks.take(entries * geometry.conv_channels);
  if (window_ > 0) base_ = blocks.take();
}

int64_t SequenceMemory::log_size(int window, int drafts) {
  const int64_t call = drafts > 0 ? drafts + 1 : 0;
  return window > 0 ? 2 * std::max<int64_t>(window, call) : call;
}

SequenceMemory::~SequenceMemory() {
  for (PageId page : pages_) pool_.release(page);
  blocks_.give(std::move(block_));
  if (window_ > 0) blocks_.give(std::move(base_));
  if (near_.size() > 0) blocks_.give(std::move(near_));
  if (log_size_ == 0) return;
  blocks_.give(std::move(factors_));
  blocks_.give(std::move(columns_));
}

int64_t SequenceMemory::pages_needed(int64_t tokens) const {
  const int64_t size = geometry_.page_tokens;
  const int64_t wanted = (length_ + tokens + size - 1) / size;
  int64_t needed = std::max<int64_t>(0, wanted - static_cast<int64_t>(pages_.size()));
  // Rows that others may read are about to be written again (positions were taken back): those
  // pages are copied.
  for (int64_t p = length_ / size; p * size < published_ && p < static_cast<int64_t>(pages_.size());
       ++p) {
    if (length_ < published_ && pool_.references(pages_[p]) > 1) ++needed;
  }
  return needed;
}

bool SequenceMemory::reserve(int64_t tokens) {
  if (pool_.free() < pages_needed(tokens)) return false;
  const int64_t size = geometry_.page_tokens;
  if (length_ < published_) {
    for (int64_t p = length_ / size;
         p * size < published_ && p < static_cast<int64_t>(pages_.size()); ++p) {
      if (pool_.references(pages_[p]) == 1) continue;
      const PageId copy = pool_.allocate();
      std::memcpy(pool_.data(copy), pool_.data(pages_[p]), pool_.page_bytes());
      pool_.release(pages_[p]);
      pages_[p] = copy;
      addresses_[p] = pool_.data(copy);
    }
    published_ = length_;
  }
  while (static_cast<int64_t>(pages_.size()) * size < length_ + tokens) {
    pages_.push_back(pool_.allocate());
    addresses_.push_back(pool_.data(pages_.back()));
  }
  return true;
}

float* SequenceMemory::state_of(tensor::AlignedBuffer<float>& block, int layer) const {
  return block.data() + geometry_.layer_floats() * static_cast<size_t>(layer);
}

SequenceView SequenceMemory::view(int64_t tokens, int64_t drafts) {
  CHECK(static_cast<int64_t>(pages_.size()) * geometry_.page_tokens >= length_ + tokens);
  CHECK(drafts == 0 || (drafts <= drafts_ && drafts < tokens && tokens <= drafts_ + 1));
  drafted_ = drafts > 0;
  if (is_logged(tokens)) {
    if (logged_ < 0) start_log();
    if (logged_ + tokens > log_size_) drop_from_log(logged_ + tokens - drafts - window_);
  } else if (drafted_) {
    logged_ = 0;
  }
  if (drafted_) start_near();  // the block is written anew
  const bool log = drafted_ || is_logged(tokens);
  for (int layer = 0; layer < geometry_.recurrent_layers; ++layer) {
    RecurrentView& view = recurrent_[layer];
    view.state = state_of(block_, layer);
    view.from = drafted_ ? state_of(near_, layer) : nullptr;
    view.conv = view.state + geometry_.state_floats();
    const size_t entry = log ? static_cast<size_t>(layer * log_size_ + logged_) : 0;
    view.factors = log ? factors_.data() + entry * geometry_.factor_floats() : nullptr;
    view.conv_log = log ? columns_.data() + entry * geometry_.conv_channels : nullptr;
  }
  return {.pages = addresses_, .cached = length_, .recurrent = recurrent_};
}

void SequenceMemory::advance(int64_t tokens) {
  length_ += tokens;
  logged_ = drafted_ || is_logged(tokens) ? logged_ + tokens : -1;
  if (!drafted_) near_at_ = -1;
}

int64_t SequenceMemory::undoable() const { return std::max<int64_t>(0, logged_); }

void SequenceMemory::start_log() {
  std::memcpy(base_.data(), block_.data(), block_.size() * sizeof(float));
  logged_ = 0;
}

void SequenceMemory::start_near() {
  if (near_.size() == 0) {
    near_ = blocks_.take();
    std::memset(near_.data(), 0, near_.size() * sizeof(float));  // what lies between layers
  }
  std::swap(near_, block_);
  near_at_ = logged_;
  for (int layer = 0; layer < geometry_.recurrent_layers; ++layer)
    copy_conv(state_of(near_, layer), state_of(block_, layer));
}

void SequenceMemory::copy_conv(const float* from, float* to) const {
  const size_t at = geometry_.state_floats();
  std::copy_n(from + at, geometry_.conv_floats(), to + at);
}

// conv as of the log's entry `first` → as of `positions` later: the last three of (conv, columns).
void SequenceMemory::move_conv(float* conv, int layer, int64_t first, int64_t positions) const {
  const int64_t columns = geometry_.conv_columns, channels = geometry_.conv_channels;
  const float* log = columns_.data() + (layer * log_size_ + first) * channels;
  for (int64_t c = 0; c < columns; ++c) {
    const int64_t from = c + positions;  // in (conv, log)
    const float* source =
        from < columns ? conv + from * channels : log + (from - columns) * channels;
    std::memmove(conv + c * channels, source, channels * sizeof(float));
  }
}

void SequenceMemory::replay(tensor::AlignedBuffer<float>& source, int64_t first, int64_t positions,
                            tensor::AlignedBuffer<float>& target) {
  const auto factor = static_cast<int64_t>(geometry_.factor_floats());
  for (int layer = 0; layer < geometry_.recurrent_layers; ++layer) {
    float* to = state_of(target, layer);
    const float* from = state_of(source, layer);
    const float* factors = factors_.data() + (layer * log_size_ + first) * factor;
    replay_(factors, positions, to == from ? nullptr : from, to);
    if (to != from) copy_conv(from, to);
    move_conv(to + geometry_.state_floats(), layer, first, positions);
  }
}

void SequenceMemory::drop_from_log(int64_t positions) {
  replay(base_, 0, positions, base_);
  logged_ -= positions;
  near_at_ = -1;
  const size_t factor = geometry_.factor_floats(), channels = geometry_.conv_channels;
  for (int layer = 0; layer < geometry_.recurrent_layers; ++layer) {
    float* factors = factors_.data() + layer * log_size_ * factor;
    float* columns = columns_.data() + layer * log_size_ * channels;
    std::memmove(factors, factors + positions * factor, logged_ * factor * sizeof(float));
    std::memmove(columns, columns + positions * channels, logged_ * channels * sizeof(float));
  }
}

void SequenceMemory::take_back(int64_t positions) {
  CHECK(positions >= 0 && positions <= undoable());
  if (positions == 0) return;
  logged_ -= positions;
  length_ -= positions;
  if (near_at_ >= 0 && near_at_ <= logged_) {
    replay(near_, near_at_, logged_ - near_at_, block_);
  } else {
    replay(base_, 0, logged_, block_);
    near_at_ = -1;
  }
  const int64_t size = geometry_.page_tokens;
  while (static_cast<int64_t>(pages_.size()) > (length_ + size - 1) / size) {
    pool_.release(pages_.back());
    pages_.pop_back();
    addresses_.pop_back();
  }
}

bool SequenceMemory::attach(int64_t position, std::span<const PageId> pages,
                            const Snapshot& snapshot) {
  CHECK(length_ == 0 && pages_.empty() && position > 0);
  const int64_t size = geometry_.page_tokens, full = position / size;
  CHECK(static_cast<int64_t>(pages.size()) == (position + size - 1) / size);
  if (position % size != 0) {
    const PageId copy = pool_.allocate();
    if (copy == kNoPage) return false;
    std::memcpy(pool_.data(copy), pool_.data(pages[full]), pool_.page_bytes());
    pages_.push_back(copy);
  }
  pages_.insert(pages_.begin(), pages.begin(), pages.begin() + full);
  for (int64_t p = 0; p < full; ++p) pool_.retain(pages_[p]);
  for (PageId page : pages_) addresses_.push_back(pool_.data(page));
  auto* bytes = reinterpret_cast<std::byte*>(block_.data());
  size_t left = block_.size() * sizeof(float);
  for (PageId page : snapshot.pages) {
    const size_t n = std::min(left, pool_.page_bytes());
    std::memcpy(bytes, pool_.data(page), n);
    bytes += n;
    left -= n;
  }
  CHECK(left == 0);
  length_ = position;
  published_ = 0;  // what is shared lies before `length`, and positions before it are never written
  logged_ = near_at_ = -1;
  return true;
}

std::optional<Snapshot> SequenceMemory::snapshot() const {
  const int64_t count = snapshot_pages(geometry_);
  if (pool_.free() < count) return std::nullopt;
  Snapshot result;
  const auto* bytes = reinterpret_cast<const std::byte*>(block_.data());
  size_t left = block_.size() * sizeof(float);
  for (int64_t i = 0; i < count; ++i) {
    const PageId page = pool_.allocate();
    const size_t n = std::min(left, pool_.page_bytes());
    std::memcpy(pool_.data(page), bytes, n);
    bytes += n;
    left -= n;
    result.pages.push_back(page);
  }
  return result;
}

size_t SequenceMemory::undo_bytes(const CacheGeometry& geometry, int undo_window, int drafts) {
  const size_t entries =
      static_cast<size_t>(geometry.recurrent_layers * log_size(undo_window, drafts));
  const size_t blocks = (undo_window > 0) + (drafts > 0);
  return (entries * (geometry.factor_floats() + geometry.conv_channels) +
          blocks * block_floats(geometry)) *
         sizeof(float);
}

void SequenceMemory::clear() {
  for (PageId page : pages_) pool_.release(page);
  pages_.clear();
  addresses_.clear();
  length_ = published_ = 0;
  logged_ = near_at_ = -1;
  std::memset(block_.data(), 0, block_.size() * sizeof(float));
}

}  // namespace godwit::cache
