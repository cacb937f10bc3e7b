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

// Calls copy(offset in the body's rows, address in a page, bytes) for every run of rows of
// positions [first, last).
template <class Copy>
void for_rows(const CacheGeometry& g, const PagePool& pool, std::span<const PageId> pages,
              int64_t first, int64_t last, const Copy& copy) {
  const size_t row = g.row_bytes();
  const auto positions = static_cast<size_t>(last - first);
  for (int64_t at = first; at < last;) {
    const int64_t page = at / g.page_tokens, in_page = at % g.page_tokens;
    const int64_t count = std::min<int64_t>(g.page_tokens - in_page, last - at);
    std::byte* data = pool.data(pages[page]);
    for (int half = 0; half < 2 * g.attention_layers; ++half) {
      for (int head = 0; head < g.kv_heads; ++head) {
        const size_t run =
            (static_cast<size_t>(half) * g.kv_heads + head) * positions + (at - first);
        copy(run * row,
             data + half * g.half_bytes() +
                 (static_cast<size_t>(head) * g.page_tokens + in_page) * row,
             count * row);
      }
    }
    at += count;
  }
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

size_t PrefixFiles::body_bytes(int64_t positions) const {
  return static_cast<size_t>(positions) *
         (sizeof(Key) +
          geometry_.row_bytes() * geometry_.kv_heads * 2 * geometry_.attention_layers);
}

Bytes PrefixFiles::pack(std::span<const Key> keys, std::span<const PageId> pages, int64_t first,
                        int64_t last) const {
  Bytes body(body_bytes(last - first));
  std::memcpy(body.data(), keys.data() + first, (last - first) * sizeof(Key));
  std::byte* rows = body.data() + (last - first) * sizeof(Key);
  for_rows(geometry_, pool_, pages, first, last,
           [&](size_t offset, const std::byte* in_page, size_t bytes) {
             std::memcpy(rows + offset, in_page, bytes);
           });
  return body;
}

// Rows below `from` are there already (and may be shared: they are not written).
bool PrefixFiles::unpack(const Bytes& body, std::span<const Key> keys,
                         std::span<const PageId> pages, int64_t first, int64_t last, int64_t from) {
  if (body.size() != body_bytes(last - first)) return false;
  if (std::memcmp(body.data(), keys.data() + first, (last - first) * sizeof(Key)) != 0)
    return false;  // hashes that collide
  const std::byte* rows = body.data() + (last - first) * sizeof(Key);
  const size_t row = geometry_.row_bytes();
  const auto positions = static_cast<size_t>(last - first);
  const int64_t begin = std::max(first, from);
  if (begin >= last) return true;
  // Runs from `begin` on, at their places among all rows of the record.
  for_rows(geometry_, pool_, pages, begin, last,
           [&](size_t offset, std::byte* in_page, size_t bytes) {
             const size_t run = offset / row / static_cast<size_t>(last - begin),
                          within = offset / row % static_cast<size_t>(last - begin);
             std::memcpy(in_page, rows + (run * positions + within + (begin - first)) * row, bytes);
           });
  return true;
}

size_t PrefixFiles::spill(std::span<const Key> keys, std::span<const int64_t> positions,
                          size_t from) {
  const auto hashes = chain_hashes(keys);
  Hash128 parent;
  int64_t parent_position = 0;
  for (size_t i = 0; i < positions.size(); ++i) {
    const int64_t position = positions[i];
    const Hash128& key = hashes[position];
    if (position <= parent_position) continue;
    if (store_.contains(RecordKind::kPrefix, key)) {
      parent = key;
      parent_position = position;
      continue;
    }
    std::vector<PageId> pages;
    Snapshot snapshot;
    if (i < from || !tree_.get(keys.first(position), pages, snapshot)) continue;
    Record record{RecordKind::kPrefix, key, {parent, position, parent_position, {}}, {}, {}};
    record.body = pack(keys, pages, parent_position, position);
    record.tail = Bytes(block_floats(geometry_) * sizeof(float));
    size_t at = 0;
    for (PageId page : snapshot.pages) {
      const size_t n = std::min(record.tail.size() - at, pool_.page_bytes());
      std::memcpy(record.tail.data() + at, pool_.data(page), n);
      at += n;
    }
    store_.put(std::move(record));
    return i + 1;
  }
  return positions.size();
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
                       std::span<const PageId> pages, int64_t from, Snapshot& snapshot) {
  for (const Link& link : chain) {
    if (link.facts->position <= from) continue;
    const auto body = store_.read_body(RecordKind::kPrefix, link.key);
    if (!body ||
        !unpack(*body, keys, pages, link.facts->parent_position, link.facts->position, from))
      return false;
  }
  const auto tail = store_.read_tail(RecordKind::kPrefix, chain.back().key);
  if (!tail || tail->size() != block_floats(geometry_) * sizeof(float)) return false;
  size_t at = 0;
  for (PageId page : snapshot.pages) {
    const size_t n = std::min(tail->size() - at, pool_.page_bytes());
    std::memcpy(pool_.data(page), tail->data() + at, n);
    at += n;
  }
  return true;
}

int64_t PrefixFiles::restore(std::span<const Key> keys, int64_t limit) {
  constexpr int kAttempts = 4;  // what lies before a damaged file is still good
  const int64_t known = tree_.longest_position(keys, limit);
  const auto hashes = chain_hashes(keys);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto chain = longest_chain(hashes, known, limit);
    if (chain.empty()) break;
    if (bring(chain, keys, known)) return chain.back().facts->position;
  }
  return 0;
}

bool PrefixFiles::bring(const std::vector<Link>& chain, std::span<const Key> keys, int64_t known) {
  const int64_t position = chain.back().facts->position, size = geometry_.page_tokens;
  // Pages that the tree has, a copy of a partial last one, and new ones.
  const int64_t full = known / size, fresh = (position + size - 1) / size - full,
                states = snapshot_pages(geometry_);
  std::vector<PageId> known_pages, pages;
  Snapshot snapshot, unused;
  if (known > 0) CHECK(tree_.get(keys.first(known), known_pages, unused));
  for (PageId page : known_pages) pool_.retain(page);  // not given away while room is made
  bool done = tree_.evict(fresh + states);
  if (done) {
    for (int64_t p = 0; p < full; ++p) pages.push_back(known_pages[p]), pool_.retain(pages.back());
    for (int64_t p = 0; p < fresh; ++p) pages.push_back(pool_.allocate());
    for (int64_t p = 0; p < states; ++p) snapshot.pages.push_back(pool_.allocate());
    if (known % size != 0)
      std::memcpy(pool_.data(pages[full]), pool_.data(known_pages[full]), pool_.page_bytes());
    done = fill(chain, keys, pages, known, snapshot);
    if (done) {
      tree_.insert(keys.first(position), pages, std::move(snapshot));
      for (auto link = chain.rbegin(); link != chain.rend(); ++link)
        store_.used(RecordKind::kPrefix, link->key);
    } else {
      for (PageId page : snapshot.pages) pool_.release(page);
    }
    for (PageId page : pages) pool_.release(page);
  }
  for (PageId page : known_pages) pool_.release(page);
  return done;
}

}  // namespace godwit::cache
