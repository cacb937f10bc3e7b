#include "cli/session.h"

#include <unistd.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "base/mapped_file.h"
#include "cli/terminal.h"
#include "media/load.h"

namespace godwit::cli {
namespace {

using checkpoint::Json;
namespace fs = std::filesystem;

std::string gigabytes(size_t bytes) {
  return bytes < 100'000'000 ? fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6)
                             : fmt::format("{:.2f} GB", static_cast<double>(bytes) / 1e9);
}

void print_plan(const engine::ModelInfo& info) {
  const auto& m = info.memory;
  std::string text = fmt::format(
      "{} of memory for a conversation of {} tokens (weights {}, its cache {}, working space {})",
      gigabytes(m.total()), info.context, gigabytes(m.weights),
      gigabytes(m.kv_pages + m.snapshots + m.recurrent),
      gigabytes(m.workspace + m.tokenizer + m.other));
  if (m.limit > m.total() + m.total() / 10)
    text += fmt::format("; kept prefixes may make it {}", gigabytes(m.limit));
  print_err("godwit: {}: {}\n", info.name, text);
}

// ID=VALUE
Status parse_logit_bias(const std::vector<std::string>& entries, std::map<int32_t, float>& bias) {
  for (const auto& entry : entries) {
    const size_t equals = entry.find('=');
    int32_t id = -1;
    const char* end = entry.data() + (equals == std::string::npos ? 0 : equals);
    const auto parsed = std::from_chars(entry.data(), end, id);
    char* value_end = nullptr;
    const float value =
        equals == std::string::npos ? 0 : std::strtof(entry.c_str() + equals + 1, &value_end);
    if (equals == std::string::npos || parsed.ec != std::errc{} || parsed.ptr != end || id < 0 ||
        value_end == entry.c_str() + equals + 1 || *value_end != '\0' || !std::isfinite(value)) {
      return bad_input("--logit-bias: expected TOKEN-ID=NUMBER; found '{}'", entry);
    }
    bias[id] = value;
  }
  return {};
}

Result<std::vector<Json>> read_tools(const std::string& path) {
  TRY(const std::string text, read_file(path, size_t{16} << 20));
  auto json = checkpoint::parse_json(text);
  if (!json) return in_context(path, json.error());
  if (json->is_object()) json = Json::array({std::move(*json)});
  if (!json->is_array())
    return bad_input("{}: expected a list of tools, found another kind of JSON value", path);
  for (size_t i = 0; i < json->items().size(); ++i) {
    const Json& tool = json->items()[i];
    const Json* inner = tool.find("function");
    const Json* name = (inner ? *inner : tool).find("name");
    if (!name || !name->is_string())
      return bad_input("{}: [{}]: expected an object that describes a function, with its name",
                       path, i);
  }
  return std::move(json->items());
}

std::shared_ptr<text::MediaBytes> media_bytes(media::MediaFile file) {
  auto media = std::make_shared<text::MediaBytes>();
  media->name = std::move(file.name);
  media->bytes = std::move(file.bytes);
  media->frames = std::move(file.frames);
  media->frame_names = std::move(file.frame_names);
  media->frames_per_second = file.frames_per_second;
  return media;
}

// Prints events; collects the message.
class AnswerPrinter {
 public:
  explicit AnswerPrinter(ThinkingDisplay thinking) : thinking_(thinking) {
    message_.role = "assistant";
  }

  // False when standard output is closed.
  bool print(const engine::Event& event) {
    using Kind = engine::Event::Kind;
    switch (event.kind) {
      case Kind::kReasoning:
        reasoning_ += event.text;
        if (thinking_ == ThinkingDisplay::kHidden) return true;
        dimmed_ = true;
        return write_out(std::string(style_.dim) + printable(event.text) +
                         std::string(style_.reset));
      case Kind::kContent: {
        const bool open = leave_thinking();
        content_ += event.text;
        ends_in_newline_ = !event.text.empty() && event.text.back() == '\n';
        return open && write_out(printable(event.text));
      }
      case Kind::kToolCallBegin:
        call_ = {.id = "", .name = event.text, .arguments = {}};
        arguments_.clear();
        return leave_thinking();
      case Kind::kToolArguments:
        arguments_ += event.text;
        return true;
      case Kind::kToolCallEnd:
        return print_call();
      default:
        return true;
    }
  }

