// Merging against its definition, on random vocabularies and texts.
#include "text/bpe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <thread>

namespace godwit::text {
namespace {

// Random merges over three letters; ids in random order; some tokens without a merge.
struct Random {
  std::vector<std::string> tokens;                                // by id
  std::map<std::pair<std::string, std::string>, uint32_t> ranks;  // by the two parts
};

Random random_merges(std::mt19937& random, size_t n) {
  Random made;
  for (int byte = 0; byte < 256; ++byte) made.tokens.emplace_back(1, static_cast<char>(byte));
  std::vector<std::string> parts = {"a", "b", "c"};
  while (made.ranks.size() < n) {
    const std::string &left = parts[random() % parts.size()],
                      &right = parts[random() % parts.size()];
    if (left.size() + right.size() > 12) continue;
    if (!made.ranks.emplace(std::pair(left, right), made.ranks.size()).second) continue;
    const std::string joined = left + right;
    if (std::find(made.tokens.begin(), made.tokens.end(), joined) != made.tokens.end()) continue;
    made.tokens.push_back(joined);
    parts.push_back(joined);
  }
  for (int i = 0; i < 5; ++i) {
    std::string lone;
    for (int k = 0; k < 4; ++k) lone += static_cast<char>('a' + random() % 3);
    if (std::find(made.tokens.begin(), made.tokens.end(), lone) == made.tokens.end())
      made.tokens.push_back(lone);
  }
  std::shuffle(made.tokens.begin(), made.tokens.end(), random);
  return made;
}

Bpe build(const Random& made, Bpe::WholeTokens whole) {
  Vocabulary vocabulary;
  for (size_t id = 0; id < made.tokens.size(); ++id)
    EXPECT_TRUE(vocabulary.add(static_cast<int64_t>(id), made.tokens[id]));
  auto bpe = Bpe::make(std::move(vocabulary), whole);
  EXPECT_TRUE(bpe) << bpe.error().message;
  std::vector<std::pair<std::string, std::string>> in_order(made.ranks.size());
  for (const auto& [parts, rank] : made.ranks) in_order[rank] = parts;
  for (const auto& [left, right] : in_order) EXPECT_TRUE(bpe->add_merge(left + right, left.size()));
  return std::move(*bpe);
}

std::vector<std::string> merge_by_definition(const Random& made, const std::string& piece) {
  std::vector<std::string> parts;
  for (const char c : piece) parts.emplace_back(1, c);
  while (true) {
    uint32_t best = ~0u;
    size_t place = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = made.ranks.find({parts[i], parts[i + 1]});
      if (found == made.ranks.end() || found->second >= best) continue;
      best = found->second;
      place = i;
    }
    if (best == ~0u) return parts;
    parts[place] += parts[place + 1];
    parts.erase(parts.begin() + static_cast<ptrdiff_t>(place) + 1);
  }
}

std::vector<std::string> encode(const Bpe& bpe, std::string_view piece) {
  Bpe::Scratch scratch;
  std::vector<int32_t> ids;
  bpe.encode(piece, scratch, ids);
  std::vector<std::string> out;
  for (const int32_t id : ids) out.emplace_back(bpe.vocabulary().bytes(id));
  return out;
}

std::string random_piece(std::mt19937& random) {
  std::string piece;
  for (size_t n = 1 + random() % 40; n > 0; --n) piece += static_cast<char>('a' + random() % 3);
  return piece;
}

TEST(Bpe, MergesAsDefined) {
  std::mt19937 random(4);
  for (int round = 0; round < 60; ++round) {
    const Random made = random_merges(random, 1 + random() % 80);
    const Bpe bpe = build(made, Bpe::WholeTokens::kByMerges);
    for (int i = 0; i < 100; ++i) {
      const std::string piece = random_piece(random);
      ASSERT_EQ(encode(bpe, piece), merge_by_definition(made, piece)) << piece;
    }
    for (const std::string& token : made.tokens) {
      const auto expected = merge_by_definition(made, token);
      ASSERT_EQ(encode(bpe, token), expected);
      ASSERT_EQ(encode(bpe, token), expected);  // now from what is known of it
    }
  }
}

TEST(Bpe, TakesWholeTokensWhereMergesAreIgnored) {
  std::mt19937 random(5);
  const Random made = random_merges(random, 40);
  const Bpe bpe = build(made, Bpe::WholeTokens::kAlways);
  for (const std::string& token : made.tokens)
    EXPECT_EQ(encode(bpe, token), std::vector<std::string>{token});
}

TEST(Bpe, GivesEveryThreadTheSame) {
  std::mt19937 random(6);
  const Random made = random_merges(random, 60);
  const Bpe bpe = build(made, Bpe::WholeTokens::kByMerges);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (const std::string& token : made.tokens)
        EXPECT_EQ(encode(bpe, token), merge_by_definition(made, token));
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST(Bpe, TakesTheLaterRankOfAPairThatComesTwice) {
  Vocabulary vocabulary;
  for (int byte = 0; byte < 256; ++byte)
    ASSERT_TRUE(vocabulary.add(byte, std::string(1, static_cast<char>(byte))));
  ASSERT_TRUE(vocabulary.add(256, "ab"));
  ASSERT_TRUE(vocabulary.add(257, "bc"));
  Bpe bpe = *Bpe::make(std::move(vocabulary), Bpe::WholeTokens::kByMerges);
  ASSERT_TRUE(bpe.add_merge("ab", 1));
  ASSERT_TRUE(bpe.add_merge("bc", 1));
  EXPECT_EQ(encode(bpe, "abc"), (std::vector<std::string>{"ab", "c"}));
  ASSERT_TRUE(bpe.add_merge("ab", 1));
  EXPECT_EQ(encode(bpe, "abc"), (std::vector<std::string>{"a", "bc"}));
}

}  // namespace
}  // namespace godwit::text
