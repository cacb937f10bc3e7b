// Bodies of /v1/chat/completions: whatever they are, a request or a message that names the fault.
#include "base/check.h"
#include "base/visible.h"
#include "server/api.h"

using namespace godwit::server;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static ModelSet models({{"none", {}}});  // never opened
  static Metrics metrics;
  static const Api api{models, metrics, MediaSource(), 0};
  const auto chat = read_chat_request(api, {reinterpret_cast<const char*>(data), size});
  if (!chat) {
    CHECK(!chat.error().message.empty());
    CHECK(godwit::visible(chat.error().message) == chat.error().message);
    return 0;
  }
  CHECK(!chat->request.messages.empty());
  for (const auto& message : chat->request.messages) {
    for (const auto& part : message.content)
      CHECK((part.kind == godwit::text::ContentPart::Kind::kText) == (part.media == nullptr));
  }
  return 0;
}
