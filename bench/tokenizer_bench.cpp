// The tokenizer with Qwen3.5's vocabulary: loading, and encoding of English, code, Chinese and of
// texts that are one long run.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

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

// Median of five runs, in seconds.
template <class Work>
double seconds(Work work) {
  std::vector<double> times;
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    times.push_back(taken.count());
  }
  std::sort(times.begin(), times.end());
  return times[2];
}

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

void print_figures() {
  std::unique_ptr<Tokenizer> tokenizer;
  const double load = seconds([&] { tokenizer = *Tokenizer::from_json(tokenizer_json()); });
  std::printf("%-12s %7.0f ms\n", "load", load * 1e3);
  for (const char* name : {"english", "code", "chinese", "accents", "a", " ", "<|im_end|>"}) {
    const std::string text = text_named(name);
    std::vector<int32_t> ids;
    const double taken = seconds([&] { ids = tokenizer->encode(text); });
    std::printf("%-12s %7.1f MB/s  %5.2f bytes a token\n", name,
                static_cast<double>(text.size()) / taken / 1e6,
                static_cast<double>(text.size()) / static_cast<double>(ids.size()));
  }
}

}  // namespace
}  // namespace godwit::text

int main() { godwit::text::print_figures(); }
