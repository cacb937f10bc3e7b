// Records on disk: what is read is what was written, or nothing: also after cuts, flipped bits, and
// a program that was killed.
#include "cache/disk_store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "tests/temporary_folder.h"

namespace godwit::cache {
namespace {
namespace fs = std::filesystem;

class DiskStoreTest : public testing::Test {
 protected:
  std::unique_ptr<DiskStore> open(uint64_t fingerprint = 1, size_t max_bytes = size_t{1} << 30) {
    auto store = DiskStore::open({folder_, {fingerprint, 0}, max_bytes});
    EXPECT_TRUE(store.has_value());
    return std::move(*store);
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> all;
    for (const auto& entry : fs::directory_iterator(folder_)) all.push_back(entry.path());
    return all;
  }
  const TemporaryFolder temporary_;
  const std::string folder_ = temporary_.string();
};

Bytes filled(size_t n, uint32_t seed) {
  Bytes bytes(n);
  std::mt19937 random(seed);
  for (std::byte& b : bytes.span()) b = static_cast<std::byte>(random());
  return bytes;
}
bool same(const Bytes& a, const Bytes& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}
Record record(uint32_t n, size_t size = 5000) {
  return {RecordKind::kPrefix,
          {n, n + 1},
          {{n - 1, n}, n + 10, n, filled(n % 50, n)},
          filled(size, n * 2),
          filled(size / 3, n * 3)};
}
// What is there is right. Returns whether it is there.
bool check(DiskStore& store, uint32_t n, size_t size = 5000) {
  const Record wanted = record(n, size);
  const auto facts = store.find(RecordKind::kPrefix, wanted.key);
  if (!facts) return false;
  EXPECT_EQ(facts->position, n + 10);
  EXPECT_EQ(facts->parent, wanted.facts.parent);
  EXPECT_TRUE(same(facts->head, wanted.facts.head));
  const auto body = store.read_body(RecordKind::kPrefix, wanted.key);
  const auto tail = store.read_tail(RecordKind::kPrefix, wanted.key);
  if (!body || !tail) return false;
  EXPECT_TRUE(same(*body, wanted.body));
  EXPECT_TRUE(same(*tail, wanted.tail));
  return true;
}

TEST_F(DiskStoreTest, KeepsRecordsOverARestart) {
  {
    auto store = open();
    for (uint32_t n = 0; n < 20; ++n) store->put(record(n));
    store->put(record(3));
    EXPECT_TRUE(store->contains(RecordKind::kPrefix, record(19).key)) << "on its way counts";
    EXPECT_FALSE(store->contains(RecordKind::kTurn, record(19).key));
    store->flush();
    for (uint32_t n = 0; n < 20; ++n) EXPECT_TRUE(check(*store, n));
  }
  EXPECT_EQ(files().size(), 20u);
  auto again = open();
  for (uint32_t n = 0; n < 20; ++n) EXPECT_TRUE(check(*again, n));
  int visited = 0;
  again->for_each(RecordKind::kPrefix, [&](const Hash128&, const RecordFacts&) { ++visited; });
  EXPECT_EQ(visited, 20);
  EXPECT_FALSE(check(*open(2), 5)) << "another model's";
}

TEST_F(DiskStoreTest, ReadsStraightIntoMemoryThatLiesInParts) {
  const Record big = record(7, 3'000'000), small = record(9, 100);
  auto store = open();
  store->put(record(7, 3'000'000));
  store->put(record(9, 100));
  store->flush();
  Bytes to(big.body.size()), other(small.body.size());
  Reading first{big.kind, big.key, Reading::kBody, {}};
  std::mt19937 random(5);
  for (size_t at = 0, n = 0; at < to.size(); at += n) {
    n = std::min<size_t>(random() % 200'000, to.size() - at);
    first.parts.push_back(to.span().subspan(at, n));
  }
  const Reading second{small.kind, small.key, Reading::kBody, {other.span()}};
  ComputePool pool(3);
  for (ComputePool* threads : {static_cast<ComputePool*>(nullptr), &pool}) {
    std::memset(to.data(), 0, to.size());
    const Reading both[] = {first, second};
    EXPECT_TRUE(store->read(both, threads));
    EXPECT_TRUE(same(to, big.body));
    EXPECT_TRUE(same(other, small.body));
  }
  first.parts.pop_back();
  EXPECT_FALSE(store->read({&first, 1}, &pool)) << "another size";
  EXPECT_FALSE(store->contains(big.kind, big.key));
  EXPECT_TRUE(store->read({&second, 1}, &pool));
}

TEST_F(DiskStoreTest, AnyDamagedPieceIsFoundOut) {
  open()->put(record(7, 3'000'000));
  const fs::path path = files().at(0);
  for (const int place : {200, 300'000, 1'500'000, 2'900'000, 3'500'000}) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(place);
    const auto byte = static_cast<char>(file.get());
    file.seekp(place);
    file.put(static_cast<char>(byte ^ 4));
    file.flush();
    EXPECT_FALSE(check(*open(), 7, 3'000'000)) << place;
    file.seekp(place);
    file.put(byte);
    file.close();
    EXPECT_TRUE(check(*open(), 7, 3'000'000)) << place;
  }
}

TEST_F(DiskStoreTest, AnyCutOrFlippedBitIsFoundOut) {
  open()->put(record(7, 300));
  const fs::path path = files().at(0);
  std::ifstream in(path, std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), {});
  const auto rewrite = [&](const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  };
  for (size_t n = 0; n < whole.size(); n += 1 + n / 40) {
    rewrite(whole.substr(0, n));
    EXPECT_FALSE(check(*open(), 7, 300)) << "cut to " << n;
  }
  rewrite(whole + "x");
  EXPECT_FALSE(check(*open(), 7, 300));
  for (size_t n = 0; n < whole.size(); ++n) {
    std::string bad = whole;
    bad[n] = static_cast<char>(bad[n] ^ (1 << n % 8));
    rewrite(bad);
    EXPECT_FALSE(check(*open(), 7, 300)) << "bit of byte " << n;
  }
  rewrite(whole);
  EXPECT_TRUE(check(*open(), 7, 300));
}

TEST_F(DiskStoreTest, ForeignFilesAreLeftAlone) {
  std::ofstream(folder_ + "/notes.txt") << "mine";
  std::ofstream(folder_ + "/00000000000000000000000000000001-1-zz.godwit") << "no record";
  fs::create_directory(folder_ + "/sub");
  auto store = open();
  store->put(record(1));
  store->flush();
  EXPECT_TRUE(check(*store, 1));
  EXPECT_TRUE(fs::exists(folder_ + "/notes.txt"));
}

TEST_F(DiskStoreTest, ALoweredLimitHoldsFromTheStart) {
  {
    const auto store = open();
    for (uint32_t n = 0; n < 6; ++n) store->put(record(n));
    store->flush();
    EXPECT_GT(store->bytes(), 20000u);
  }
  const auto store = open(1, 20000);
  EXPECT_LE(store->bytes(), 20000u);
  int kept = 0;
  for (uint32_t n = 0; n < 6; ++n) kept += check(*store, n);
  EXPECT_GE(kept, 1);
  EXPECT_LT(kept, 6);
  EXPECT_EQ(files().size(), static_cast<size_t>(kept));
}

TEST_F(DiskStoreTest, TheOldestGoAboveTheLimit) {
  auto store = open(1, 40000);
  const auto hours_ago = [&](uint32_t n, int hours) {
    for (const auto& path : files()) {
      if (path.string().find(fmt::format("{:016x}{:016x}", n + 1, n)) != std::string::npos) {
        fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(hours));
      }
    }
  };
  for (uint32_t n = 0; n < 5; ++n) {
    store->put(record(n));
    store->flush();
    hours_ago(n, 10 - static_cast<int>(n));
  }
  store->used(RecordKind::kPrefix, record(0).key);  // the oldest is used again
  for (uint32_t n = 5; n < 8; ++n) store->put(record(n));
  store->flush();
  EXPECT_LE(store->bytes(), 40000u);
  EXPECT_TRUE(check(*store, 0));
  EXPECT_FALSE(check(*store, 1));
  EXPECT_TRUE(check(*store, 7));
}

TEST_F(DiskStoreTest, TooMuchWaitingIsNotKept) {
  auto store = DiskStore::open({folder_, {1, 0}, size_t{1} << 30, 1000}).value();
  store->put(record(1, 32 << 20));  // alone it may be of any size
  store->put(record(2, 5000));      // while that is written
  store->flush();
  EXPECT_TRUE(check(*store, 1, 32 << 20));
  EXPECT_FALSE(check(*store, 2));
}

TEST_F(DiskStoreTest, AFolderThatCannotBeIsAnError) {
  std::ofstream(folder_ + "/file") << "x";
  EXPECT_FALSE(DiskStore::open({folder_ + "/file/sub", {1, 0}}).has_value());
}

// A program that is killed at any moment while it writes: every later start finds only what is
// right.
TEST_F(DiskStoreTest, KilledAtTwoHundredMoments) {
  std::mt19937 random(9);
  uint32_t written = 0;
  int found = 0, rounds_with_new = 0;
  for (int round = 0; round < 200; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto store = DiskStore::open({folder_, {1, 0}}).value();
      for (uint32_t n = written; n < written + 500; ++n) {
        store->put(record(n, 60000));
        if (n % 8 == 0) store->flush();
      }
      pause();
    }
    usleep(2000 + random() % 20000);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    auto store = open();
    uint32_t newest = written;
    int count = 0;
    store->for_each(RecordKind::kPrefix, [&](const Hash128& key, const RecordFacts&) {
      newest = std::max(newest, static_cast<uint32_t>(key.low) + 1);
      ++count;
    });
    for (uint32_t n = written; n < newest; ++n) found += check(*store, n, 60000);
    rounds_with_new += newest > written;
    written = newest;
    if (count > 300) {
      store.reset();
      for (const auto& path : files()) fs::remove(path);
    }
  }
  EXPECT_GT(found, 100);
  EXPECT_GT(rounds_with_new, 50);
}

}  // namespace
}  // namespace godwit::cache
