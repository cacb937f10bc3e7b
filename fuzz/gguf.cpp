// GGUF: any bytes are refused in one line, or every tensor lies in memory that can be read.
#include "checkpoint/gguf.h"

#include "base/check.h"
#include "fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const godwit::fuzz::MemoryFile bytes(data, size);
  const auto file =
      godwit::checkpoint::GgufFile::open(bytes.path(), godwit::checkpoint::UnknownTypes::kLeaveOut);
  if (!file) {
    CHECK(file.error().message.find('\n') == std::string::npos);
    return 0;
  }
  unsigned sum = 0;
  for (const auto& name : (*file)->names()) {
    const auto view = (*file)->find(name);
    CHECK(view);
    for (size_t i = 0; i < view->bytes(); ++i) sum += static_cast<unsigned>(view->data[i]);
  }
  CHECK(sum <= 255 * size);
  for (const auto& [key, value] : (*file)->metadata()) (void)(*file)->integer_or(key, 0);
  return 0;
}
