#include "base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "base/mapped_file.h"
#include "tests/temporary_folder.h"

namespace godwit {
namespace {

class FileTest : public testing::Test {
 protected:
  std::string make(const std::string& name, const std::string& text) {
    const std::string path = folder_ / name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  const TemporaryFolder folder_;
};

TEST_F(FileTest, ReadsIntoManyPartsAndWritesAtAPlace) {
  const std::string path = make("parts", "");
  std::string text;
  for (int i = 0; i < 5000; ++i) text += static_cast<char>('a' + i % 26);
  {
    const File file(path, O_WRONLY);
    EXPECT_TRUE(file.write(text.data(), text.size(), 0));
    EXPECT_TRUE(file.write("XY", 2, 10));
    EXPECT_TRUE(file.write("end", 3, text.size()));
  }
  text.replace(10, 2, "XY");
  text += "end";
  const File file(path, O_RDONLY);
  // More parts than one call of the system takes, empty ones among them.
  std::string read(text.size() - 3, '?');
  std::vector<std::span<std::byte>> parts;
  for (size_t at = 0, n = 0; at < read.size(); at += n) {
    n = std::min(parts.size() % 5, read.size() - at);
    parts.push_back(std::as_writable_bytes(std::span(read).subspan(at, n)));
  }
  ASSERT_GT(parts.size(), 1100u);
  EXPECT_TRUE(file.read(parts, 3));
  EXPECT_EQ(read, text.substr(3));
  EXPECT_FALSE(file.read(parts, 4)) << "the file ends before";
  EXPECT_TRUE(file.read(std::span<const std::span<std::byte>>(), 0));
}

TEST_F(FileTest, MapsAndReadsTheSameBytes) {
  const std::string text("a\0b\xff", 4);
  const std::string path = make("four", text);
  auto mapped = MappedFile::open(path);
  ASSERT_TRUE(mapped.has_value());
  EXPECT_EQ(
      std::string(reinterpret_cast<const char*>(mapped->bytes().data()), mapped->bytes().size()),
      text);
  EXPECT_EQ(read_file(path).value(), text);
  MappedFile moved = std::move(*mapped);
  EXPECT_EQ(moved.bytes().size(), 4u);
}

TEST_F(FileTest, AnEmptyFileIsAnEmptySpan) {
  const std::string path = make("empty", "");
  EXPECT_TRUE(MappedFile::open(path).value().bytes().empty());
  EXPECT_EQ(read_file(path).value(), "");
}

TEST_F(FileTest, FaultsNameThePath) {
  for (const std::string& path : {folder_.string() + "/missing", folder_.string()}) {
    const auto mapped = MappedFile::open(path);
    ASSERT_FALSE(mapped.has_value());
    EXPECT_NE(mapped.error().message.find(path), std::string::npos);
    EXPECT_FALSE(read_file(path).has_value());
  }
  EXPECT_FALSE(read_file(make("large", std::string(100, 'x')), 99).has_value());
}

// Kilobytes of file-backed memory that count for this process.
int64_t file_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssFile:")) return std::stoll(line.substr(8));
  }
  return 0;
}

TEST_F(FileTest, ForgottenPartsStayValidAndAreNoMemoryOfTheProcess) {
  constexpr int64_t kSize = 16 << 20;
  const auto mapped = MappedFile::open(make("large", std::string(kSize, 'x'))).value();
  const auto count = [&] {
    return std::count(mapped.bytes().begin(), mapped.bytes().end(), std::byte{'x'});
  };
  EXPECT_EQ(count(), kSize);
  const int64_t touched = file_memory();
  const std::byte elsewhere[10] = {};
  mapped.forget(elsewhere);
  mapped.forget(mapped.bytes().subspan(5000, kSize - 10000));
  EXPECT_LT(file_memory(), touched - 14 * 1024);
  EXPECT_EQ(count(), kSize);
}

}  // namespace
}  // namespace godwit
