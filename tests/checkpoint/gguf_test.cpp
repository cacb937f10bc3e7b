// GGUF: what is written is read back; the golden files; and files that lie, cut at every byte.
#include "checkpoint/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "tensor/blocks.h"
#include "tests/checkpoint/files.h"

namespace godwit::checkpoint {
namespace {

using tensor::DType;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<float> kFloats(64, 1.25f);
const std::vector<uint8_t> kBlocks(34 * 4, 3);

GgufWriter small() {
  return {{{"general.architecture", std::string("test")},
           {"a.count", int64_t{7}},
           {"a.negative", int64_t{-7}},
           {"a.large", int64_t{1} << 40},
           {"a.real", 0.5},
           {"a.flag", true},
           {"a.names", GgufArray{std::vector<std::string>{"x", "", "zz"}}},
           {"a.numbers", GgufArray{std::vector<int64_t>{1, -2, 3}}},
           {"a.longs", GgufArray{std::vector<int64_t>{1, int64_t{1} << 40}}},
           {"a.reals", GgufArray{std::vector<double>{0.5, -1}}},
           {"a.flags", GgufArray{std::vector<bool>{true, false}}},
           {"general.alignment", int64_t{64}},
           {"split.count", int64_t{2}}},
          {{"w", view_of(kFloats, DType::kF32, {3, 5})},
           {"q", view_of(kBlocks, DType::kQ8_0, {2, 64})},
           {"s", view_of(kFloats, DType::kF32, {})}}};
}

std::string error_of(const std::string& path) {
  const auto file = GgufFile::open(path);
  if (file) return "no error";
  expect_clear(file.error().message, std::filesystem::path(path).parent_path().string());
  EXPECT_EQ(file.error().kind, ErrorKind::kBadInput);
  return file.error().message;
}

TEST(Gguf, WhatIsWrittenIsReadBack) {
  const Folder folder;
  const auto writer = small();
  ASSERT_TRUE(writer.write(folder / "a.gguf"));
  const auto opened = GgufFile::open(folder / "a.gguf");
  ASSERT_TRUE(opened) << opened.error().message;
  const GgufFile& file = **opened;
  EXPECT_THAT(file.names(), ElementsAre("q", "s", "w"));
  for (const auto& [name, view] : writer.tensors)
    EXPECT_TRUE(same_bytes(*file.find(name), view)) << name;
  EXPECT_EQ(file.metadata().size(), 11u);  // without the container's own two
  EXPECT_EQ(file.integer("a.count"), 7);
  EXPECT_EQ(file.integer("a.negative"), -7);
  EXPECT_EQ(file.integer("a.large"), int64_t{1} << 40);
  EXPECT_EQ(file.real("a.real"), 0.5);
  EXPECT_EQ(file.real("a.count"), 7.0);
  EXPECT_EQ(file.flag_or("a.flag", false), true);
  EXPECT_EQ(file.text("general.architecture"), "test");
  EXPECT_THAT(*file.strings("a.names"), ElementsAre("x", "", "zz"));
  EXPECT_THAT(*file.integers("a.numbers"), ElementsAre(1, -2, 3));
  EXPECT_THAT(*file.integers("a.longs"), ElementsAre(1, int64_t{1} << 40));
  EXPECT_THAT(*file.flags("a.flags"), ElementsAre(true, false));
}

TEST(Gguf, LookUps) {
  const Folder folder;
  ASSERT_TRUE(small().write(folder / "a.gguf"));
  const auto opened = GgufFile::open(folder / "a.gguf");
  ASSERT_TRUE(opened);
  const GgufFile& file = **opened;
  EXPECT_EQ(file.integer_or("none", 3), 3);
  EXPECT_EQ(file.real_or("none", 0.25), 0.25);
  EXPECT_EQ(file.text_or("none", "x"), "x");
  EXPECT_EQ(file.flag_or("none", true), true);
  EXPECT_EQ(file.strings("none"), nullptr);
  EXPECT_EQ(file.strings("a.numbers"), nullptr);
  EXPECT_EQ(file.integers("a.count"), nullptr);
  EXPECT_THAT(file.integer("none").error().message,
              HasSubstr("metadata 'none' is missing, expected an integer"));
  EXPECT_THAT(file.integer_or("a.real", 3).error().message,
              HasSubstr("'a.real': expected an integer, found a real"));
  EXPECT_THAT(file.text("a.names").error().message,
              HasSubstr("expected a string, found an array of strings"));
  EXPECT_THAT(file.flag_or("a.count", true).error().message,
              HasSubstr("expected a bool, found an integer"));
}

TEST(Gguf, WrittenTypesAreThoseOtherEnginesExpect) {
  const Folder folder;
  GgufWriter writer;
  writer.metadata = {{"k", int64_t{7}}};
  ASSERT_TRUE(writer.write(folder / "a.gguf"));
  const auto head = Bytes().raw("GGUF").number<uint32_t>(3).number<uint64_t>(0).number<uint64_t>(1);
  EXPECT_EQ(slurp(folder / "a.gguf"),
            Bytes(head).text("k").number<uint32_t>(4).number<uint32_t>(7).pad(32).data);
  writer.metadata = {{"k", GgufArray{std::vector<int64_t>{7}}}};
  ASSERT_TRUE(writer.write(folder / "a.gguf"));
  EXPECT_EQ(slurp(folder / "a.gguf"), Bytes(head)
                                          .text("k")
                                          .number<uint32_t>(9)
                                          .number<uint32_t>(5)
                                          .number<uint64_t>(1)
                                          .number<int32_t>(7)
                                          .pad(32)
                                          .data);
}

Bytes header(uint32_t version, uint64_t tensors, uint64_t keys) {
  return Bytes().raw("GGUF").number(version).number(tensors).number(keys);
}

TEST(Gguf, EveryMetadataTypeOfBothVersions) {
  const Folder folder;
  for (const uint32_t version : {2u, 3u}) {
    Bytes b = header(version, 0, 12);
    b.text("u8").number<uint32_t>(0).number<uint8_t>(255);
    b.text("i8").number<uint32_t>(1).number<int8_t>(-1);
    b.text("u16").number<uint32_t>(2).number<uint16_t>(65535);
    b.text("i16").number<uint32_t>(3).number<int16_t>(-2);
    b.text("u32").number<uint32_t>(4).number<uint32_t>(4294967295u);
    b.text("i32").number<uint32_t>(5).number<int32_t>(-3);
    b.text("f32").number<uint32_t>(6).number<float>(0.1f);
    b.text("u64").number<uint32_t>(10).number<uint64_t>(INT64_MAX);
    b.text("i64").number<uint32_t>(11).number<int64_t>(INT64_MIN);
    b.text("f64").number<uint32_t>(12).number<double>(0.1);
    b.text("bools")
        .number<uint32_t>(9)
        .number<uint32_t>(7)
        .number<uint64_t>(2)
        .number<uint8_t>(2)
        .number<uint8_t>(0);
    b.text("u16s").number<uint32_t>(9).number<uint32_t>(2).number<uint64_t>(1).number<uint16_t>(9);
    const auto opened = GgufFile::open(folder.put("t.gguf", b.data));
    ASSERT_TRUE(opened) << opened.error().message;
    const auto& f = **opened;
    EXPECT_EQ(f.integer("u8"), 255);
    EXPECT_EQ(f.integer("i8"), -1);
    EXPECT_EQ(f.integer("u16"), 65535);
    EXPECT_EQ(f.integer("i16"), -2);
    EXPECT_EQ(f.integer("u32"), 4294967295);
    EXPECT_EQ(f.integer("i32"), -3);
    EXPECT_EQ(f.real("f32"), static_cast<double>(0.1f));
    EXPECT_EQ(f.integer("u64"), INT64_MAX);
    EXPECT_EQ(f.integer("i64"), INT64_MIN);
    EXPECT_EQ(f.real("f64"), 0.1);
    EXPECT_THAT(*f.flags("bools"), ElementsAre(true, false));
    EXPECT_THAT(*f.integers("u16s"), ElementsAre(9));
  }
}

TEST(Gguf, CutAtEveryByteIsRefused) {
  const Folder folder;
  auto writer = small();
  writer.tensors.resize(2);  // the last ends with its data, up to the padding
  writer.tensors[1].view.shape = {1, 32};
  ASSERT_TRUE(writer.write(folder / "a.gguf"));
  const std::string whole = slurp(folder / "a.gguf");
  const size_t needed = whole.size() - (64 - 34);
  for (size_t n = 0; n < needed; ++n)
    EXPECT_NE(error_of(folder.put("cut.gguf", whole.substr(0, n))), "no error") << n;
  EXPECT_EQ(error_of(folder.put("cut.gguf", whole.substr(0, needed))), "no error");
}

TEST(Gguf, EveryChangedByteIsReadOrRefused) {
  const Folder folder;
  ASSERT_TRUE(small().write(folder / "a.gguf"));
  const std::string whole = slurp(folder / "a.gguf");
  for (size_t n = 0; n < whole.size(); ++n) {
    for (const char c : {'\0', '\x01', '\x40', '\x7f', '\xff'}) {
      std::string changed = whole;
      changed[n] = c;
      const auto path = folder.put("changed.gguf", changed);
      const auto file = GgufFile::open(path, UnknownTypes::kLeaveOut);
      if (!file) {
        expect_clear(file.error().message, folder.string());
        continue;
      }
      unsigned sum = 0;
      for (const auto& name : (*file)->names()) {
        const auto view = *(*file)->find(name);
        for (size_t i = 0; i < view.bytes(); ++i) sum += static_cast<unsigned>(view.data[i]);
      }
      EXPECT_LT(sum, 1000000u);
    }
  }
}

TEST(Gguf, LyingHeaders) {
  const Folder folder;
  const auto fault = [&](const Bytes& bytes) { return error_of(folder.put("t.gguf", bytes.data)); };
  EXPECT_EQ(fault(header(3, 0, 0)), "no error");
  EXPECT_THAT(fault(Bytes().raw("GGML")), HasSubstr("expected a GGUF file"));
  EXPECT_THAT(fault(header(1, 0, 0)), HasSubstr("expected GGUF version 2 or 3, found 1"));
  EXPECT_THAT(fault(header(4, 0, 0)), HasSubstr("found 4"));
  EXPECT_THAT(fault(header(0x03000000, 0, 0)), HasSubstr("big-endian"));
  EXPECT_THAT(fault(header(3, 1ull << 60, 0)), HasSubstr("expected 1152921504606846976 entries"));
  EXPECT_THAT(fault(header(3, 0, UINT64_MAX)), HasSubstr("found room for 0"));
  EXPECT_THAT(fault(header(3, 0, 1).number<uint64_t>(1ull << 60).raw("abcdefgh")),
              HasSubstr("metadata key"));
  EXPECT_THAT(fault(header(3, 0, 1).text("k").number<uint32_t>(13).number<uint64_t>(0)),
              HasSubstr("found 13"));
  EXPECT_THAT(fault(header(3, 0, 1).text("k").number<uint32_t>(8).number<uint64_t>(UINT64_MAX)),
              HasSubstr("metadata 'k': expected 18446744073709551615 bytes"));
  EXPECT_THAT(fault(header(3, 0, 1).text("k").number<uint32_t>(10).number<uint64_t>(UINT64_MAX)),
              HasSubstr("63 bits"));
  const auto array = [&](uint32_t type, uint64_t count) {
    return fault(
        header(3, 0, 1).text("k").number<uint32_t>(9).number(type).number(count).number<uint64_t>(
            0));
  };
  EXPECT_THAT(array(9, 1), HasSubstr("arrays inside arrays"));
  EXPECT_THAT(array(99, 1), HasSubstr("found 99"));
  EXPECT_THAT(array(8, 1ull << 60), HasSubstr("found room for 1"));
  EXPECT_THAT(array(0, 1ull << 60), HasSubstr("found room for 8"));
  EXPECT_THAT(array(12, (1ull << 61) + 1), HasSubstr("found room for 1"));
  EXPECT_THAT(fault(header(3, 0, 2)
                        .text("k")
                        .number<uint32_t>(7)
                        .number<uint8_t>(1)
                        .text("k")
                        .number<uint32_t>(7)
                        .number<uint8_t>(1)),
              HasSubstr("metadata 'k' occurs twice"));
  for (const uint32_t alignment : {0u, 3u, 4u, 48u, 0x80000000u})
    EXPECT_THAT(
        fault(header(3, 0, 1).text("general.alignment").number<uint32_t>(4).number(alignment)),
        HasSubstr("expected a power of two"));
  EXPECT_THAT(fault(header(3, 0, 1).text("general.alignment").number<uint32_t>(8).text("32")),
              HasSubstr("expected an integer"));
  EXPECT_THAT(fault(header(3, 0, 1).text("\xff\n").number<uint32_t>(99).number<uint64_t>(0)),
              HasSubstr(R"('\xff\x0a')"));
}

Bytes& tensor(Bytes& b, std::string_view name, std::vector<uint64_t> dims, uint32_t type,
              uint64_t offset) {
  b.text(name).number(static_cast<uint32_t>(dims.size()));
  for (const auto dim : dims) b.number(dim);
  return b.number(type).number(offset);
}

TEST(Gguf, LyingTensors) {
  const Folder folder;
  const auto fault = [&](std::vector<uint64_t> dims, uint32_t type, uint64_t offset) {
    Bytes b = header(3, 1, 0);
    tensor(b, "t", dims, type, offset).pad(32).raw(std::string(64, 'x'));
    return error_of(folder.put("t.gguf", b.data));
  };
  EXPECT_EQ(fault({16}, 0, 0), "no error");
  EXPECT_EQ(fault({8}, 0, 32), "no error");
  EXPECT_THAT(fault({17}, 0, 0), HasSubstr("expected 68 bytes at 0 of the data, which has 64"));
  EXPECT_THAT(fault({8}, 0, 64), HasSubstr("which has 64"));
  EXPECT_THAT(fault({8}, 0, UINT64_MAX - 31), HasSubstr("which has 64"));
  EXPECT_THAT(fault({8}, 0, 8), HasSubstr("a multiple of 32, found 8"));
  EXPECT_THAT(fault({1, 1, 1, 1, 1}, 0, 0), HasSubstr("at most 4 dimensions, found 5"));
  EXPECT_THAT(fault({1ull << 32, 1ull << 32}, 0, 0), HasSubstr("fits 63 bits"));
  EXPECT_THAT(fault({1ull << 63}, 0, 0), HasSubstr("below 2^63"));
  EXPECT_THAT(fault({INT64_MAX}, 0, 0), HasSubstr("fits 64 bits"));
  EXPECT_THAT(fault({0, 1ull << 62, 1ull << 62}, 0, 0), HasSubstr("fits 63 bits"));
  EXPECT_EQ(fault({1ull << 62, 0}, 0, 0), "no error");
  EXPECT_THAT(fault({33}, 8, 0), HasSubstr("rows of a multiple of 32 values for Q8_0, found 33"));
  EXPECT_THAT(fault({16, 2}, 8, 0), HasSubstr("found 16"));
  EXPECT_THAT(fault({256}, 19, 0), HasSubstr("tensor 't' has type IQ1_S, which is not supported"));
  EXPECT_THAT(fault({256}, 100, 0), HasSubstr("has type number 100"));
  EXPECT_THAT(fault({256}, UINT32_MAX, 0), HasSubstr("has type number 4294967295"));

  Bytes overlap = header(3, 2, 0);
  tensor(overlap, "a", {16}, 0, 0);
  tensor(overlap, "b", {8}, 0, 32).pad(32).raw(std::string(64, 'x'));
  EXPECT_THAT(error_of(folder.put("t.gguf", overlap.data)),
              HasSubstr("tensor 'b' overlaps tensor 'a'"));
  Bytes twice = header(3, 2, 0);
  tensor(twice, "a", {8}, 0, 0);
  tensor(twice, "a", {8}, 0, 32).pad(32).raw(std::string(64, 'x'));
  EXPECT_THAT(error_of(folder.put("t.gguf", twice.data)), HasSubstr("tensor 'a' occurs twice"));
  Bytes unsorted = header(3, 2, 0);
  tensor(unsorted, "a", {8}, 0, 32);
  tensor(unsorted, "b", {8}, 0, 0).pad(32).raw(std::string(64, 'x'));
  EXPECT_EQ(error_of(folder.put("t.gguf", unsorted.data)), "no error");
}

TEST(Gguf, AlignmentKeyMovesTheData) {
  const Folder folder;
  Bytes b = header(3, 1, 1);
  b.text("general.alignment").number<uint32_t>(4).number<uint32_t>(4096);
  tensor(b, "t", {1}, 0, 0).pad(4096).number(2.5f);
  const auto file = GgufFile::open(folder.put("t.gguf", b.data));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(*reinterpret_cast<const float*>((*file)->find("t")->data), 2.5f);
}

class Split : public ::testing::Test {
 protected:
  // split.count, split.no, split.tensors.count and one tensor.
  void part(const std::string& name, uint16_t no, uint16_t count, const std::string& tensor_name,
            int32_t total = 2) {
    Bytes b = header(3, 1, 3);
    b.text("split.no").number<uint32_t>(2).number(no);
    b.text("split.count").number<uint32_t>(2).number(count);
    b.text("split.tensors.count").number<uint32_t>(5).number(total);
    tensor(b, tensor_name, {1}, 0, 0).pad(32).number(static_cast<float>(no));
    folder_.put(name, b.data);
  }
  const std::string first_ = "m-00001-of-00002.gguf", second_ = "m-00002-of-00002.gguf";
  Folder folder_;
};

TEST_F(Split, OpensFromAnyFile) {
  part(first_, 0, 2, "a");
  part(second_, 1, 2, "b");
  for (const auto& name : {first_, second_}) {
    const auto file = GgufFile::open(folder_ / name);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_THAT((*file)->names(), ElementsAre("a", "b"));
    EXPECT_EQ(*reinterpret_cast<const float*>((*file)->find("b")->data), 1.0f);
    EXPECT_EQ((*file)->integer("split.no"), 0);
  }
}

TEST_F(Split, Faults) {
  part(first_, 0, 2, "a");
  EXPECT_THAT(error_of(folder_ / first_), HasSubstr("00002-of-00002.gguf: cannot open"));
  part(second_, 1, 2, "a");
  EXPECT_THAT(error_of(folder_ / first_), HasSubstr("tensor 'a' occurs twice"));
  part(second_, 0, 2, "b");
  EXPECT_THAT(error_of(folder_ / first_),
              HasSubstr("expected file 2 of 2 of a split set, found 1 of 2"));
  part(second_, 1, 3, "b");
  EXPECT_THAT(error_of(folder_ / first_), HasSubstr("found 2 of 3"));
  part(second_, 1, 2, "b", 5);
  part(first_, 0, 2, "a", 5);
  EXPECT_THAT(error_of(folder_ / first_), HasSubstr("has 2 tensors, expected 5"));
  part("other.gguf", 0, 2, "a");
  EXPECT_THAT(error_of(folder_ / "other.gguf"),
              HasSubstr("expected a name that ends in '-00001-of-00002.gguf'"));
}

TEST(Gguf, LargeVocabulariesReadFast) {
  const Folder folder;
  std::vector<std::string> tokens;
  for (int i = 0; i < 248320; ++i) tokens.push_back("token number " + std::to_string(i));
  GgufWriter writer;
  writer.metadata = {{"tokens", GgufArray{tokens}}};
  ASSERT_TRUE(writer.write(folder / "v.gguf"));
  const auto start = std::chrono::steady_clock::now();
  const auto file = GgufFile::open(folder / "v.gguf");
  const double ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  ASSERT_TRUE(file);
  EXPECT_EQ(*(*file)->strings("tokens"), tokens);
  RecordProperty("milliseconds", std::to_string(ms));
  EXPECT_LT(ms, 1000);  // about 15 ms; wide, for sanitizers and busy machines
}

// blocks.gguf has every type that exists; those of dtype.h decode to the expected numbers exactly.
TEST(GgufGolden, Blocks) {
  const std::string folder = GODWIT_SOURCE_DIR "/tests/goldens/gguf/";
  EXPECT_THAT(error_of(folder + "blocks.gguf"), HasSubstr("IQ1_S"));
  const auto file = GgufFile::open(folder + "blocks.gguf", UnknownTypes::kLeaveOut);
  ASSERT_TRUE(file) << file.error().message;
  const auto expected = open_safetensors(folder + "blocks.expected.safetensors");
  ASSERT_TRUE(expected) << expected.error().message;
  EXPECT_EQ((*expected)->names().size(), 34u);
  const auto names = (*file)->names();
  EXPECT_EQ(names.size(), 22u);
  for (const auto& name : names) {
    const auto view = *(*file)->find(name);
    const auto truth = *(*expected)->find(name);
    ASSERT_EQ(view.shape, truth.shape);
    std::vector<float> row(view.columns());
    const auto* values = reinterpret_cast<const float*>(truth.data);
    for (int64_t r = 0; r < view.rows(); ++r) {
      tensor::dequantize_row(view.dtype, view.data + r * (view.bytes() / view.rows()), row.data(),
                             view.columns());
      for (int64_t c = 0; c < view.columns(); ++c)
        ASSERT_EQ(row[c], values[r * view.columns() + c]) << name;
    }
  }
}

}  // namespace
}  // namespace godwit::checkpoint
