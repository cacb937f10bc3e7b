// The tokenizer with Qwen3.5's vocabulary: loading, and encoding of English, code, Chinese and of
// texts that are one long run.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <string>

#include "base/check.h"
#include "base/mapped_file.h"
#include "text/tokenizer.h"

namespace godwit::text {
namespace {

const std::string kRoot = GODWIT_SOURCE_DIR;

const std::string& tokenizer_json() {
  static const std::string json = [] {
    const std::string command = "xz -dc '" + kRoot + "/tests/goldens/text/tokenizer.json.xz'";
    std::string out;
    FILE* pipe = popen(command.c_str(), "r");
    CHECK(pipe != nullptr);
    char buffer[1 << 16];
    while (const size_t n = fread(buffer, 1, sizeof buffer, pipe)) out.append(buffer, n);
    CHECK_MSG(pclose(pipe) == 0, "the program xz unpacks the tokenizer");
    return out;
  }();
  return json;
}

void load(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(*Tokenizer::from_json(tokenizer_json()));
}
BENCHMARK(load)->Unit(benchmark::kMillisecond);

std::string repeat(const std::string& unit, size_t size) {
  std::string out;
  while (out.size() < size) out += unit;
  return out;
}

std::string text_named(const std::string& name) {
  constexpr size_t kSize = 1 << 20;
  if (name == "english") return repeat(*read_file(kRoot + "/LICENSE"), kSize);
  if (name == "code") return repeat(*read_file(kRoot + "/src/text/tokenizer_json.cpp"), kSize);
  if (name == "chinese")
    return repeat("北国风光，千里冰封，万里雪飘。望长城内外，惟余莽莽。", kSize);
  if (name == "accents") return repeat("De\u0301ja\u0300 vu, Ti\u1ebfng Vi\u1ec7t. ", kSize);
  return repeat(name, kSize);
}

void encode(benchmark::State& state, const std::string& name) {
  static const auto tokenizer = *Tokenizer::from_json(tokenizer_json());
  const std::string text = text_named(name);
  std::vector<int32_t> ids;
  for (auto _ : state) {
    ids.clear();
    tokenizer->encode(text, SpecialTokens::kRecognise, ids);
    benchmark::DoNotOptimize(ids.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
  state.counters["bytes_per_token"] =
      static_cast<double>(text.size()) / static_cast<double>(ids.size());
}
BENCHMARK_CAPTURE(encode, english, "english")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, code, "code")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, chinese, "chinese")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, accents, "accents")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, run_of_a, "a")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, run_of_spaces, " ")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, run_of_added_tokens, "<|im_end|>")->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace godwit::text

BENCHMARK_MAIN();
