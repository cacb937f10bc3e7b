// Every recorded tensor of the reference, within the tolerance that its file states (10 times the
// reference's own noise), from folders and from GGUF files, under every instruction set of this
// machine; one and two threads agree to the bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/compute_pool.h"
#include "base/mapped_file.h"
#include "checkpoint/json.h"
#include "model/tensor_dump.h"
#include "tests/model/golden_files.h"

namespace godwit::model {
namespace {

using checkpoint::Json;

struct GoldenModel {
  std::string family, path;
  Isa isa;
};

std::vector<GoldenModel> all_models() {
  std::vector<GoldenModel> models;
  for (const char* family :
       {"qwen35-tiny", "qwen35-real-heads", "qwen35-untied-72", "qwen35-moe", "qwen35-yarn"}) {
    for (const std::string& path : golden_models(family)) {
      for (Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvxVnni, Isa::kAvx512, Isa::kAvx512Vnni,
                      Isa::kNeon, Isa::kNeonDot}) {
        models.push_back({family, path, isa});
      }
    }
  }
  return models;
}

void PrintTo(const GoldenModel& model, std::ostream* out) {
  *out << model.path << " with " << isa_name(model.isa);
}

std::string test_name(const testing::TestParamInfo<GoldenModel>& info) {
  const GoldenModel& model = info.param;
  const bool gguf = model.path.ends_with(".gguf");
  std::string name =
      model.family +
      (gguf ? model.path.ends_with(".bf16.gguf") ? "_gguf_bf16" : "_gguf_f32" : "_folder") + "_" +
      std::string(isa_name(model.isa));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

class Golden : public testing::TestWithParam<GoldenModel> {};

Result<TensorDump> run_case(const GoldenModel& golden, const checkpoint::TensorSource& input,
                            int threads, int64_t generate) {
  ComputePool pool(threads);
  TRY(const auto files, checkpoint::open_model_files(golden.path));
  TRY(const auto model, Model::load(files, {&pool, &kernels::kernel_table(golden.isa)}));
  return dump_tensors(*model, input, {.generate = generate, .page_tokens = 32});
}

std::vector<int64_t> ids_of(const checkpoint::TensorSource& source, const char* name) {
  const auto view = source.find(name);
  if (!view) return {};
  std::vector<int64_t> ids(view->shape.elements());
  std::memcpy(ids.data(), view->data, view->bytes());
  return ids;
}

// The largest difference as a share of the tolerance.
double compare(const std::string& name, const tensor::TensorView& expected, const TensorDump& dump,
               const Json& case_json) {
  const auto found = dump.tensors.find(name);
  if (found == dump.tensors.end()) {
    ADD_FAILURE() << name << " was not observed";
    return 0;
  }
  const Json* limits = case_json.find("tensors")->find(name);
  if (!limits) {
    ADD_FAILURE() << name << " has no tolerance";
    return 0;
  }
  const double tolerance = limits->find("tol")->as_double();
  const DumpedTensor& actual = found->second;
  EXPECT_EQ(tensor::Shape(std::span(actual.shape)), expected.shape) << name;
  double largest = 0;
  size_t place = 0;
  for (size_t i = 0; i < actual.values.size() && i < static_cast<size_t>(expected.shape.elements());
       ++i) {
    float value;
    std::memcpy(&value, expected.data + i * sizeof value, sizeof value);
    const double difference = std::abs(double(value) - actual.values[i]);
    if (difference <= largest) continue;
    largest = difference, place = i;
    if (std::isnan(difference)) break;  // what follows would hide it
  }
  EXPECT_LE(largest, tolerance) << name << " differs most at " << place << " of "
                                << expected.shape.to_string();
  return largest / tolerance;
}

void expect_same_bits(const TensorDump& a, const TensorDump& b) {
  EXPECT_EQ(a.greedy_ids, b.greedy_ids);
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    const auto& other = b.tensors.at(name);
    ASSERT_EQ(tensor.values.size(), other.values.size()) << name;
    EXPECT_EQ(std::memcmp(tensor.values.data(), other.values.data(),
                          tensor.values.size() * sizeof(float)),
              0)
        << name;
  }
}

TEST_P(Golden, TensorsAndIds) {
  const GoldenModel& golden = GetParam();
  if (!cpu_has(golden.isa)) GTEST_SKIP() << "this machine has no " << isa_name(golden.isa);
  const auto text = read_file((golden_family(golden.family) / "case.json").string());
  ASSERT_TRUE(text) << text.error().message;
  const auto json = checkpoint::parse_json(*text);
  ASSERT_TRUE(json) << json.error().message;
  double worst = 0;
  std::string worst_name;
  const bool has_vision =
      !golden.path.ends_with(".gguf") || checkpoint::open_model_files(golden.path)->mmproj;
  for (const std::string& name : golden_cases(golden.family)) {
    SCOPED_TRACE(name);
    const auto input = checkpoint::open_safetensors(
        (golden_family(golden.family) / (name + ".input.safetensors")).string());
    const auto expected = checkpoint::open_safetensors(
        (golden_family(golden.family) / (name + ".expected.safetensors")).string());
    ASSERT_TRUE(input) << input.error().message;
    ASSERT_TRUE(expected) << expected.error().message;
    if (!has_vision && ((*input)->find("pixel_values") || (*input)->find("pixel_values_videos")))
      continue;
    const std::vector<int64_t> greedy_ids = ids_of(**expected, "greedy_ids");
    ASSERT_FALSE(greedy_ids.empty());
    const auto dump = run_case(golden, **input, 1, greedy_ids.size());
    ASSERT_TRUE(dump) << dump.error().message;
    const Json& case_json = *json->find("cases")->find(name);
    for (const std::string& tensor : (*expected)->names()) {
      const auto view = *(*expected)->find(tensor);
      if (view.dtype != tensor::DType::kF32) continue;
      const double share = compare(tensor, view, *dump, case_json);
      if (share > worst) worst = share, worst_name = name + " " + tensor;
    }
    EXPECT_EQ(dump->greedy_ids, greedy_ids);
    EXPECT_EQ(dump->draft_ids, ids_of(**expected, "mtp.draft_ids"));

    const auto two_threads = run_case(golden, **input, 2, greedy_ids.size());
    ASSERT_TRUE(two_threads);
    expect_same_bits(*dump, *two_threads);
  }
  EXPECT_GT(worst, 0);
  RecordProperty("worst_share_of_tolerance", std::to_string(worst));
  std::printf("largest difference: %.2f of the tolerance, %s\n", worst, worst_name.c_str());
}

INSTANTIATE_TEST_SUITE_P(Models, Golden, testing::ValuesIn(all_models()), test_name);

}  // namespace
}  // namespace godwit::model
