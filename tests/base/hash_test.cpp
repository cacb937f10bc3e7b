#include "base/hash.h"

#include <gtest/gtest.h>

#include <string>

namespace godwit {
namespace {

// What is kept on disk is found again by these.
TEST(Hash, IsXxh3) { EXPECT_EQ(hash_bytes(""), (Hash128{0x6001c324468d497f, 0x99aa06d3014798d8})); }

TEST(Hash, OfPartsIsOfTheWhole) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += std::to_string(i);
  for (const size_t step : {1, 7, 300, 10000}) {
    Hasher hasher;
    for (size_t at = 0; at < text.size(); at += step)
      hasher.add(text.data() + at, std::min(step, text.size() - at));
    EXPECT_EQ(hasher.finish(), hash_bytes(text)) << step;
  }
}

}  // namespace
}  // namespace godwit
