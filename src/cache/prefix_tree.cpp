#include "cache/prefix_tree.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace godwit::cache {

struct PrefixTree::Entry {
  int64_t offset;  // after this many keys of its node, 1 …
  Snapshot snapshot;
  uint64_t last_used;
  int hits = 0;
};

struct PrefixTree::Node {
  Node* parent = nullptr;
  int64_t start = 0;      // position of the first key
  std::vector<Key> keys;  // 1 … page_tokens
  PageId page = kNoPage;
  std::vector<std::unique_ptr<Node>> children;
  std::vector<Entry> entries;  // rising offsets
  std::vector<std::pair<int64_t, int>>
      branches;  // after so many keys others went another way, so often
};

struct PrefixTree::Candidate {
  Node* node = nullptr;
  size_t entry = 0;
  double value = 0;
};

namespace {

int64_t common_run(std::span<const Key> a, std::span<const Key> b) {
  const size_t n = std::min(a.size(), b.size());
  return std::mismatch(a.begin(), a.begin() + n, b.begin()).first - a.begin();
}

template <class Node, class Visit>
void visit_nodes(Node& node, const Visit& visit) {
  for (auto& child : node.children) {
    visit(*child);
    visit_nodes(*child, visit);
  }
}

}  // namespace

PrefixTree::PrefixTree(const CacheGeometry& geometry, PagePool& pool)
    : page_tokens_(geometry.page_tokens), pool_(pool), root_(std::make_unique<Node>()) {}

PrefixTree::~PrefixTree() { clear(); }

// The child that agrees longest with the first keys; null and common 0 if none agrees at all.
PrefixTree::Node* PrefixTree::child_for(const Node& node, std::span<const Key> keys,
                                        int64_t& common) const {
  Node* best = nullptr;
  common = 0;
  const auto head = keys.first(std::min<size_t>(keys.size(), page_tokens_));
  for (const auto& child : node.children) {
    const int64_t run = common_run(child->keys, head);
    if (run > common) {
      common = run;
      best = child.get();
    }
  }
  return best;
}

PrefixMatch PrefixTree::find(std::span<const Key> keys, int64_t limit) {
  ++clock_;
  PrefixMatch match;
  std::vector<Node*> path;  // full nodes walked through
  Node* holder = nullptr;   // of the best snapshot
  size_t holder_entry = 0, holder_depth = 0;
  Node* node = root_.get();
  Node* parting = nullptr;  // where the keys parted from the tree
  for (;;) {
    const auto rest = keys.subspan(match.matched);
    Node* next = nullptr;
    int64_t longest = 0;
    for (const auto& child : node->children) {
      const int64_t run =
          common_run(child->keys, rest.first(std::min<size_t>(rest.size(), page_tokens_)));
      if (run > longest) {
        longest = run;
        next = child.get();
      }
      // A sibling that agrees less far may still have the furthest snapshot.
      for (size_t e = 0; e < child->entries.size(); ++e) {
        const int64_t position = child->start + child->entries[e].offset;
        if (child->entries[e].offset > run || position > limit || position <= match.position)
          continue;
        match.position = position;
        holder = child.get();
        holder_entry = e;
        holder_depth = path.size();
      }
    }
    match.matched += longest;
    if (!next) {
      match.diverged = !node->children.empty() && !rest.empty();
      parting = node;
      break;
    }
    if (longest < page_tokens_) {
      match.diverged = longest < static_cast<int64_t>(next->keys.size()) &&
                       longest < static_cast<int64_t>(rest.size());
      parting = next;
      break;
    }
    path.push_back(next);
    node = next;
  }
  if (match.diverged && parting != root_.get()) {
    const int64_t offset = match.matched - parting->start;
    auto& branches = parting->branches;
    auto at = std::find_if(branches.begin(), branches.end(),
                           [&](const auto& b) { return b.first == offset; });
    if (at == branches.end()) at = branches.insert(branches.end(), {offset, 0});
    match.branch_seen = ++at->second;
  }
  if (holder) {
    Entry& entry = holder->entries[holder_entry];
    entry.last_used = clock_;
    ++entry.hits;
    for (size_t i = 0; i < holder_depth; ++i) match.pages.push_back(path[i]->page);
    match.pages.push_back(holder->page);
    match.snapshot = entry.snapshot;
  }
  return match;
}

