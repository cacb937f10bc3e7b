// PrefixFiles: prefixes of the tree as records on disk, and back.
//
// A record holds what lies between its parent's position and its own, and the recurrent state
// there:
//
//   (start) ◄── [system block | state] ◄── [first turn | state] ◄── [second turn | state]
//
//   body   keys [positions] u64 | rows, layer by layer, keys then values, head by head:
//          [positions, head_dim]
//   tail   the recurrent block
//
// Its key is a hash of all keys from the start. To go on from a record, the bodies of its whole
// chain are read, and one tail.
#pragma once

#include <span>
#include <vector>

#include "cache/disk_store.h"
#include "cache/prefix_tree.h"

namespace godwit::cache {

// hashes[n]: of the first n keys, each from the one before.
std::vector<Hash128> chain_hashes(std::span<const Key> keys);

class PrefixFiles {
 public:
  PrefixFiles(const CacheGeometry& geometry, PagePool& pool, PrefixTree& tree, DiskStore& store)
      : geometry_(geometry), pool_(pool), tree_(tree), store_(store) {}

  // Writes the next of the snapshots that the tree has at these rising positions, beginning with
  // positions[from], if it is not on disk. The index to go on from; positions.size(): all is done.
  size_t spill(std::span<const Key> keys, std::span<const int64_t> positions, size_t from);
  // Brings the longest prefix on disk that is longer than what the tree has into the tree. The new
  // position, 0 if none.
  int64_t restore(std::span<const Key> keys, int64_t limit);

 private:
  struct Link {
    Hash128 key;
    std::shared_ptr<const RecordFacts> facts;
  };
  std::vector<Link> longest_chain(const std::vector<Hash128>& hashes, int64_t above,
                                  int64_t limit) const;
  Bytes pack(std::span<const Key> keys, std::span<const PageId> pages, int64_t first,
             int64_t last) const;
  bool unpack(const Bytes& body, std::span<const Key> keys, std::span<const PageId> pages,
              int64_t first, int64_t last, int64_t from);
  // False: a file of the chain was damaged (it is forgotten now), or there is no room.
  bool bring(const std::vector<Link>& chain, std::span<const Key> keys, int64_t known);
  bool fill(const std::vector<Link>& chain, std::span<const Key> keys,
            std::span<const PageId> pages, int64_t from, Snapshot& snapshot);
  size_t body_bytes(int64_t positions) const;

  const CacheGeometry geometry_;
  PagePool& pool_;
  PrefixTree& tree_;
  DiskStore& store_;
};

}  // namespace godwit::cache
