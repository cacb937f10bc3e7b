// The eight real sizes: their shapes add up to the published totals, and a checkpoint of each
// opens.
#include "tests/support/real_sizes.h"

#include <gtest/gtest.h>

#include "checkpoint/model_folder.h"
#include "tests/checkpoint/files.h"

namespace godwit::checkpoint {
namespace {

class RealSizes : public ::testing::TestWithParam<tests::RealSize> {};

TEST_P(RealSizes, AddUpToThePublishedTotals) {
  const auto& size = GetParam();
  int64_t text = 0, mtp = 0, vision = 0, bytes = 0;
  for (const auto& t : size.tensors) {
    int64_t& part = t.name.starts_with("mtp.")            ? mtp
                    : t.name.starts_with("model.visual.") ? vision
                                                          : text;
    part += t.shape.elements();
    bytes += static_cast<int64_t>(*tensor::bytes_of(t.dtype, t.shape.elements()));
  }
  EXPECT_EQ(text, size.text_parameters);
  EXPECT_EQ(mtp, size.mtp_parameters);
  EXPECT_EQ(vision, size.vision_parameters);
  EXPECT_EQ(static_cast<int64_t>(size.tensors.size()), size.tensor_count);
  EXPECT_EQ(bytes, size.total_bytes);
}

TEST_P(RealSizes, HollowCheckpointsOpen) {
  const auto& size = GetParam();
  const Folder folder;
  if (!write_hollow_model(size, folder.string()))
    GTEST_SKIP() << "the file system has no files of this size";
  const auto files = open_model_files(folder.string());
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_EQ(static_cast<int64_t>(files->tensors->names().size()), size.tensor_count);
  for (const auto& t : size.tensors) {
    const auto view = files->tensors->find(t.name);
    ASSERT_TRUE(view) << t.name;
    EXPECT_EQ(view->shape, t.shape);
    EXPECT_EQ(view->dtype, t.dtype);
  }
  const auto last = *files->tensors->find(size.tensors.back().name);
  EXPECT_EQ(last.data[last.bytes() - 1], std::byte{0});  // the end of the file is really there
}

INSTANTIATE_TEST_SUITE_P(All, RealSizes, ::testing::ValuesIn(tests::real_sizes()),
                         [](const auto& entry) {
                           std::string name = entry.param.name;
                           for (char& c : name)
                             if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
                           return name;
                         });

}  // namespace
}  // namespace godwit::checkpoint