  bool finish() {
    if (std::exchange(dimmed_, false)) return write_out("\n");  // it ended in the thought
    const bool nothing = content_.empty() && message_.tool_calls.empty();
    return ends_in_newline_ || nothing ? true : write_out("\n");
  }

  text::ChatMessage message() {
    if (!content_.empty())
      message_.content.push_back(
          {.kind = text::ContentPart::Kind::kText, .text = content_, .media = nullptr});
    if (!reasoning_.empty()) message_.reasoning_content = reasoning_;
    return std::move(message_);
  }

 private:
  bool leave_thinking() {
    if (!std::exchange(dimmed_, false)) return true;
    return write_out("\n\n");
  }
  bool print_call() {
    auto arguments = checkpoint::parse_json(arguments_);
    call_.arguments = arguments ? std::move(*arguments) : Json::object();
    const Json shown =
        Json::object({{"name", Json::string(call_.name)}, {"arguments", call_.arguments}});
    message_.tool_calls.push_back(std::move(call_));
    const bool separate = !content_.empty() && !std::exchange(ends_in_newline_, true);
    ends_in_newline_ = true;
    return write_out((separate ? "\n" : "") + printable(shown.dump_python()) + "\n");
  }

  ThinkingDisplay thinking_;
  Style style_ = stdout_style();
  text::ChatMessage message_;
  std::string content_, reasoning_, arguments_;
  text::ToolCall call_;
  bool dimmed_ = false, ends_in_newline_ = false;
};

}  // namespace

Result<std::string> demonstration_model() {
  if (const char* set = std::getenv("GODWIT_DEMO_MODEL"); set && *set) return std::string(set);
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  for (const fs::path& base : {program / "../models", program / "../share/godwit/models",
                               fs::path(GODWIT_SOURCE_DIR) / "models"}) {
    const fs::path folder = (base / "nano").lexically_normal();
    if (fs::exists(folder / "config.json", ignored)) return folder.string();
  }
  return bad_input(
      "no model given (-m FOLDER or FILE.gguf), and the demonstration model was not found beside "
      "the program");
}

std::string cache_folder() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
  if (const std::string folder = variable("XDG_CACHE_HOME"); folder.starts_with('/'))
    return folder + "/godwit";
  const std::string home = variable("HOME");
  return home.empty() ? std::string() : home + "/.cache/godwit";
}

std::string packed_folder(const ModelOptions& options) {
  const std::string folder = cache_folder();
  return options.packed_cache_gb == 0 || folder.empty() ? std::string() : folder + "/packed";
}

std::string conversations_folder() {
  const std::string caches = cache_folder(), folder = caches + "/conversations";
  std::error_code error;
  if (caches.empty()) return {};
  fs::create_directories(folder, error);
  if (!error) fs::permissions(folder, fs::perms::owner_all, error);
  if (error) print_err("godwit: {}: {}: nothing is kept on disk\n", folder, error.message());
  return error ? std::string() : folder;
}

engine::EngineOptions engine_options(const ModelOptions& options, const std::string& model) {
  engine::EngineOptions engine;
  engine.model = model;
  engine.mmproj = options.mmproj;
  engine.threads = options.threads;
  engine.threads_decode = options.threads_decode;
  engine.threads_vision = options.threads_vision;
  engine.machine_folder = cache_folder();
  engine.context = options.context;
  engine.kv_type = options.kv_type;
  engine.history = options.history;
  engine.prefix_cache = !options.no_prefix_cache;
  engine.max_sequences = 1;
  engine.draft_tokens = options.draft;
  engine.cache_folder = options.conversations;
  engine.cache_disk_bytes = static_cast<size_t>(options.cache_disk_gb) << 30;
  engine.packed_folder = packed_folder(options);
  engine.packed_disk_bytes = static_cast<size_t>(options.packed_cache_gb) << 30;
  return engine;
}

Result<std::unique_ptr<engine::Engine>> open_engine(const ModelOptions& options) {
  std::string model = options.model;
  if (model.empty()) {
    TRY(model, demonstration_model());
  }
  const auto engine = engine_options(options, model);
  if (options.verbose || stderr_is_terminal()) {
    TRY(const auto plan, engine::Engine::plan(engine));
    if (options.verbose || plan.memory.total() > size_t{1} << 30) print_plan(plan);
  }
  return engine::Engine::open(engine);
}

Result<engine::Thinking> parse_think(std::string_view what, const std::string& word) {
  if (word == "auto") return engine::Thinking::kAuto;
  if (word == "on") return engine::Thinking::kOn;
  if (word == "off") return engine::Thinking::kOff;
  return bad_input("{}: expected on, off or auto; found '{}'", what, word);
}

