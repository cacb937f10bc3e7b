#include "cache/prefix_files.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace godwit::cache {
namespace {

uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ull;
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ull;
  return x ^ (x >> 32);
}

// Calls run(address, bytes) for the rows of positions [first, last) of page `page`, in the order
// in which a record has them.
template <class Run>
void for_runs(const CacheGeometry& g, std::byte* page, int64_t first, int64_t last,
              const Run& run) {
  if (last - first == g.page_tokens) return run(page, g.page_bytes());
  const size_t row = g.row_bytes();
  for (int rows = 0; rows < 2 * g.attention_layers * g.kv_heads; ++rows)
    run(page + (static_cast<size_t>(rows) * g.page_tokens + first) * row, (last - first) * row);
}

}  // namespace

std::vector<Hash128> chain_hashes(std::span<const Key> keys) {
  std::vector<Hash128> hashes(keys.size() + 1);
  hashes[0] = {0x243f6a8885a308d3ull, 0x13198a2e03707344ull};
  for (size_t i = 0; i < keys.size(); ++i) {
    hashes[i + 1] = {mix(hashes[i].low ^ mix(keys[i])), mix(hashes[i].high + mix(~keys[i]))};
  }
  return hashes;
}

size_t PrefixFiles::position_bytes() const {
  return geometry_.row_bytes() * geometry_.kv_heads * 2 * geometry_.attention_layers;
}

// The next record that is wanted and can be had. False: there is none.
bool PrefixFiles::begin_record(Spill& spill) const {
  for (; spill.next < spill.positions.size(); ++spill.next) {
    const int64_t position = spill.positions[spill.next], first = spill.parent_position;
    if (position <= first) continue;
    const Hash128& key = spill.hashes[position];
    if (store_.contains(RecordKind::kPrefix, key)) {
      store_.used(RecordKind::kPrefix, key);
      spill.parent = key;
      spill.parent_position = position;
      continue;
    }
    if (!tree_.has_snapshot(std::span(spill.keys).first(position))) continue;
    const auto count = static_cast<size_t>(position - first);
    spill.packed = 0;
    spill.record.emplace(Record{RecordKind::kPrefix,
                                key,
                                {spill.parent, position, first, {}},
                                Bytes(count * (sizeof(Key) + position_bytes())),
                                Bytes(block_floats(geometry_) * sizeof(float))});
    std::memcpy(spill.record->body.data(), spill.keys.data() + first, count * sizeof(Key));
    return true;
  }
  return false;
}

// Pages of the body come first, then those of the snapshot.
void PrefixFiles::pack_page(Spill& spill, std::span<const PageId> pages,
                            const Snapshot& snapshot) const {
  Record& record = *spill.record;
  const int64_t size = geometry_.page_tokens, first = record.facts.parent_position,
                last = record.facts.position, page = first / size + spill.packed;
  if (page < static_cast<int64_t>(pages.size())) {
    const int64_t begin = std::max(first, page * size), end = std::min(last, (page + 1) * size);
    std::byte* to =
        record.body.data() + (last - first) * sizeof(Key) + (begin - first) * position_bytes();
    for_runs(geometry_, pool_.data(pages[page]), begin - page * size, end - page * size,
             [&](const std::byte* rows, size_t bytes) {
               std::memcpy(to, rows, bytes);
               to += bytes;
             });
  } else {
    const auto i = static_cast<size_t>(page) - pages.size();
    const size_t at = i * pool_.page_bytes();
    std::memcpy(record.tail.data() + at, pool_.data(snapshot.pages[i]),
                std::min(record.tail.size() - at, pool_.page_bytes()));
  }
  ++spill.packed;
}

bool PrefixFiles::spill_page(Spill& spill) {
  if (spill.hashes.empty()) spill.hashes = chain_hashes(spill.keys);
  if (!spill.record && !begin_record(spill)) return false;
  const int64_t position = spill.record->facts.position;
  std::vector<PageId> pages;
  Snapshot snapshot;
  bool is_over = !tree_.get(std::span(spill.keys).first(position), pages, snapshot);
  if (!is_over) {
    pack_page(spill, pages, snapshot);
    const int64_t before = spill.record->facts.parent_position / geometry_.page_tokens,
                  all = static_cast<int64_t>(pages.size() + snapshot.pages.size()) - before;
    is_over = spill.packed == all;
    if (is_over) {
      const Hash128 key = spill.record->key;
      store_.put(std::move(*spill.record));
      if (store_.contains(RecordKind::kPrefix, key)) {
        spill.parent = key;
        spill.parent_position = position;
      }
    }
  }
  if (is_over) {
    spill.record.reset();
    ++spill.next;
  }
  return spill.next < spill.positions.size();
}

std::vector<PrefixFiles::Link> PrefixFiles::longest_chain(const std::vector<Hash128>& hashes,
                                                          int64_t above, int64_t limit) const {
  for (int64_t position = std::min<int64_t>(limit, static_cast<int64_t>(hashes.size()) - 1);
       position > above; --position) {
    std::vector<Link> chain;
    Hash128 key = hashes[position];
    int64_t at = position;
    while (at > 0) {
      auto facts = store_.find(RecordKind::kPrefix, key);
      // A file can claim anything: it must lie where its key says, and go on from before.
      if (!facts || facts->position != at || facts->parent_position < 0 ||
          facts->parent_position >= at)
        break;
      chain.push_back({key, facts});
      at = facts->parent_position;
      key = facts->parent;
      if (at > 0 && key != hashes[at]) break;
    }
    if (at == 0) {
      std::reverse(chain.begin(), chain.end());
      return chain;
    }
  }
  return {};
}

