// safetensors: what is written is read back; shards; and files that lie, cut at every byte.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <thread>

#include "checkpoint/json.h"
#include "checkpoint/tensor_source.h"
#include "tests/checkpoint/files.h"

namespace godwit::checkpoint {
namespace {

using tensor::DType;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<float> kFloats = {1, 2, 3, 4, 5, 6};
const std::vector<uint16_t> kHalves = {1, 2, 3};
const std::vector<int64_t> kLongs = {-1, 1};
const std::vector<uint8_t> kBytes = {7, 8, 9};

std::vector<NamedTensor> small() {
  return {{"bytes", view_of(kBytes, DType::kU8, {3})},
          {"floats", view_of(kFloats, DType::kF32, {2, 3})},
          {"halves", view_of(kHalves, DType::kBF16, {3, 1})},
          {"longs", view_of(kLongs, DType::kI64, {2})},
          {"none", view_of(kFloats, DType::kF32, {0, 4})},
          {"scalar", view_of(kFloats, DType::kF32, {})}};
}

std::string file_of(const std::string& header, size_t data_bytes) {
  return Bytes().number<uint64_t>(header.size()).raw(header).raw(std::string(data_bytes, 'x')).data;
}

std::string error_of(const std::string& path) {
  const auto source = open_safetensors(path);
  if (source) return "no error";
  expect_clear(source.error().message, path);
  EXPECT_EQ(source.error().kind, ErrorKind::kBadInput);
  return source.error().message;
}

TEST(Safetensors, WhatIsWrittenIsReadBack) {
  const Folder folder;
  ASSERT_TRUE(
      write_safetensors(folder / "a.safetensors", small(), {{"format", "pt"}, {"quote", "\"\n"}}));
  EXPECT_FALSE(std::filesystem::exists(folder / "a.safetensors.part"));
  const auto source = open_safetensors(folder / "a.safetensors");
  ASSERT_TRUE(source) << source.error().message;
  EXPECT_THAT((*source)->names(),
              ElementsAre("bytes", "floats", "halves", "longs", "none", "scalar"));
  for (const auto& [name, view] : small()) {
    const auto found = (*source)->find(name);
    ASSERT_TRUE(found) << name;
    EXPECT_TRUE(same_bytes(*found, view)) << name;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(found->data) % tensor::dtype_info(view.dtype).block_bytes,
              0u);
  }
  EXPECT_FALSE((*source)->find("other"));
  EXPECT_THAT((*source)->description(), HasSubstr("a.safetensors"));
  EXPECT_THAT(slurp(folder / "a.safetensors"),
              HasSubstr(R"("__metadata__":{"format":"pt","quote":"\"\n"})"));
}

TEST(Safetensors, MisalignedTensorsAreReadWhereTheyLie) {
  const Folder folder;
  const std::string header = R"({"f":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}} )";
  for (size_t pad = 0; pad < 8; ++pad) {
    const float value = 1.5f;
    const std::string text = header + std::string(pad, ' ');
    const auto path = folder.put(
        "m.safetensors", Bytes().number<uint64_t>(text.size()).raw(text).number(value).data);
    const auto source = open_safetensors(path);
    ASSERT_TRUE(source) << source.error().message;
    const auto view = (*source)->find("f");
    EXPECT_EQ(std::memcmp(view->data, &value, sizeof value), 0);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view->data) % 8, text.size() % 8) << "not a copy";
  }
}

TEST(Safetensors, CutAtEveryByteIsRefused) {
  const Folder folder;
  ASSERT_TRUE(write_safetensors(folder / "a.safetensors", small()));
  const std::string whole = slurp(folder / "a.safetensors");
  for (size_t n = 0; n < whole.size(); ++n)
    EXPECT_NE(error_of(folder.put("cut.safetensors", whole.substr(0, n))), "no error") << n;
  EXPECT_THAT(error_of(folder.put("long.safetensors", whole + "x")),
              HasSubstr("1 bytes follow the last tensor"));
}

TEST(Safetensors, EveryChangedByteIsReadOrRefused) {
  const Folder folder;
  ASSERT_TRUE(write_safetensors(folder / "a.safetensors", small()));
  const std::string whole = slurp(folder / "a.safetensors");
  for (size_t n = 0; n < whole.size(); ++n) {
    for (const char c : {'\0', '\xff', '9', '"', '}'}) {
      std::string changed = whole;
      changed[n] = c;
      const auto path = folder.put("changed.safetensors", changed);
      const auto source = open_safetensors(path);
      if (!source) {
        expect_clear(source.error().message, path);
        continue;
      }
      unsigned sum = 0;
      for (const auto& name : (*source)->names()) {
        const auto view = *(*source)->find(name);
        for (size_t i = 0; i < view.bytes(); ++i) sum += static_cast<unsigned>(view.data[i]);
      }
      EXPECT_LT(sum, 100000u);
    }
  }
}

