// What `run` and `chat` share: opening the engine, turning flags into a request, showing an answer
// as it comes.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/commands.h"
#include "engine/engine.h"

namespace godwit::cli {

// The folder of the demonstration model: GODWIT_DEMO_MODEL, else models/nano beside the program,
// above it, or where it was built.
Result<std::string> demonstration_model();

// $XDG_CACHE_HOME/godwit or ~/.cache/godwit; empty if there is no home.
std::string cache_folder();
// Where packed weights are kept; empty: nowhere.
std::string packed_folder(const ModelOptions& options);

// Where what was computed is kept, so that a document, a picture or the same system message is read
// once over all starts; made if need be, for its owner's eyes. Empty: there is no such place, and
// the work goes on without.
std::string conversations_folder();

engine::EngineOptions engine_options(const ModelOptions& options, const std::string& model);
// Prints the memory plan (on a terminal, or when verbose), then loads.
Result<std::unique_ptr<engine::Engine>> open_engine(const ModelOptions& options);

// "on", "off" or "auto"; the error names `what`.
Result<engine::Thinking> parse_think(std::string_view what, const std::string& word);
// Everything of a request but its messages. Reads the tools file.
Result<engine::GenerationRequest> request_from(const AnswerOptions& options);
// Pictures and clips (files or folders of frames), then the text. `fps`: as load_video_path has it.
Result<text::ChatMessage> user_message(const std::string& text,
                                       const std::vector<std::string>& images,
                                       const std::vector<std::string>& videos,
                                       std::optional<double> fps = {});

struct Answer {
  text::ChatMessage message;  // what the assistant said, to go on with
  engine::Event done;         // kDone
};
enum class ThinkingDisplay { kHidden, kDimmed };
// Shows the answer on standard output while it comes; Ctrl-C stops the generation (finish is then
// kCancelled).
Result<Answer> show_answer(engine::Engine& engine, engine::GenerationRequest request,
                           ThinkingDisplay thinking);

// "the answer was cut at 64 tokens", and whether the context is full; empty if it was not.
std::string cut_note(const engine::Engine& engine, const engine::Event& done);

// "312 tokens of prompt (250 reused) at 410 tok/s, 87 of answer at 23 tok/s"
std::string summary(const engine::Event& done);

}  // namespace godwit::cli
