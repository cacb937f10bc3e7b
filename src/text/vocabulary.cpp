#include "text/vocabulary.h"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>

namespace godwit::text {
namespace {

// Printable Latin-1 stands for itself; the other 68 bytes are U+0100 and up, in order.
constexpr std::array<int16_t, 0x144> kByteOfPrintable = [] {
  std::array<int16_t, 0x144> table{};
  table.fill(-1);
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    table[printable ? byte : next++] = static_cast<int16_t>(byte);
  }
  return table;
}();

uint32_t hash_of(std::string_view bytes) {
  return static_cast<uint32_t>(std::hash<std::string_view>()(bytes));
}

}  // namespace

bool append_bytes_of_printable(std::string_view printable, std::string& out) {
  for (size_t at = 0; at < printable.size(); ++at) {
    size_t character = static_cast<unsigned char>(printable[at]);
    if (character >= 0x80) {  // the alphabet ends below U+0144: two bytes, the first C2 to C5
      if (character < 0xc2 || character > 0xc5 || ++at == printable.size()) return false;
      const size_t second = static_cast<unsigned char>(printable[at]);
      if ((second & 0xc0) != 0x80) return false;
      character = (character & 0x1f) << 6 | (second & 0x3f);
    }
    if (character >= kByteOfPrintable.size() || kByteOfPrintable[character] < 0) return false;
    out += static_cast<char>(kByteOfPrintable[character]);
  }
  return true;
}

void Vocabulary::reserve(size_t n_tokens) {
  n_tokens = std::min(n_tokens, static_cast<size_t>(kMaxSize));
  tokens_.reserve(n_tokens);
  grow(std::bit_ceil(2 * n_tokens + 2));
}

Status Vocabulary::check_new(int64_t id, std::string_view bytes) const {
  if (id < 0 || id >= kMaxSize) return bad_input("id {}: expected 0 to {}", id, kMaxSize - 1);
  if (bytes.empty()) return bad_input("id {}: empty token", id);
  if (has(static_cast<int32_t>(id))) return bad_input("id {} is given to two tokens", id);
  return {};
}

Status Vocabulary::add_unsearchable(int64_t id, std::string bytes) {
  TRY_STATUS(check_new(id, bytes));
  if (id >= size()) tokens_.resize(id + 1);
  tokens_[id] = std::move(bytes);
  return {};
}

Status Vocabulary::add(int64_t id, std::string bytes) {
  if (2 * (n_searchable_ + 1) > slots_.size()) grow(std::max<size_t>(1024, 2 * slots_.size()));
  const uint32_t hash = hash_of(bytes);
  Slot& slot = slots_[find_slot(bytes, hash)];
  if (slot.id >= 0) return bad_input("ids {} and {} are given to the same token", slot.id, id);
  TRY_STATUS(add_unsearchable(id, std::move(bytes)));
  slot = {static_cast<int32_t>(id), hash};
  ++n_searchable_;
  return {};
}

int32_t Vocabulary::find(std::string_view bytes) const {
  if (slots_.empty()) return -1;
  return slots_[find_slot(bytes, hash_of(bytes))].id;
}

// The slot of these bytes, or the free one where they would go.
size_t Vocabulary::find_slot(std::string_view bytes, uint32_t hash) const {
  const size_t mask = slots_.size() - 1;
  size_t at = hash & mask;
  while (slots_[at].id >= 0 && (slots_[at].hash != hash || tokens_[slots_[at].id] != bytes))
    at = (at + 1) & mask;
  return at;
}

void Vocabulary::grow(size_t n_slots) {
  if (n_slots <= slots_.size()) return;
  std::vector<Slot> old(n_slots);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.id < 0) continue;
    size_t at = slot.hash & (n_slots - 1);
    while (slots_[at].id >= 0) at = (at + 1) & (n_slots - 1);
    slots_[at] = slot;
  }
}

}  // namespace godwit::text