TEST(Safetensors, LyingHeaders) {
  const Folder folder;
  const auto entry = [](const std::string& dtype, const std::string& shape,
                        const std::string& offsets) {
    return R"("t":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets +
           "}";
  };
  const auto fault = [&](const std::string& entries, size_t data = 8) {
    return error_of(folder.put("t.safetensors", file_of("{" + entries + "}", data)));
  };
  EXPECT_EQ(fault(entry("F32", "[2]", "[0,8]")), "no error");
  EXPECT_EQ(fault("", 0), "no error");
  EXPECT_THAT(fault(entry("F32", "[3]", "[0,8]")), HasSubstr("F32 [3] needs 12 bytes, found 8"));
  EXPECT_THAT(fault(entry("F32", "[3]", "[0,12]")),
              HasSubstr("ends at byte 12 of the data, which has 8"));
  EXPECT_THAT(fault(entry("F64", "[1]", "[0,8]")), HasSubstr("found 'F64'"));
  EXPECT_THAT(fault(entry("Q8_0", "[32]", "[0,34]"), 34), HasSubstr("found 'Q8_0'"));
  EXPECT_THAT(fault(entry("F32", "[-2]", "[0,8]")), HasSubstr("found [-2]"));
  EXPECT_THAT(fault(entry("F32", "[2.0]", "[0,8]")), HasSubstr("found [2.0]"));
  EXPECT_THAT(fault(entry("F32", "\"2\"", "[0,8]")), HasSubstr("expected a shape"));
  EXPECT_THAT(fault(entry("F32", "[1,1,1,1,1,2]", "[0,8]")), HasSubstr("at most 5 dimensions"));
  EXPECT_THAT(fault(entry("F32", "[4294967296,4294967296]", "[0,8]")), HasSubstr("fits 63 bits"));
  EXPECT_THAT(fault(entry("F32", "[9223372036854775807]", "[0,8]")),
              HasSubstr("needs too many bytes"));
  EXPECT_THAT(fault(entry("F32", "[99999999999999999999]", "[0,8]")), HasSubstr("fits 63 bits"));
  EXPECT_THAT(fault(entry("F32", "[2]", "[8,0]")), HasSubstr("data_offsets"));
  EXPECT_THAT(fault(entry("F32", "[2]", "[-8,0]")), HasSubstr("data_offsets"));
  EXPECT_THAT(fault(entry("F32", "[2]", "[0]")), HasSubstr("data_offsets"));
  EXPECT_THAT(fault(entry("F32", "[2]", "[9223372036854775800,9223372036854775808]")),
              HasSubstr("data_offsets"));
  EXPECT_THAT(fault(entry("F32", "[2]", "[9223372036854775799,9223372036854775807]")),
              HasSubstr("which has 8"));
  EXPECT_THAT(fault(entry("F32", "[2]", "[4,12]"), 12), HasSubstr("a gap"));
  EXPECT_THAT(fault(R"("t":7)"), HasSubstr("found none"));
  EXPECT_THAT(fault(R"("t":{"dtype":7,"shape":[],"data_offsets":[0,4]})"),
              HasSubstr("another kind of value"));
  const std::string two = R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                          R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]})";
  EXPECT_THAT(
      fault(two),
      HasSubstr("tensor 'b': expected to begin at byte 8 of the data, found 4 (overlaps another)"));
  const std::string twice = R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                            R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]})";
  EXPECT_THAT(fault(twice), HasSubstr("key 'a': expected once, found twice"));
}

TEST(Safetensors, LyingLengths) {
  const Folder folder;
  const auto fault = [&](uint64_t length, const std::string& rest) {
    return error_of(folder.put("t.safetensors", Bytes().number(length).raw(rest).data));
  };
  EXPECT_THAT(fault(3, "{}"), HasSubstr("expected a header of 3 bytes, found 2"));
  EXPECT_THAT(fault(99'999'999, "{}"), HasSubstr("found 2"));
  EXPECT_THAT(fault(100'000'001, "{}"), HasSubstr("at most 100000000 bytes"));
  EXPECT_THAT(fault(UINT64_MAX, "{}"), HasSubstr("at most 100000000 bytes"));
  EXPECT_THAT(fault(UINT64_MAX - 7, "{}"), HasSubstr("at most 100000000 bytes"));
  EXPECT_THAT(fault(0, ""), HasSubstr("malformed JSON"));
  EXPECT_THAT(fault(2, "[]"), HasSubstr("expected a JSON object"));
  EXPECT_THAT(fault(4, "{\"\xff\""), HasSubstr("malformed JSON"));
  EXPECT_THAT(fault(10, "{\"a\":[[[[["), HasSubstr("malformed JSON"));
  EXPECT_THAT(error_of(folder.put("empty.safetensors", "")), HasSubstr("found 0 bytes"));
}

