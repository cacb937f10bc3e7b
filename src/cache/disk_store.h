// DiskStore: records that survive the program, one file each: prefixes, rows of pictures,
// remembered turns.
//
//   FOLDER/<fingerprint>-<kind>-<key>.godwit
//       header | head | body | tail, each with a checksum (XXH3, 128 bits); of body and tail it is
//       the hash of the hashes of their pieces, so that threads can read and sum pieces apart
//
// The fingerprint says what the bytes mean: format, model, numbers' types. Files are written behind
// by a thread, under another name first, so a file that has its name is whole unless the disk lost
// something, which the checksums tell. At the start the headers and heads are read, the rest when
// asked for. What is damaged or foreign is passed over with a warning. Above the size limit the
// files that were used longest ago go. Any thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "base/compute_pool.h"
#include "base/result.h"
#include "cache/hash.h"
#include "tensor/view.h"

namespace godwit::cache {

using Bytes = tensor::AlignedBuffer<std::byte>;

enum class RecordKind : uint32_t { kPrefix = 1, kVision = 2, kTurn = 3 };

struct RecordFacts {
  Hash128 parent;  // prefixes: the record that this one goes on from; zero: none
  int64_t position = 0, parent_position = 0;
  Bytes head;  // small; kept in memory
};

struct Record {
  RecordKind kind;
  Hash128 key;
  RecordFacts facts;
  Bytes body, tail;
};

// A body or tail that is wanted, and where: in memory that may lie in parts, in its order, of
// exactly its size.
struct Reading {
  RecordKind kind;
  Hash128 key;
  enum Section { kBody = 1, kTail = 2 } section;
  std::vector<std::span<std::byte>> parts;
};

class DiskStore {
 public:
  struct Options {
    std::string folder;
    Hash128 fingerprint;
    size_t max_bytes = size_t{8} << 30;    // of all files of the folder
    size_t max_pending = size_t{1} << 30;  // waiting to be written; beyond: not kept
  };
  // Makes the folder. Fails if it cannot be made or read.
  static Result<std::unique_ptr<DiskStore>> open(Options options);
  ~DiskStore();  // writes what waits

  // Written soon. Ignored if a record with this key is there or on its way, or too much waits.
  void put(Record record);
  bool contains(RecordKind kind, const Hash128& key) const;  // also if it is on its way
  // What is known of a record on disk; null if there is none. Stays valid while the store lives.
  std::shared_ptr<const RecordFacts> find(RecordKind kind, const Hash128& key) const;
  // Fills all of them, on the pool's threads (null: on the caller's). False if a file is gone,
  // damaged or of another size (then it is forgotten); what was filled is of no use.
  bool read(std::span<const Reading> readings, ComputePool* pool);
  // Nothing if the file is gone or damaged (then it is forgotten).
  std::optional<Bytes> read_body(RecordKind kind, const Hash128& key);
  std::optional<Bytes> read_tail(RecordKind kind, const Hash128& key);
  void used(RecordKind kind, const Hash128& key);    // now: it goes later
  void forget(RecordKind kind, const Hash128& key);  // until the next start
  void for_each(RecordKind kind,
                const std::function<void(const Hash128&, const RecordFacts&)>& visit) const;

  void flush();  // returns when all is written
  // Of the folder's files, as the last write found them; other programs may share the folder.
  size_t bytes() const { return bytes_; }

 private:
  struct Header;
  using Key = std::pair<RecordKind, Hash128>;
  explicit DiskStore(Options options);
  Status scan();
  std::optional<RecordFacts> read_start(const std::string& path, RecordKind& kind,
                                        Hash128& key) const;
  struct Open;
  std::optional<Open> open_record(const Key& key) const;
  std::optional<Bytes> read_section(const Key& key, Reading::Section section);
  void drop_damaged(const Key& key);
  std::string path_of(const Key& key) const;
  void write_loop();
  Status write(const Record& record);
  void make_room();

  const Options options_;
  const uint64_t nonce_;  // in the names of unfinished files: no two stores write the same one
  std::atomic<size_t> bytes_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::map<Key, std::shared_ptr<const RecordFacts>> records_;
  std::set<Key> pending_;
  std::deque<Record> queue_;
  size_t pending_bytes_ = 0;
  bool stopping_ = false, writing_ = false;
  bool lagging_ = false;  // a record was passed over since the queue was last empty
  std::thread writer_;
};

}  // namespace godwit::cache
