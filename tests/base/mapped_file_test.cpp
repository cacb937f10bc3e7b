#include "base/mapped_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/temporary_folder.h"

namespace godwit {
namespace {

namespace fs = std::filesystem;

class MappedFileTest : public testing::Test {
 protected:
  // Bytes of which every word tells its place.
  void make(size_t size) {
    std::string bytes(size, '\0');
    for (size_t i = 0; i < size; ++i) bytes[i] = byte_at(i);
    std::ofstream(path_, std::ios::binary) << bytes;
  }
  static char byte_at(size_t i) { return static_cast<char>(i >> (i % 4 * 8)); }
  static bool is_whole(std::span<const std::byte> bytes) {
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (static_cast<char>(bytes[i]) != byte_at(i)) return false;
    }
    return true;
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_ / "mapped";
};

TEST_F(MappedFileTest, SettlesWhereItIsWhileOthersRead) {
  make((size_t{33} << 20) + 4097);  // two whole pieces and a part that ends within a page
  auto file = MappedFile::open(path_);
  ASSERT_TRUE(file) << file.error().message;
  const auto bytes = file->bytes();
  std::atomic<bool> done = false, good = true;
  std::thread reader([&] {
    while (!done) good = good && is_whole(bytes);
  });
  int pieces = 1;
  while (file->settle_next()) ++pieces;
  done = true;
  reader.join();
  EXPECT_EQ(pieces, 3);
  EXPECT_TRUE(good);
  EXPECT_EQ(file->bytes().data(), bytes.data());
  fs::resize_file(path_, 0);  // nothing of it is read from the file any more
  EXPECT_TRUE(is_whole(bytes));
  file->forget(bytes);
  EXPECT_TRUE(is_whole(bytes)) << "forgotten, though no file has it";
  EXPECT_FALSE(file->settle_next());
  const MappedFile moved = std::move(*file);
  EXPECT_TRUE(is_whole(moved.bytes()));
}

TEST_F(MappedFileTest, AnEmptyFileIsEmpty) {
  make(0);
  auto file = MappedFile::open(path_);
  ASSERT_TRUE(file);
  EXPECT_TRUE(file->bytes().empty());
  EXPECT_FALSE(file->settle_next());
  EXPECT_FALSE(MappedFile::open(path_ + "/none"));
  EXPECT_FALSE(MappedFile::open(folder_.string()));
}

}  // namespace
}  // namespace godwit
