// JSON: what is read is written and read again as the same value, in both spellings.
#include "checkpoint/json.h"

#include "base/check.h"

using godwit::checkpoint::parse_json;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto json = parse_json({reinterpret_cast<const char*>(data), size});
  if (!json) {
    CHECK(!json.error().message.empty());
    return 0;
  }
  const auto again = parse_json(json->dump());
  CHECK(again && *again == *json);
  CHECK(again->dump() == json->dump());
  const std::string python = json->dump_python();
  if (const auto from_python = parse_json(python))
    CHECK(*from_python == *json);  // Infinity is no JSON
  return 0;
}