Result<engine::GenerationRequest> request_from(const AnswerOptions& options) {
  engine::GenerationRequest request;
  request.sampling = options.sampling;
  TRY_STATUS(parse_logit_bias(options.logit_bias, request.sampling.logit_bias));
  TRY(request.thinking, parse_think("--think", options.think));
  if (options.think_budget >= 0) request.thinking_budget = options.think_budget;
  request.max_tokens = options.max_tokens;
  request.stop = options.stop;
  if (!options.schema_file.empty())
    return bad_input("--schema: answers constrained by a schema are not supported yet");
  if (!options.tools_file.empty()) {
    TRY(request.tools, read_tools(options.tools_file));
  }
  if (!options.system.empty()) {
    text::ChatMessage system;
    system.role = "system";
    system.content.push_back(
        {.kind = text::ContentPart::Kind::kText, .text = options.system, .media = nullptr});
    request.messages.push_back(std::move(system));
  }
  return request;
}

Result<text::ChatMessage> user_message(const std::string& text,
                                       const std::vector<std::string>& images,
                                       const std::vector<std::string>& videos,
                                       std::optional<double> fps) {
  text::ChatMessage message;
  message.role = "user";
  for (const auto& path : images) {
    TRY(auto file, media::load_picture_file(path));
    message.content.push_back({.kind = text::ContentPart::Kind::kImage,
                               .text = "",
                               .media = media_bytes(std::move(file))});
  }
  for (const auto& path : videos) {
    TRY(auto file, media::load_video_path(path, fps));
    message.content.push_back({.kind = text::ContentPart::Kind::kVideo,
                               .text = "",
                               .media = media_bytes(std::move(file))});
  }
  message.content_is_parts = !message.content.empty();
  if (!text.empty())
    message.content.push_back(
        {.kind = text::ContentPart::Kind::kText, .text = text, .media = nullptr});
  return message;
}

Result<Answer> show_answer(engine::Engine& engine, engine::GenerationRequest request,
                           ThinkingDisplay thinking) {
  TRY(const auto generation, engine.submit(std::move(request)));
  InterruptScope interrupt([&] { generation->cancel(); });
  ProgressBar progress("reading");
  AnswerPrinter printer(thinking);
  std::optional<Error> closed;  // standard output takes no more
  while (auto event = generation->next()) {
    if (event->kind == engine::Event::Kind::kError) return tl::unexpected<Error>(event->error);
    if (event->kind == engine::Event::Kind::kPromptProgress) {
      if (event->total > 1024) progress.show(event->done, event->total);
      continue;
    }
    progress.wipe();
    if (!closed && !printer.print(*event)) {
      closed = output_error();
      generation->cancel();
    }
    if (event->kind == engine::Event::Kind::kDone) {
      if (!closed && !printer.finish()) closed = output_error();
      if (closed) return tl::unexpected<Error>(*closed);
      return Answer{printer.message(), std::move(*event)};
    }
  }
  return failed("the engine ended without an answer");
}

std::string cut_note(const engine::Engine& engine, const engine::Event& done) {
  if (done.finish != engine::FinishReason::kLength) return {};
  const auto& usage = done.usage;
  const bool is_full = usage.prompt_tokens + usage.completion_tokens >= engine.info().context;
  return fmt::format("the answer was cut at {} tokens{}", usage.completion_tokens,
                     is_full ? ": the context is full" : "");
}

std::string summary(const engine::Event& done) {
  const auto rate = [](int tokens, double seconds) { return seconds > 0 ? tokens / seconds : 0.0; };
  const auto& usage = done.usage;
  std::string text = fmt::format(
      "{} tokens of prompt ({} reused) at {:.0f} tok/s, {} of answer at {:.1f} tok/s, first after "
      "{:.2f} s",
      usage.prompt_tokens, usage.reused_tokens,
      rate(usage.prompt_tokens - usage.reused_tokens, done.timings.prefill),
      usage.completion_tokens, rate(usage.completion_tokens - 1, done.timings.decode),
      done.timings.first_token);
  if (usage.drafted_tokens > 0)
    text += fmt::format(", {} of {} drafts right", usage.accepted_drafts, usage.drafted_tokens);
  if (!usage.reuse_note.empty()) text += "; " + usage.reuse_note;
  return text;
}

}  // namespace godwit::cli
