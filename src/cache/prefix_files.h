// PrefixFiles: prefixes of the tree as records on disk, and back.
//
// A record holds what lies between its parent's position and its own, and the recurrent state
// there:
//
//   (start) ◄── [system block | state] ◄── [first turn | state] ◄── [second turn | state]
//
//   body   keys [positions] u64 | page after page, of each the rows of these positions: layer by
//          layer, keys then values, head by head: [positions of the page, head_dim]
//   tail   the recurrent block
//
// So a whole page lies in the file as it lies in the pool. Its key is a hash of all keys from the
// start. To go on from a record, the bodies of its whole chain are read, and one tail, straight
// into pages. It is packed for the way out a page at a time, so that a request that comes meanwhile
// need not wait.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "cache/disk_store.h"
#include "cache/prefix_tree.h"

namespace godwit::cache {

// hashes[n]: of the first n keys, each from the one before.
std::vector<Hash128> chain_hashes(std::span<const Key> keys);

class PrefixFiles {
 public:
  // The snapshots of a conversation that are to be kept on disk, and how far that is.
  struct Spill {
    std::vector<Key> keys;
    std::vector<int64_t> positions;  // rising

    size_t next = 0;  // of them
    std::vector<Hash128> hashes;
    Hash128 parent;  // what the next record goes on from
    int64_t parent_position = 0;
    std::optional<Record> record;  // of positions[next], while it is packed
    int64_t packed = 0;            // pages of it
  };

  // `compute`: its threads read.
  PrefixFiles(const CacheGeometry& geometry, PagePool& pool, PrefixTree& tree, DiskStore& store,
              ComputePool& compute)
      : geometry_(geometry), pool_(pool), tree_(tree), store_(store), compute_(compute) {}

  // Goes on by a page. What is on disk already, or no more in the tree, is passed over. False: all
  // is done.
  bool spill_page(Spill& spill);
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
  bool begin_record(Spill& spill) const;
  void pack_page(Spill& spill, std::span<const PageId> pages, const Snapshot& snapshot) const;
  // False: a file of the chain was damaged (it is forgotten now), or there is no room.
  enum class Brought { kAll, kNoRoom, kDamaged };
  Brought bring(const std::vector<Link>& chain, std::span<const Key> keys, int64_t known);
  // Pages before `fresh` are others' and not written.
  bool fill(const std::vector<Link>& chain, std::span<const Key> keys,
            std::span<const PageId> pages, int64_t known, int64_t fresh, const Snapshot& snapshot);
  size_t position_bytes() const;  // of keys and values

  const CacheGeometry geometry_;
  PagePool& pool_;
  PrefixTree& tree_;
  DiskStore& store_;
  ComputePool& compute_;
};

}  // namespace godwit::cache
