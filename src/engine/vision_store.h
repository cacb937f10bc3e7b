// VisionStore: pictures and clips are decoded and encoded once, across requests and turns.
//
//   encoded bytes ──hash──► what is known of it: content, grid, timestamps   (small, kept long)
//   content       ──hash──► rows of the vision tower [n, hidden]
//                           (large, the least recently used goes first)
//
// Any thread.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cache/disk_store.h"
#include "media/patches.h"
#include "model/config.h"

namespace godwit::engine {

struct MediaFacts {
  media::ContentHash content;
  media::Grid grid;
  std::vector<double> slice_seconds;  // of a clip
  // Of its rows.
  size_t values(const model::ModelConfig& config) const;
};

using VisionRows = std::vector<float>;  // [rows, hidden]

class VisionStore {
 public:
  explicit VisionStore(size_t max_bytes) : max_bytes_(max_bytes) {}

  // From now on rows are also kept there, and what is there is known. Before any other thread
  // calls.
  void use_disk(cache::DiskStore* store);

  std::shared_ptr<const MediaFacts> facts(const media::ContentHash& bytes) const;
  void keep_facts(const media::ContentHash& bytes, MediaFacts facts);
  // Null: unknown, or not of so many values (a foreign file).
  std::shared_ptr<const VisionRows> rows(const media::ContentHash& content, size_t values);
  void keep_rows(const media::ContentHash& content, std::shared_ptr<const VisionRows> rows);
  size_t bytes() const;

 private:
  void add(const media::ContentHash& content, std::shared_ptr<const VisionRows> rows);

  struct Entry {
    media::ContentHash content;
    std::shared_ptr<const VisionRows> rows;
  };
  const size_t max_bytes_;
  cache::DiskStore* store_ = nullptr;
  mutable std::mutex mutex_;
  std::map<media::ContentHash, std::shared_ptr<const MediaFacts>> facts_;
  std::list<Entry> order_;  // the last used first
  std::map<media::ContentHash, std::list<Entry>::iterator> rows_;
  size_t bytes_ = 0;
};

}  // namespace godwit::engine
