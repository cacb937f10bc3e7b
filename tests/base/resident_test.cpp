#include "base/resident.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace godwit {
namespace {

TEST(Resident, WhatIsAskedForIsThereAndUnchanged) {
  constexpr size_t kBytes = size_t{8} << 20;
  auto* data = static_cast<std::byte*>(
      ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(data, MAP_FAILED);
  ::madvise(data, kBytes, MADV_NOHUGEPAGE);
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const auto resident = [&] {
    std::vector<unsigned char> pages(kBytes / page);
    EXPECT_EQ(::mincore(data, kBytes, pages.data()), 0);
    return static_cast<size_t>(
        std::count_if(pages.begin(), pages.end(), [](unsigned char p) { return p & 1; }));
  };
  data[page * 100 + 7] = std::byte{7};
  EXPECT_EQ(resident(), 1u);
  if (make_resident({data + page * 90 + 5, page * 20})) {
    EXPECT_EQ(resident(), 21u) << "the pages at both ends are touched";
  } else {
    EXPECT_EQ(resident(), 1u);
  }
  EXPECT_EQ(data[page * 100 + 7], std::byte{7});
  EXPECT_EQ(data[page * 95], std::byte{0});
  ::munmap(data, kBytes);
  EXPECT_FALSE(make_resident({data, kBytes})) << "nobody's memory";
}

}  // namespace
}  // namespace godwit