TEST(Safetensors, EveryFaultIsToldAndNamesAreEscaped) {
  const Folder folder;
  const auto path = folder.put("t.safetensors",
                               file_of(R"({"a\u001b[31m'":{"dtype":"X"},"b":{"dtype":"Y"}})", 0));
  const auto message = error_of(path);
  EXPECT_THAT(message, HasSubstr(R"('a\x1b[31m\'')"));
  EXPECT_THAT(message, HasSubstr("tensor 'b'"));
  std::string many = "\"t\":{}";
  for (int i = 1; i < 20; ++i) many += fmt::format(",\"t{}\":{{}}", i);
  EXPECT_THAT(error_of(folder.put("t.safetensors", file_of("{" + many + "}", 0))),
              HasSubstr("and 12 more"));
}

class Sharded : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(write_safetensors(folder_ / "m-1.safetensors",
                                  {{"a", view_of(kFloats, DType::kF32, {6})}}));
    ASSERT_TRUE(write_safetensors(folder_ / "m-2.safetensors",
                                  {{"b", view_of(kHalves, DType::kF16, {3})}}));
    index(R"({"a":"m-1.safetensors","b":"m-2.safetensors"})");
  }
  void index(const std::string& map) {
    path_ = folder_.put("model.safetensors.index.json",
                        R"({"metadata":{"total_size":30},"weight_map":)" + map + "}");
  }
  Folder folder_;
  std::string path_;
};

TEST_F(Sharded, OpensByIndexOrFolder) {
  for (const auto& path : {path_, folder_.string()}) {
    const auto source = open_safetensors(path);
    ASSERT_TRUE(source) << source.error().message;
    EXPECT_THAT((*source)->names(), ElementsAre("a", "b"));
    EXPECT_TRUE(same_bytes(*(*source)->find("b"), view_of(kHalves, DType::kF16, {3})));
  }
}

TEST_F(Sharded, FaultsOfTheIndex) {
  index(R"({"a":"m-1.safetensors","b":"m-3.safetensors","c":"m-4.safetensors"})");
  const auto missing = error_of(path_);
  EXPECT_THAT(missing, HasSubstr("m-3.safetensors: cannot open"));
  EXPECT_THAT(missing, HasSubstr("m-4.safetensors: cannot open"));
  index(R"({"a":"m-1.safetensors","b":"m-1.safetensors"})");
  EXPECT_THAT(error_of(path_), HasSubstr("tensor 'b' is not in"));
  for (const char* file :
       {"\"../m-1.safetensors\"", "\"/etc/passwd\"", "\"\"", "7", "\"a\\u0000b\""}) {
    index(std::string(R"({"a":)") + file + "}");
    EXPECT_THAT(error_of(path_), HasSubstr("expected the name of a file beside the index")) << file;
  }
  index("{}");
  EXPECT_THAT(error_of(path_), HasSubstr("is empty"));
  index("[]");
  EXPECT_THAT(error_of(path_), HasSubstr("to be an object"));
  ASSERT_TRUE(write_safetensors(
      folder_ / "m-2.safetensors",
      {{"a", view_of(kFloats, DType::kF32, {6})}, {"b", view_of(kHalves, DType::kF16, {3})}}));
  index(R"({"a":"m-1.safetensors","b":"m-2.safetensors"})");
  EXPECT_THAT(error_of(path_), HasSubstr("and in another file"));
}

TEST_F(Sharded, FolderWithoutIndex) {
  std::filesystem::remove(path_);
  EXPECT_THAT(error_of(folder_.string()), HasSubstr("found 2"));
  std::filesystem::remove(folder_ / "m-2.safetensors");
  EXPECT_TRUE(open_safetensors(folder_.string()));
  std::filesystem::remove(folder_ / "m-1.safetensors");
  EXPECT_THAT(error_of(folder_.string()), HasSubstr("found none"));
  EXPECT_THAT(error_of(folder_ / "none.safetensors"), HasSubstr("cannot open"));
}

TEST(Safetensors, WritingWhereItIsNotPossible) {
  const auto status = write_safetensors("/nowhere/x.safetensors", small());
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, ErrorKind::kFailed);
}

TEST(Safetensors, DevicesAndLinksStay) {
  const Folder folder;
  namespace fs = std::filesystem;
  ASSERT_TRUE(write_safetensors(folder / "a.safetensors", small()));
  fs::create_symlink(folder / "a.safetensors", folder / "link");
  EXPECT_TRUE(write_safetensors(folder / "link", small()));
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_TRUE(open_safetensors(folder / "link"));
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  std::thread reader([&] { EXPECT_TRUE(!slurp(folder / "pipe").empty()); });
  EXPECT_TRUE(write_safetensors(folder / "pipe", small()));
  reader.join();
  EXPECT_TRUE(fs::is_fifo(folder / "pipe"));
}

}  // namespace
}  // namespace godwit::checkpoint
