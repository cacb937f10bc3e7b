// Packed weights that are kept: the same bits from the file as from packing, and never from a wrong
// or damaged one.
#include "model/packed_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/model/memory_files.h"
#include "tests/temporary_folder.h"

namespace godwit::model {
namespace {

namespace fs = std::filesystem;

class PackedFileTest : public testing::Test {
 protected:
  void SetUp() override {
    options_.packed_folder = folder_ / "kept";
    options_.packed_least = 0;
    model_ = folder_ / "model.gguf";
    fs::copy_file(golden_root() / "gguf" / "qwen35-moe.bf16.gguf", model_);
  }

  struct Loaded {
    WeightPlan plan;
    std::vector<float> logits;
  };
  Loaded load(const LoadOptions& options) {
    const auto files = checkpoint::open_model_files(model_);
    EXPECT_TRUE(files) << files.error().message;
    ComputePool pool(2);
    const auto model = Model::load(*files, {&pool, &kernels::kernel_table(Isa::kScalar)}, options);
    EXPECT_TRUE(model) << model.error().message;
    MemorySource input;
    input.add("input_ids", tensor::DType::kI64, {5}, std::vector<int64_t>{5, 17, 200, 3, 44});
    const auto dump = dump_tensors(**model, input, {});
    EXPECT_TRUE(dump) << dump.error().message;
    while ((*model)->settle_next()) continue;
    const auto settled = dump_tensors(**model, input, {});
    EXPECT_EQ(settled->tensors.at("logits").values, dump->tensors.at("logits").values);
    return {(*model)->weights(), dump->tensors.at("logits").values};
  }
  Loaded load() { return load(options_); }

  fs::path only_file() const {
    std::vector<fs::path> found;
    for (const auto& item : fs::directory_iterator(options_.packed_folder))
      found.push_back(item.path());
    EXPECT_EQ(found.size(), 1u);
    return found.empty() ? fs::path() : found[0];
  }
  static std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void write(const fs::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }

  LoadOptions options_;
  const TemporaryFolder folder_;
  fs::path model_;
};

TEST_F(PackedFileTest, TheSecondStartReadsWhatTheFirstPacked) {
  LoadOptions none = options_;
  none.packed_folder.clear();
  const Loaded plain = load(none), first = load(), second = load();
  EXPECT_FALSE(plain.plan.was_kept);
  EXPECT_FALSE(first.plan.was_kept);
  EXPECT_TRUE(second.plan.was_kept);
  EXPECT_EQ(first.logits, plain.logits);
  EXPECT_EQ(second.logits, plain.logits);
  EXPECT_EQ(second.plan.note, plain.plan.note);
}

TEST_F(PackedFileTest, APartOfTheModelIsFoundInTheWhole) {
  load();
  LoadOptions part = options_;
  part.drafting = false;
  EXPECT_TRUE(load(part).plan.was_kept);
}

TEST_F(PackedFileTest, DamageIsFoundAndRepaired) {
  const Loaded good = load();
  const fs::path path = only_file();
  const std::string whole = read(path);
  std::vector<std::string> bad = {"",
                                  whole.substr(0, 1),
                                  whole.substr(0, 5000),
                                  whole.substr(0, whole.size() - 1),
                                  whole + "x",
                                  std::string(whole.size(), '\0')};
  for (const size_t at : {size_t{3}, size_t{20}, size_t{4096}, whole.size() / 2, whole.size() - 200,
                          whole.size() - 45, whole.size() - 5}) {
    bad.push_back(whole);
    bad.back()[at] ^= 1;
  }
  for (const std::string& bytes : bad) {
    write(path, bytes);
    const Loaded again = load();
    // A byte between two weights may be anything.
    EXPECT_EQ(again.logits, good.logits);
    EXPECT_FALSE(again.plan.was_kept && bytes.size() != whole.size());
    EXPECT_TRUE(load().plan.was_kept);
  }
}

TEST_F(PackedFileTest, AnotherCheckpointIsAnotherFile) {
  const Loaded first = load();
  std::string bytes = read(model_);
  bytes[bytes.size() - 300] ^= 0x55;
  write(model_, bytes);
  EXPECT_FALSE(load().plan.was_kept);
  EXPECT_TRUE(load().plan.was_kept);
}

TEST_F(PackedFileTest, ExpertsMayStayOnDisk) {
  LoadOptions none = options_;
  none.packed_folder.clear();
  const Loaded plain = load(none);
  options_.experts = LoadOptions::Experts::kOnDisk;
  for (const bool was_kept : {false, true}) {
    const Loaded mapped = load();
    EXPECT_EQ(mapped.plan.was_kept, was_kept);
    EXPECT_TRUE(mapped.plan.experts_on_disk);
    EXPECT_EQ(mapped.logits, plain.logits);
  }
  // Without a file there is no disk to leave them on.
  none.experts = LoadOptions::Experts::kOnDisk;
  const Loaded in_memory = load(none);
  EXPECT_FALSE(in_memory.plan.experts_on_disk);
  EXPECT_EQ(in_memory.logits, plain.logits);
}

TEST_F(PackedFileTest, AFolderThatCannotBeMadeIsANote) {
  write(folder_ / "file", "");
  options_.packed_folder = folder_ / "file/kept";
  const Loaded loaded = load();
  EXPECT_FALSE(loaded.plan.was_kept);
  EXPECT_THAT(loaded.plan.note, testing::HasSubstr("packed weights are not kept"));
}

TEST_F(PackedFileTest, TheLongestUnusedMakesRoom) {
  const fs::path kept = options_.packed_folder;
  fs::create_directories(kept);
  const auto now = fs::file_time_type::clock::now();
  for (int i = 0; i < 3; ++i) {
    const fs::path path = kept / (std::to_string(i) + ".packed");
    write(path, std::string(1000, 'x'));
    fs::last_write_time(path, now - std::chrono::hours(i));
  }
  write(kept / "a.packed.77", "left by a killed process");
  fs::last_write_time(kept / "a.packed.77", now - std::chrono::hours(30));
  EXPECT_TRUE(make_packed_room(kept, 1500, 4000));
  EXPECT_TRUE(fs::exists(kept / "0.packed"));
  EXPECT_TRUE(fs::exists(kept / "1.packed"));
  EXPECT_FALSE(fs::exists(kept / "2.packed"));
  EXPECT_FALSE(fs::exists(kept / "a.packed.77"));
  EXPECT_FALSE(make_packed_room(kept, 5000, 4000));
  EXPECT_TRUE(fs::exists(kept / "0.packed"));
}

}  // namespace
}  // namespace godwit::model
