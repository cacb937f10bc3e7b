// The family's four chat templates as native code, and the prompt they make as pieces.
//
// A prompt is a list of pieces: markup (its special tokens are recognised) and quoted text (what a
// user, a tool or the model wrote: encoded plainly, so that nobody can forge a turn), with places
// for pictures and clips.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/chat_message.h"

namespace godwit::text {

enum class TemplateVersion { kQwen35, kQwen35Small, kQwen36, kQwen38 };

std::string_view template_name(
    TemplateVersion version);  // "qwen3.5", "qwen3.5-small", "qwen3.6", "qwen3.8"
std::optional<TemplateVersion> find_template(std::string_view name);

struct TemplateChoice {
  TemplateVersion version;
  bool exact;  // false: an unknown template took the nearest version; `reason` says so
  std::string reason;
};
// By the SHA-256 of the checkpoint's template, else tokenizer_config's chat_template_version, else
// features of the template's text, else kQwen35.
TemplateChoice choose_template(const std::optional<std::string>& template_text,
                               std::string_view chat_template_version);

struct TemplateOptions {
  bool add_generation_prompt = true;
  bool add_vision_id = false;
  // Unset, null, true, false are four different things to a template; kwargs beyond these are kept
  // as given.
  Json kwargs = Json::object();  // enable_thinking, preserve_thinking, reasoning_effort, …
};

struct PromptPiece {
  enum class Kind { kMarkup, kQuoted, kImage, kVideo };
  Kind kind = Kind::kMarkup;
  std::string text;      // kImage, kVideo: the placeholder triple as the template writes it
  int media_index = -1;  // kImage, kVideo: which media of the conversation, in order of appearance
  // Where a snapshot of the recurrent state is worth keeping: after this piece.
  enum class Boundary { kNone, kSystem, kMessage, kMedia, kGeneration } boundary = Boundary::kNone;
  int message_index = -1;  // the message that this piece belongs to; -1 for the system+tools block
                           // or the generation prompt
};

struct RenderedPrompt {
  std::vector<PromptPiece> pieces;
  bool starts_in_thinking = false;  // the generation prompt ended inside an open <think> block
  std::string text() const;         // all pieces joined
};

// Exactly what the official template renders, errors included (the message is the template's own).
Result<RenderedPrompt> render_strict(TemplateVersion version,
                                     const std::vector<ChatMessage>& messages,
                                     const std::vector<Json>& tools,
                                     const TemplateOptions& options);

// The same for conversations that the official one accepts; beyond it: late or repeated system and
// developer messages are merged into the first, arguments given as a JSON string are parsed, a
// conversation without a user message is accepted, tool results before any user message too.
Result<RenderedPrompt> render_tolerant(TemplateVersion version,
                                       const std::vector<ChatMessage>& messages,
                                       const std::vector<Json>& tools,
                                       const TemplateOptions& options);

// Reads messages in the chat-completions shape (debug render, --tools files, tests). Media are
// counted, their bytes not loaded.
Result<std::vector<ChatMessage>> messages_from_json(const Json& messages);

// Python's str() of a scalar (None, True, 1e-07, the text itself); lists and objects as JSON.
std::string python_str(const Json& value);

}  // namespace godwit::text