int64_t PrefixTree::longest_position(std::span<const Key> keys, int64_t limit) const {
  int64_t position = 0, matched = 0;
  for (const Node* node = root_.get(); node;) {
    const auto rest = keys.subspan(matched);
    const Node* next = nullptr;
    for (const auto& child : node->children) {
      const int64_t run = common_run(child->keys, rest);
      if (run == page_tokens_) next = child.get();
      for (const Entry& entry : child->entries) {
        const int64_t at = child->start + entry.offset;
        if (entry.offset <= run && at <= limit) position = std::max(position, at);
      }
    }
    node = next;
    matched += page_tokens_;
  }
  return position;
}

bool PrefixTree::has_snapshot(std::span<const Key> keys) const {
  const auto n = static_cast<int64_t>(keys.size());
  return n > 0 && longest_position(keys, n) == n;
}

bool PrefixTree::get(std::span<const Key> keys, std::vector<PageId>& pages,
                     Snapshot& snapshot) const {
  const Node* node = root_.get();
  for (int64_t at = 0; at < static_cast<int64_t>(keys.size());) {
    const auto rest = keys.subspan(at);
    const auto run = std::min<int64_t>(page_tokens_, static_cast<int64_t>(rest.size()));
    const Node* next = nullptr;
    for (const auto& child : node->children) {
      if (common_run(child->keys, rest) < run) continue;
      const bool is_last = at + run == static_cast<int64_t>(keys.size());
      const auto entry = std::find_if(child->entries.begin(), child->entries.end(),
                                      [&](const Entry& e) { return e.offset == run; });
      if (is_last && entry == child->entries.end())
        continue;  // a sibling that begins alike may have it
      if (is_last) snapshot = entry->snapshot;
      next = child.get();
    }
    if (!next) return false;
    pages.push_back(next->page);
    node = next;
    at += run;
  }
  return !keys.empty();
}

void PrefixTree::extend(Node& node, std::span<const Key> keys, PageId page) {
  if (node.page != page) {
    pool_.retain(page);
    pool_.release(node.page);
    node.page = page;
  }
  node.keys.assign(keys.begin(), keys.end());
}

bool PrefixTree::insert(std::span<const Key> keys, std::span<const PageId> pages,
                        Snapshot snapshot) {
  CHECK(!keys.empty() && pages.size() >= (keys.size() + page_tokens_ - 1) / page_tokens_);
  ++clock_;
  Node* node = root_.get();
  int64_t at = 0;
  const auto end = static_cast<int64_t>(keys.size());
  while (at < end) {
    const auto head = keys.subspan(at, std::min(page_tokens_, end - at));
    int64_t common = 0;
    Node* child = child_for(*node, head, common);
    const PageId page = pages[at / page_tokens_];
    if (child && common == static_cast<int64_t>(child->keys.size()) &&
        common < static_cast<int64_t>(head.size())) {
      extend(*child, head, page);
    } else if (!child || common < static_cast<int64_t>(head.size())) {
      auto fresh = std::make_unique<Node>();
      fresh->parent = node;
      fresh->start = at;
      fresh->keys.assign(head.begin(), head.end());
      fresh->page = page;
      pool_.retain(page);
      child = fresh.get();
      node->children.push_back(std::move(fresh));
    }
    node = child;
    at += static_cast<int64_t>(head.size());
  }
  const int64_t offset = end - node->start;
  auto place = std::find_if(node->entries.begin(), node->entries.end(),
                            [&](const Entry& e) { return e.offset >= offset; });
  if (place != node->entries.end() && place->offset == offset) {
    place->last_used = clock_;
    for (PageId page : snapshot.pages) pool_.release(page);
    return false;
  }
  node->entries.insert(place, Entry{offset, std::move(snapshot), clock_});
  ++snapshots_;
  return true;
}

