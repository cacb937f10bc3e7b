// safetensors: any bytes are refused in one line, or every tensor lies in memory that can be read.
#include "base/check.h"
#include "checkpoint/tensor_source.h"
#include "fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const godwit::fuzz::MemoryFile file(data, size);
  const auto source = godwit::checkpoint::open_safetensors(file.path());
  if (!source) {
    CHECK(source.error().message.find('\n') == std::string::npos);
    return 0;
  }
  unsigned sum = 0;
  for (const auto& name : (*source)->names()) {
    const auto view = (*source)->find(name);
    CHECK(view);
    for (size_t i = 0; i < view->bytes(); ++i) sum += static_cast<unsigned>(view->data[i]);
  }
  CHECK(sum <= 255 * size);
  return 0;
}
