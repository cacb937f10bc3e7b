// PrefixTree: what was computed before, by content: pages of keys and values, and snapshots of the
// recurrent state.
//
// A key stands for each position: the token's id, or for the pads of a picture a hash of its
// content. Nodes are pages:
//
//   root ─ [64 keys | page] ─ [64 keys | page] ─ [17 keys | page]
//                     │  snapshot after 40 ▲             ▲ snapshot after 17
//                     └────── [64 keys | page] ─ …
//
// A node has children only when it is full; siblings may begin alike.
//
// A position can be gone on from only where a snapshot is, so a find() gives the longest matching
// run that has one, and also how far the keys alone agreed. Pages in the tree are never written,
// except by the sequence that is still filling one, beyond the rows that the tree knows. Memory is
// the page pool's: evict() gives back the least valuable snapshots, and the pages that no snapshot
// needs any more.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/page_pool.h"
#include "cache/sequence_memory.h"

namespace godwit::cache {

using Key = uint64_t;
inline Key token_key(int32_t id) { return static_cast<uint32_t>(id); }
// Pad `index` of a picture or slice with this content.
inline Key media_key(uint64_t content_hash, int64_t index) {
  const uint64_t mixed = (content_hash ^ static_cast<uint64_t>(index)) * 0x9e3779b97f4a7c15ull;
  return (mixed ^ (mixed >> 29)) | (uint64_t{1} << 63);
}

struct PrefixMatch {
  int64_t position = 0;   // where one can go on: a snapshot is here (0: nothing was found)
  int64_t matched = 0;    // keys that agree with the tree
  bool diverged = false;  // the tree goes on with other keys after `matched`
  int branch_seen = 0;    // how often keys have parted exactly there, this time included
  std::vector<PageId>
      pages;  // of positions [0, position); valid until the tree or the pool changes
  Snapshot snapshot;
};

class PrefixTree {
 public:
  PrefixTree(const CacheGeometry& geometry, PagePool& pool);
  ~PrefixTree();

  // `limit`: do not go on from beyond it (a prompt's last token must be computed for its logits).
  PrefixMatch find(std::span<const Key> keys, int64_t limit);
  // The same without a trace (no use is counted).
  int64_t longest_position(std::span<const Key> keys, int64_t limit) const;

  // Keeps pages of positions [0, keys.size()) and a snapshot taken there. Takes the snapshot's
  // references; the pages' are added to. False: a snapshot was there already (the new one is given
  // back).
  bool insert(std::span<const Key> keys, std::span<const PageId> pages, Snapshot snapshot);
  // Pages and snapshot exactly at the end of the keys, if there is one; valid until the tree or the
  // pool changes.
  bool get(std::span<const Key> keys, std::vector<PageId>& pages, Snapshot& snapshot) const;
  bool has_snapshot(std::span<const Key> keys) const;  // exactly at their end

  // Gives back least valuable snapshots until `pages` are free in the pool, or nothing is left to
  // give.
  bool evict(int64_t pages);
  int64_t evictable_pages() const;  // that only the tree holds
  void clear();

  int64_t snapshots() const { return snapshots_; }
  int64_t held_pages() const;  // pages of nodes and snapshots
  // Counts everything anew and CHECKs references, order and sums. `other_references`: how many
  // others hold a page.
  void verify(const std::function<int(PageId)>& other_references) const;

 private:
  struct Node;
  struct Entry;
  struct Candidate;
  Node* child_for(const Node& node, std::span<const Key> keys, int64_t& common) const;
  void extend(Node& node, std::span<const Key> keys, PageId page);
  void collect(Node& node, int64_t gap, Candidate& worst);
  void remove(Node* node, size_t entry);
  void prune(Node* node);

  const int64_t page_tokens_;
  PagePool& pool_;
  std::unique_ptr<Node> root_;
  uint64_t clock_ = 0;  // finds and inserts
  int64_t snapshots_ = 0;
};

}  // namespace godwit::cache
