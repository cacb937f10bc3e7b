#include "base/container.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/temporary_folder.h"

namespace godwit {
namespace {

class ContainerTest : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  ContainerLimits limits(const std::string& membership) {
    write("membership", membership);
    return container_limits(root_, root_ / "membership");
  }
  const TemporaryFolder temporary_;
  const std::filesystem::path root_ = temporary_.path();
};

TEST_F(ContainerTest, NothingIsNoLimit) {
  const ContainerLimits found = limits("0::/\n");
  EXPECT_EQ(found.cpus, 0);
  EXPECT_EQ(found.memory, 0u);
}

TEST_F(ContainerTest, TheTightestLevelOfVersionTwoCounts) {
  write("a/b/cpu.max", "max 100000\n");
  write("a/cpu.max", "150000 100000\n");
  write("a/b/memory.max", "1000\n");
  write("a/b/memory.current", "300\n");
  write("a/memory.max", "1100\n");
  write("a/memory.current", "900\n");
  write("a/memory.stat", "anon 1\ninactive_file 250\n");
  const ContainerLimits found = limits("0::/a/b\n");
  EXPECT_DOUBLE_EQ(found.cpus, 1.5);
  EXPECT_EQ(found.memory, 1100u);
  EXPECT_EQ(found.memory_used, 650u);
}

TEST_F(ContainerTest, VersionOneHasAFolderForEachController) {
  write("memory/x/memory.limit_in_bytes", "5000\n");
  write("memory/x/memory.usage_in_bytes", "4000\n");
  write("memory/x/memory.stat", "cache 9\ntotal_inactive_file 1000\n");
  write("memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("cpu/cpu.cfs_quota_us", "-1\n");
  write("cpu/y/cpu.cfs_quota_us", "200000\n");
  write("cpu/y/cpu.cfs_period_us", "100000\n");
  const ContainerLimits found = limits("4:memory:/x\n1:cpu,cpuacct:/y\nbroken\n0::/\n");
  EXPECT_DOUBLE_EQ(found.cpus, 2);
  EXPECT_EQ(found.memory, 5000u);
  EXPECT_EQ(found.memory_used, 3000u);
}

// A container sees its own group as the root, but reads its path on the host.
TEST_F(ContainerTest, AnUnseenPathFallsBackToTheRoot) {
  write("memory.max", "700\n");
  EXPECT_EQ(limits("0::/machine/box\n").memory, 700u);
}

}  // namespace
}  // namespace godwit