bool PrefixFiles::fill(const std::vector<Link>& chain, std::span<const Key> keys,
                       std::span<const PageId> pages, int64_t known, int64_t fresh,
                       const Snapshot& snapshot) {
  const int64_t size = geometry_.page_tokens;
  std::vector<Reading> readings;
  std::vector<const Link*> links;
  std::vector<std::vector<Key>> found;  // keys of each
  Bytes unused;                         // rows of pages that are there, read for their record's sum
  for (const Link& link : chain) {
    const int64_t first = link.facts->parent_position, last = link.facts->position;
    if (last <= known) continue;
    links.push_back(&link);
    std::vector<Key>& its_keys = found.emplace_back(last - first);
    std::vector<std::span<std::byte>> parts = {std::as_writable_bytes(std::span(its_keys))};
    if (first < fresh * size) {  // of the first of these records only
      unused = Bytes((fresh * size - first) * position_bytes());
      parts.push_back(unused.span());
    }
    for (int64_t page = std::max(fresh, first / size); page * size < last; ++page) {
      for_runs(geometry_, pool_.data(pages[page]), std::max(first - page * size, int64_t{0}),
               std::min(last - page * size, size),
               [&](std::byte* rows, size_t bytes) { parts.emplace_back(rows, bytes); });
    }
    readings.push_back({RecordKind::kPrefix, link.key, Reading::kBody, std::move(parts)});
  }
  Reading tail{RecordKind::kPrefix, chain.back().key, Reading::kTail, {}};
  size_t left = block_floats(geometry_) * sizeof(float);
  for (PageId page : snapshot.pages) {
    tail.parts.emplace_back(pool_.data(page), std::min(left, pool_.page_bytes()));
    left -= tail.parts.back().size();
  }
  readings.push_back(std::move(tail));
  if (!store_.read(readings, &compute_)) return false;
  for (size_t i = 0; i < links.size(); ++i) {
    const auto wanted = keys.subspan(links[i]->facts->parent_position);
    if (std::equal(found[i].begin(), found[i].end(), wanted.begin())) continue;
    store_.forget(RecordKind::kPrefix, links[i]->key);  // hashes that collide
    return false;
  }
  return true;
}

int64_t PrefixFiles::restore(std::span<const Key> keys, int64_t limit) {
  constexpr int kAttempts = 4;  // what lies before a damaged file is still good
  const auto hashes = chain_hashes(keys);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    // Anew each time: an attempt that fails may have made room by what was known.
    const int64_t known = tree_.longest_position(keys, limit);
    const auto chain = longest_chain(hashes, known, limit);
    if (chain.empty()) break;
    const Brought brought = bring(chain, keys, known);
    if (brought == Brought::kAll) return chain.back().facts->position;
    if (brought == Brought::kNoRoom) break;
  }
  return 0;
}

PrefixFiles::Brought PrefixFiles::bring(const std::vector<Link>& chain, std::span<const Key> keys,
                                        int64_t known) {
  const int64_t position = chain.back().facts->position, size = geometry_.page_tokens;
  // Pages that the tree has, a copy of a partial last one, and new ones.
  const int64_t full = known / size, fresh = (position + size - 1) / size - full,
                states = snapshot_pages(geometry_);
  std::vector<PageId> known_pages, pages;
  Snapshot snapshot, unused;
  if (known > 0) CHECK(tree_.get(keys.first(known), known_pages, unused));
  for (PageId page : known_pages) pool_.retain(page);  // not given away while room is made
  // Nothing is given away for less than all of it.
  const bool fits = pool_.free() + tree_.evictable_pages() >= fresh + states;
  Brought brought = Brought::kNoRoom;
  if (fits && tree_.evict(fresh + states)) {
    for (int64_t p = 0; p < full; ++p) pages.push_back(known_pages[p]), pool_.retain(pages.back());
    for (int64_t p = 0; p < fresh; ++p) pages.push_back(pool_.allocate());
    for (int64_t p = 0; p < states; ++p) snapshot.pages.push_back(pool_.allocate());
    if (known % size != 0)
      std::memcpy(pool_.data(pages[full]), pool_.data(known_pages[full]), pool_.page_bytes());
    if (fill(chain, keys, pages, known, full, snapshot)) {
      brought = Brought::kAll;
      tree_.insert(keys.first(position), pages, std::move(snapshot));
      for (auto link = chain.rbegin(); link != chain.rend(); ++link)
        store_.used(RecordKind::kPrefix, link->key);
    } else {
      brought = Brought::kDamaged;
      for (PageId page : snapshot.pages) pool_.release(page);
    }
    for (PageId page : pages) pool_.release(page);
  }
  for (PageId page : known_pages) pool_.release(page);
  return brought;
}

}  // namespace godwit::cache