// The least valuable snapshot below `node`; `gap` positions lie between the nearest snapshot before
// it and its start. Value: positions that would be computed again, times how often it was used,
// over how long ago.
void PrefixTree::collect(Node& node, int64_t gap, Candidate& worst) {
  int64_t before = -gap;  // offset of the nearest snapshot
  for (size_t e = 0; e < node.entries.size(); ++e) {
    const Entry& entry = node.entries[e];
    const double value = static_cast<double>(entry.offset - before) * (1 + entry.hits) /
                         static_cast<double>(1 + clock_ - entry.last_used);
    // Of equals the later one: it sets pages free.
    if (!worst.node || value <= worst.value) worst = {&node, e, value};
    before = entry.offset;
  }
  for (auto& child : node.children)
    collect(*child, static_cast<int64_t>(node.keys.size()) - before, worst);
}

void PrefixTree::prune(Node* node) {
  while (node != root_.get() && node->children.empty() && node->entries.empty()) {
    Node* parent = node->parent;
    pool_.release(node->page);
    std::erase_if(parent->children, [&](const auto& child) { return child.get() == node; });
    node = parent;
  }
}

void PrefixTree::remove(Node* node, size_t entry) {
  for (PageId page : node->entries[entry].snapshot.pages) pool_.release(page);
  node->entries.erase(node->entries.begin() + static_cast<int64_t>(entry));
  --snapshots_;
  prune(node);
}

bool PrefixTree::evict(int64_t pages) {
  while (pool_.free() < pages) {
    Candidate worst;
    collect(*root_, 0, worst);
    if (!worst.node) return false;
    remove(worst.node, worst.entry);
  }
  return true;
}

int64_t PrefixTree::evictable_pages() const {
  int64_t count = 0;
  visit_nodes(*root_, [&](const Node& node) {
    if (pool_.references(node.page) == 1) ++count;
    for (const Entry& entry : node.entries) {
      for (PageId page : entry.snapshot.pages) count += pool_.references(page) == 1;
    }
  });
  return count;
}

int64_t PrefixTree::held_pages() const {
  int64_t count = 0;
  visit_nodes(*root_, [&](const Node& node) {
    ++count;
    for (const Entry& entry : node.entries)
      count += static_cast<int64_t>(entry.snapshot.pages.size());
  });
  return count;
}

void PrefixTree::clear() {
  visit_nodes(*root_, [&](Node& node) {
    pool_.release(node.page);
    for (const Entry& entry : node.entries) {
      for (PageId page : entry.snapshot.pages) pool_.release(page);
    }
  });
  root_ = std::make_unique<Node>();
  snapshots_ = 0;
}

void PrefixTree::verify(const std::function<int(PageId)>& other_references) const {
  std::vector<int> held(pool_.total());
  int64_t entries = 0;
  visit_nodes(*root_, [&](const Node& node) {
    ++held[node.page];
    CHECK(!node.keys.empty() && static_cast<int64_t>(node.keys.size()) <= page_tokens_);
    CHECK(node.children.empty() || static_cast<int64_t>(node.keys.size()) == page_tokens_);
    CHECK(!node.children.empty() || !node.entries.empty());
    CHECK(node.start == (node.parent == root_.get() ? 0 : node.parent->start + page_tokens_));
    int64_t last = 0;
    for (const Entry& entry : node.entries) {
      CHECK(entry.offset > last && entry.offset <= static_cast<int64_t>(node.keys.size()));
      last = entry.offset;
      ++entries;
      for (PageId page : entry.snapshot.pages) ++held[page];
    }
  });
  CHECK(entries == snapshots_);
  int64_t used = 0;
  for (PageId page = 0; page < pool_.total(); ++page) {
    CHECK(pool_.references(page) == held[page] + other_references(page));
    used += pool_.references(page) > 0;
  }
  CHECK(used == pool_.used());
}

}  // namespace godwit::cache
