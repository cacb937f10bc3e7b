#include "base/folder.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/temporary_folder.h"

namespace godwit {
namespace {
namespace fs = std::filesystem;

class FolderTest : public testing::Test {
 protected:
  void make(const std::string& name, size_t bytes, int hours_ago) {
    const fs::path path = fs::path(folder_) / name;
    std::ofstream(path) << std::string(bytes, 'x');
    fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(hours_ago));
  }
  bool is_there(const std::string& name) const { return fs::exists(fs::path(folder_) / name); }
  const TemporaryFolder temporary_;
  const std::string folder_ = temporary_.string();
};

TEST_F(FolderTest, ThoseUsedLongestAgoGoUntilTheRestFits) {
  make("new.a", 100, 1);
  make("oldest.a", 200, 9);
  make("old.a", 300, 5);
  make("other.b", 5000, 99);
  auto files = files_by_use(folder_, ".a");
  ASSERT_EQ(files.size(), 3u);
  EXPECT_TRUE(files[0].path.ends_with("oldest.a"));
  EXPECT_EQ(total_bytes(files), 600u);
  EXPECT_TRUE(remove_first(files, 600).empty());
  EXPECT_EQ(remove_first(files, 400).size(), 1u);
  EXPECT_EQ(total_bytes(files), 400u);
}

TEST_F(FolderTest, OnlyAsManyGoAsMust) {
  make("new.a", 100, 1);
  make("oldest.a", 200, 9);
  make("old.a", 300, 5);
  auto files = files_by_use(folder_, ".a");
  const auto gone = remove_first(files, 450);
  ASSERT_EQ(gone.size(), 1u);
  EXPECT_TRUE(gone[0].ends_with("oldest.a"));
  EXPECT_FALSE(is_there("oldest.a"));
  EXPECT_TRUE(is_there("old.a"));
  EXPECT_TRUE(is_there("new.a"));
  EXPECT_EQ(remove_first(files, 0).size(), 2u);
  EXPECT_TRUE(files.empty());
}

TEST_F(FolderTest, WhatIsGoneAlreadyIsNotCountedAndWhatCannotGoIs) {
  make("vanishes.a", 200, 9);
  make("new.a", 100, 1);
  auto files = files_by_use(folder_, ".a");
  fs::remove(fs::path(folder_) / "vanishes.a");
  EXPECT_EQ(remove_first(files, 100).size(), 1u);
  EXPECT_TRUE(is_there("new.a"));
  // A folder with something in it cannot be removed.
  fs::create_directories(fs::path(folder_) / "full.a" / "sub");
  files.insert(files.begin(), {folder_ + "/full.a", 1000, {}});
  EXPECT_EQ(remove_first(files, 1000).size(), 1u);
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(total_bytes(files), 1000u);
}

TEST_F(FolderTest, StaleFilesGo) {
  make("x.a.77", 10, 30);
  make("y.a.78", 10, 2);
  make("z.a", 10, 30);
  remove_stale(folder_, ".a.", std::chrono::hours(24));
  EXPECT_FALSE(is_there("x.a.77"));
  EXPECT_TRUE(is_there("y.a.78"));
  EXPECT_TRUE(is_there("z.a"));
}

TEST_F(FolderTest, NoFolderHasNoFiles) {
  EXPECT_TRUE(files_by_use(folder_ + "/none", ".a").empty());
  remove_stale(folder_ + "/none", ".a", std::chrono::hours(1));
}

}  // namespace
}  // namespace godwit
