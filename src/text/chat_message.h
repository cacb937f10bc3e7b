// A conversation as the engine's door takes it: roles, content parts, reasoning, tool calls.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/json.h"

namespace godwit::text {

using checkpoint::Json;

// Bytes of a picture or clip, shared so that a request can be copied. For a clip: either an encoded
// video file, or decoded-to-be frames (picture files) with a rate.
struct MediaBytes {
  std::string name;                          // for messages: file name or "image 2"
  std::shared_ptr<const std::string> bytes;  // encoded picture or video file
  // A clip as picture files, in order; `bytes` is then null.
  std::vector<std::shared_ptr<const std::string>> frames;
  double frames_per_second = 0;          // of `frames`, or to be taken of a video; 0: not said
  std::vector<std::string> frame_names;  // for messages; none: they are numbered
};

struct ContentPart {
  // kUnknown: nothing that a template takes (`text` says what was found); both renderers refuse it,
  // each in its words.
  enum class Kind { kText, kImage, kVideo, kUnknown };
  Kind kind = Kind::kText;
  std::string text;  // kText, kUnknown
  std::shared_ptr<const MediaBytes>
      media;  // kImage, kVideo; null when only the prompt's text is wanted
};

struct ToolCall {
  std::string id;  // as the client names it; not part of the prompt
  std::string name;
  Json arguments;  // an object; a string holding an object is accepted by the tolerant renderer
};

struct ChatMessage {
  std::string role;  // system, developer, user, assistant, tool
  bool content_is_parts =
      false;  // the client sent a list; templates treat "" and [] alike but errors differ
  bool content_is_null = false;
  std::vector<ContentPart> content;              // one kText part if the client sent a string
  std::optional<std::string> reasoning_content;  // also from `reasoning` or `thinking`
  std::vector<ToolCall> tool_calls;
  std::string tool_call_id;  // role tool
};

}  // namespace godwit::text
