// godwit run: one answer. Standard output holds the answer only.
#include <iostream>
#include <vector>

#include "base/utf8.h"
#include "cli/line_reader.h"
#include "cli/session.h"
#include "cli/terminal.h"

namespace godwit::cli {
namespace {

Result<std::string> prompt_text(const RunOptions& options) {
  if (options.prompt && *options.prompt != "-") return *options.prompt;
  if (!options.prompt && stdin_is_terminal()) {
    if (!options.images.empty() || !options.videos.empty()) return std::string();
    return bad_input("no prompt: give it as an argument, or through a pipe");
  }
  std::string text;
  std::vector<char> buffer(size_t{1} << 16);
  while (std::cin.read(buffer.data(), static_cast<std::streamsize>(buffer.size())),
         std::cin.gcount() > 0) {
    text.append(buffer.data(), static_cast<size_t>(std::cin.gcount()));
    if (text.size() > kMostInput)
      return bad_input("standard input: expected at most {} bytes, found more", kMostInput);
  }
  if (!is_utf8(text)) return bad_input("standard input: expected UTF-8 text, found other bytes");
  return text;
}

Result<int> run(const RunOptions& options) {
  TRY(auto request, request_from(options.answer));
  TRY(const auto text, prompt_text(options));
  if (options.raw) {
    request.raw_text = text;
    request.parse_output = false;
  } else {
    TRY(auto message, user_message(text, options.images, options.videos, options.fps));
    if (message.content.empty()) return bad_input("the prompt is empty");
    request.messages.push_back(std::move(message));
  }
  ModelOptions model = options.model;
  model.no_prefix_cache = true;  // one answer: nothing will be asked again
  TRY(const auto engine, open_engine(model));
  TRY(const auto answer, show_answer(*engine, std::move(request),
                                     options.answer.show_thinking ? ThinkingDisplay::kDimmed
                                                                  : ThinkingDisplay::kHidden));
  if (options.model.verbose || engine->info().memory.on_disk > 0)
    print_err("godwit: {}, seed {}\n", summary(answer.done), answer.done.seed);
  if (const std::string note = cut_note(*engine, answer.done); !note.empty())
    print_err("godwit: {}\n", note);
  return answer.done.finish == engine::FinishReason::kCancelled ? kInterrupted : kDone;
}

}  // namespace

int run_command(const RunOptions& options) {
  const auto code = run(options);
  return code ? *code : report(code.error());
}

}  // namespace godwit::cli
