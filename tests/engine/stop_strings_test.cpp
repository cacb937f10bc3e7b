// Stop strings: the same cut wherever the pieces of the stream begin and end.
#include "engine/stop_strings.h"

#include <gtest/gtest.h>

#include <random>

namespace godwit::engine {
namespace {

struct Cut {
  std::string text;
  std::optional<std::string> found;
  bool operator==(const Cut&) const = default;
};
Cut feed(const std::vector<std::string>& strings, const std::vector<std::string>& pieces) {
  StopStrings stops(strings);
  Cut cut;
  for (const auto& piece : pieces) cut.text += stops.push(piece);
  if (!stops.found()) cut.text += stops.finish();
  cut.found = stops.found();
  return cut;
}

TEST(StopStrings, CutsBeforeTheFirst) {
  EXPECT_EQ(feed({"END"}, {"one END two"}), (Cut{"one ", "END"}));
  EXPECT_EQ(feed({"END"}, {"one E", "N", "D two"}), (Cut{"one ", "END"}));
  EXPECT_EQ(feed({"END"}, {"one EN", "E"}), (Cut{"one ENE", std::nullopt}));
  EXPECT_EQ(feed({"b", "abc"}, {"xabc"}), (Cut{"xa", "b"})) << "the first to be complete";
  EXPECT_EQ(feed({"bc", "abc"}, {"xabc"}), (Cut{"x", "abc"}))
      << "of those that end together the one that began first";
  EXPECT_EQ(feed({}, {"a", "b"}), (Cut{"ab", std::nullopt}));
  EXPECT_EQ(feed({""}, {"a"}), (Cut{"a", std::nullopt}));
}

TEST(StopStrings, HoldsBackNoMoreThanNeeded) {
  StopStrings stops({"\n\n", "User:"});
  EXPECT_EQ(stops.push("Hello\n"), "Hello");
  EXPECT_EQ(stops.push("Us"), "\n");
  EXPECT_EQ(stops.push("ed"), "Used");
}

TEST(StopStrings, AnyPiecesGiveTheSame) {
  std::mt19937 random(4);
  const auto text_of = [&](size_t n) {
    std::string text;
    for (size_t i = 0; i < n; ++i) text += static_cast<char>('a' + random() % 3);
    return text;
  };
  int found = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> strings;
    for (int i = 0; i < 3; ++i) strings.push_back(text_of(2 + random() % 5));
    const std::string text = text_of(random() % 40);
    std::vector<std::string> bytes, pieces;
    for (size_t at = 0; at < text.size();) {
      const size_t n = std::min<size_t>(1 + random() % 9, text.size() - at);
      pieces.push_back(text.substr(at, n));
      at += n;
    }
    for (char c : text) bytes.emplace_back(1, c);
    const Cut whole = feed(strings, {text});
    EXPECT_EQ(whole, feed(strings, bytes));
    EXPECT_EQ(whole, feed(strings, pieces));
    found += whole.found.has_value();
  }
  EXPECT_GT(found, 500);
}

}  // namespace
}  // namespace godwit::engine
