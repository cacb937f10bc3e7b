// The command line: every flag of every command is declared here (CLI11's only user); the work is
// in commands.h.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <iostream>

#include "base/log.h"
#include "base/utf8.h"
#include "base/visible.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "cli/version.h"

namespace godwit::cli {
namespace {

// CLI11's own names the largest double in its message, all 309 digits of it.
const CLI::Validator kNotNegative(
    [](const std::string& text) {
      double value = 0;
      return CLI::detail::lexical_cast(text, value) && value >= 0
                 ? std::string()
                 : "expected 0 or more, found " + text;
    },
    "NONNEGATIVE");

// CLI11 takes −1 and whatever is too large for the largest number.
const CLI::Validator kSeed(
    [](const std::string& text) {
      uint64_t value = 0;
      const char* end = text.data() + text.size();
      const auto read = std::from_chars(text.data(), end, value);
      return read.ec == std::errc{} && read.ptr == end
                 ? std::string()
                 : fmt::format("expected 0 to {}, found {}", UINT64_MAX, text);
    },
    "");

// A variable of the shell that is not set must not choose the demonstration model.
CLI::Validator not_empty(const char* what) {
  return {[what](const std::string& text) {
            return text.empty() ? fmt::format("expected {}, found none", what) : std::string();
          },
          ""};
}
const CLI::Validator kNamed = not_empty("a name"), kSomeText = not_empty("a text");

// Where answers are generated.
void add_draft_flag(CLI::App& app, ModelOptions& o) {
  app.add_option("--draft", o.draft,
                 "tokens that the model's drafting head may propose for a step (the answer stays "
                 "the same); 0: none")
      ->check(CLI::Range(0, engine::kMaxDrafts))
      ->capture_default_str();
}

void add_packed_flag(CLI::App& app, ModelOptions& o) {
  app.add_option("--packed-cache", o.packed_cache_gb,
                 "GB of packed weights kept in ~/.cache/godwit for quick starts; 0: none")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
}

void add_model_flags(CLI::App& app, ModelOptions& o) {
  app.add_option("-m,--model", o.model,
                 "Hugging Face folder or .gguf file; the demonstration model if absent")
      ->check(kNamed);
  app.add_option("--mmproj", o.mmproj, "vision file of a .gguf (found beside it if absent)")
      ->check(kNamed);
  app.add_option("-t,--threads", o.threads, "threads; chosen from the processor if absent")
      ->check(CLI::Range(1, 1024));
  app.add_option("--threads-decode", o.threads_decode, "threads for decoding, if not the same")
      ->check(CLI::Range(1, 1024));
  app.add_option("--threads-vision", o.threads_vision, "threads for pictures, if not the same")
      ->check(CLI::Range(1, 1024));
  app.add_option("-c,--context", o.context, "longest conversation in tokens")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24));
  app.add_option("--kv", o.kv_type, "type of the attention cache: f32, f16, bf16, q8")
      ->check(CLI::IsMember({"f32", "f16", "bf16", "q8"}));
  add_packed_flag(app, o);
  app.add_flag("-v,--verbose", o.verbose, "memory plan and speed on standard error");
}

// Where conversations may be kept on disk; with `folder`, if there is one, the flags say where.
void add_disk_flags(CLI::App& app, ModelOptions& o, bool& none, CLI::Option* folder = nullptr) {
  auto* size =
      app.add_option("--cache-disk", o.cache_disk_gb,
                     "GB of conversations and pictures kept on disk: beyond, the oldest go")
          ->check(CLI::Range(1, 1 << 20))
          ->capture_default_str()
          ->excludes(app.get_option("--no-prefix-cache"));
  auto* off = app.add_flag("--no-disk-cache", none, "keep nothing of conversations on disk");
  off->excludes(size);
  if (folder) off->excludes(folder);
}

// Where more than one turn is answered.
void add_history_flags(CLI::App& app, ModelOptions& o) {
  app.add_option(
         "--history", o.history,
         "kept: earlier turns as they were generated; official: as the template strips them")
      ->check(CLI::IsMember({"kept", "official"}));
  app.add_flag("--no-prefix-cache", o.no_prefix_cache, "compute every prompt from its first token");
}

void add_answer_flags(CLI::App& app, AnswerOptions& o) {
  auto& s = o.sampling;
  app.add_option("--system", o.system, "system message");
  app.add_option("--tools", o.tools_file, "JSON file with a list of functions that may be called")
      ->check(kNamed);
  app.add_option("--schema", o.schema_file,
                 "JSON schema that the answer must satisfy (not supported yet)");
  app.add_option("--think", o.think,
                 "think first: on, off or auto (as the model's template has it)")
      ->check(CLI::IsMember({"on", "off", "auto"}));
  app.add_option("--think-budget", o.think_budget, "close the thought after this many tokens")
      ->check(kNotNegative);
  app.add_option("--max-tokens", o.max_tokens, "length of the answer at most")->check(kNotNegative);
  app.add_option("--stop", o.stop, "end the answer before this text (may be repeated)")
      ->allow_extra_args(false)
      ->check(kSomeText);
  app.add_option("--temperature,--temp", s.temperature, "0: always the likeliest token")
      ->check(CLI::Range(0.0, 100.0));
  app.add_option("--top-k", s.top_k, "choose among this many likeliest tokens; 0: all")
      ->check(kNotNegative);
  app.add_option("--top-p", s.top_p,
                 "choose among the likeliest that together reach this probability")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--min-p", s.min_p,
                 "drop tokens below this share of the likeliest one's probability")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--presence-penalty", s.presence_penalty,
                 "subtracted once from tokens already in the answer")
      ->check(CLI::Range(-100.0, 100.0));
  app.add_option("--frequency-penalty", s.frequency_penalty,
                 "subtracted for each time a token is in the answer")
      ->check(CLI::Range(-100.0, 100.0));
  app.add_option("--repetition-penalty", s.repetition_penalty,
                 "divides the logits of tokens already seen")
      ->check(CLI::Range(0.01, 100.0));
  app.add_option("--logit-bias", o.logit_bias,
                 "TOKEN-ID=NUMBER, added to that token's logit (may be repeated)")
      ->allow_extra_args(false);
  app.add_option("--seed", s.seed, "the same seed gives the same answer")->check(kSeed);
}

constexpr const char* kFpsHelp =
    "frames a second: taken of a video file (the model's own number unless said, mostly 2), or the "
    "rate of a folder's frames (2 unless said)";

// Flags that `option` leaves nothing to do for.
void exclude(CLI::App& app, CLI::Option* option, std::initializer_list<const char*> others) {
  for (const char* other : others) option->excludes(app.get_option(other));
}

class Program {
 public:
  Program()
      : app_("Runs Qwen3.5 models on a CPU: text, pictures, video, thinking and tools.", "godwit") {
    app_.set_version_flag("--version", std::string("godwit ") + kVersion);
    app_.require_subcommand(1);
    app_.footer(
        "Without -m, every command uses the demonstration model that comes with the program.\n"
        "Try: godwit run \"What is the capital of Peru?\"");
    add_run();
    add_chat();
    add_info();
    add_bench();
    add_quantize();
    add_eval();
    add_pull();
    add_serve();
    add_debug();
    add_completion();
  }

  int run(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::Success& wanted) {  // --help, --version
      return app_.exit(wanted);
    } catch (const CLI::ParseError& error) {
      std::string message = unknown_command();
      if (message.empty()) message = error.what();
      std::replace(message.begin(), message.end(), '\n', ' ');
      return report(
          Error{message + " (godwit --help lists the commands, godwit COMMAND --help its flags)",
                ErrorKind::kBadInput});
    }
    return work_();
  }

 private:
  // The message for a word where a command was expected; empty if that is not what is wrong.
  std::string unknown_command() const {
    const CLI::App* app = &app_;
    while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
    const auto rest = app->remaining();
    if (app->get_require_subcommand_min() == 0 || rest.empty()) return {};
    return fmt::format("expected a command, found '{}'", rest.front());
  }

  CLI::App* command(CLI::App& parent, const char* name, const char* what, const char* examples,
                    std::function<int()> work) {
    CLI::App* sub = parent.add_subcommand(name, what);
    if (*examples) sub->footer(std::string("Examples:\n") + examples);
    sub->callback([this, work = std::move(work)] { work_ = work; });
    return sub;
  }

  void add_run() {
    auto* sub = command(
        app_, "run", "one answer to one prompt",
        "  godwit run \"What is the capital of Peru?\"\n"
        "  godwit run --image sign.png \"Read the text.\"\n"
        "  git diff | godwit run --system \"Write a commit message.\" -\n"
        "  godwit run -m ~/models/Qwen3.5-4B --tools tools.json \"What is the weather in Oslo?\"",
        [this] { return run_command(run_); });
    add_model_flags(*sub, run_.model);
    add_draft_flag(*sub, run_.model);
    add_answer_flags(*sub, run_.answer);
    sub->add_option("prompt", run_.prompt,
                    "the question; -, or none where a pipe is: standard input");
    sub->add_option("--image", run_.images, "picture, before the text (may be repeated)")
        ->allow_extra_args(false)
        ->check(kNamed);
    auto* video =
        sub->add_option(
               "--video", run_.videos,
               "clip, before the text: a file, or a folder of frames in the order of their names")
            ->allow_extra_args(false)
            ->check(kNamed);
    sub->add_option("--fps", run_.fps, kFpsHelp)->check(CLI::Range(0.001, 1000.0))->needs(video);
    auto* raw = sub->add_flag("--raw", run_.raw,
                              "the prompt is complete: no template, special tokens recognised");
    sub->add_flag("--show-thinking", run_.answer.show_thinking,
                  "print the thought too, before the answer");
    exclude(*sub, raw,
            {"--system", "--tools", "--think", "--think-budget", "--show-thinking", "--image",
             "--video"});
  }

  void add_chat() {
    auto* sub = command(app_, "chat", "a conversation in the terminal",
                        "  godwit chat\n  godwit chat -m model.gguf --system \"Answer in French.\"",
                        [this] { return chat_command(chat_); });
    add_model_flags(*sub, chat_.model);
    add_draft_flag(*sub, chat_.model);
    add_history_flags(*sub, chat_.model);
    add_answer_flags(*sub, chat_.answer);
    sub->add_option("--history-file", chat_.history_file,
                    "file that keeps the lines typed (default: ~/.local/state/godwit/history)");
    add_disk_flags(*sub, chat_.model, chat_.no_disk_cache);
  }

  void add_info() {
    auto* sub = command(app_, "info", "processor, kernels, model and memory plan",
                        "  godwit info -m model.gguf -c 262144 --kv q8",
                        [this] { return info_command(info_); });
    add_model_flags(*sub, info_.model);
    add_draft_flag(*sub, info_.model);
    sub->add_flag("--json", info_.json, "as JSON");
  }

  void add_bench() {
    auto& o = bench_;
    auto* sub = command(
        app_, "bench", "speed of prefill, decode and vision, beside the machine's own limits",
        "  godwit bench -m model.gguf -p 128,512,2048 -d 0,32768 -b 1,4\n"
        "  godwit bench -m ~/models/Qwen3.5-0.8B --image-size 1024 --json\n"
        "  godwit bench -m model.gguf --trace trace.json    (open it in ui.perfetto.dev)\n"
        "  godwit bench -m model.gguf --turns               (what a turn of a conversation costs)",
        [this] { return bench_command(bench_); });
    sub->add_option("-m,--model", o.model.model,
                    "Hugging Face folder or .gguf file; the demonstration model if absent")
        ->check(kNamed);
    sub->add_option("--mmproj", o.model.mmproj, "vision file of a .gguf")->check(kNamed);
    sub->add_option("-t,--threads", o.model.threads, "threads; chosen from the processor if absent")
        ->check(CLI::Range(1, 1024));
    sub->add_option("--kv", o.model.kv_type, "type of the attention cache: f32, f16, bf16, q8")
        ->check(CLI::IsMember({"f32", "f16", "bf16", "q8"}));
    const auto list = [&](const char* flag, std::vector<int64_t>& values, const char* what) {
      sub->add_option(flag, values, what)->delimiter(',')->capture_default_str();
    };
    add_packed_flag(*sub, o.model);
    list("-p,--prompt", o.prompts, "lengths of prompts");
    list("-d,--depth", o.contexts, "tokens of context before decoding");
    list("-b,--batch", o.batches, "sequences decoded at the same time");
    sub->add_option("-n,--tokens", o.tokens, "tokens to decode")
        ->check(CLI::Range(0, 1 << 20))
        ->capture_default_str();
    sub->add_option("--image-size", o.image_size, "also a square picture of so many pixels a side")
        ->check(kNotNegative);
    sub->add_option("-r,--repeats", o.repeats, "runs of each; the median counts")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    sub->add_option("--trace", o.trace,
                    "file for a Chrome trace of a prompt and some tokens; prints a table of "
                    "operations on standard error");
    auto* turns =
        sub->add_option("--turns", o.turns,
                        "instead: conversations of so many turns (10 unless said), and what each "
                        "costs beside its new tokens alone")
            ->expected(0, 1)
            ->default_str("10")
            ->check(CLI::Range(1, 1000));
    auto* draft = sub->add_option("--draft", o.drafts,
                                  "instead: answers with up to so many drafts a step (4 unless "
                                  "said), and how many of them are right")
                      ->expected(0, 1)
                      ->default_str("4")
                      ->check(CLI::Range(1, engine::kMaxDrafts));
    auto* undo = sub->add_flag(
        "--undo", o.undo,
        "instead: what drafting, verifying a few rows and taking back positions costs, after the "
        "first context of -d");
    sub->add_option("--conversation", o.conversation,
                    "tokens of a conversation of --turns (12288, or what the model's context "
                    "holds, unless said)")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 24))
        ->needs(turns);
    exclude(*sub, turns, {"--draft", "--undo", "-p", "-d", "-b", "-n", "--image-size", "--trace"});
    exclude(*sub, draft, {"--undo", "-p", "-d", "-b", "--image-size", "--trace"});
    exclude(*sub, undo, {"-p", "-b", "-n", "--image-size", "--trace"});
    sub->add_flag("--json", o.json, "as JSON");
  }

  void add_serve() {
    auto& o = serve_;
    auto* sub = command(app_, "serve",
                        "the server: OpenAI's, Anthropic's and Ollama's APIs, and a web page",
                        "  godwit serve\n"
                        "  godwit serve -m model.gguf --port 11434 --parallel 8\n"
                        "  godwit serve --host 0.0.0.0 --api-key-file keys.txt --tls-cert cert.pem "
                        "--tls-key key.pem",
                        [this] { return serve_command(serve_); });
    add_model_flags(*sub, o.model);
    add_draft_flag(*sub, o.model);
    add_history_flags(*sub, o.model);
    sub->get_option("--verbose")
        ->description("requests, and fields of them that are ignored, on standard error");
    sub->add_option("--name", o.name, "the model's name for clients (default: from its path)");
    sub->add_option("--also", o.also,
                    "NAME=MODEL: another model, loaded when asked for (may be repeated)")
        ->allow_extra_args(false);
    sub->add_option(
           "--memory-budget", o.memory_mb,
           "MB for all models together: each takes what a conversation needs and its share "
           "of the rest for more of them; idle ones are unloaded for others")
        ->check(kNotNegative);
    sub->add_option("--unload-after", o.unload_minutes,
                    "minutes after which an idle model is unloaded; 0: never")
        ->check(kNotNegative);
    sub->add_option("--host", o.host, "address to listen on")->capture_default_str();
    sub->add_option("--port", o.port, "port; 0: any free one")
        ->check(CLI::Range(0, 65535))
        ->capture_default_str();
    sub->add_option("--unix", o.unix_socket, "listen on this socket file instead");
    sub->add_option("--api-key", o.api_keys, "key that clients must send (may be repeated)")
        ->allow_extra_args(false);
    sub->add_option("--api-key-file", o.api_key_file, "file with a key on each line");
    sub->add_flag("--insecure", o.insecure, "allow a public address without an API key");
    sub->add_option("--tls-cert", o.tls_certificate, "PEM certificate chain");
    sub->add_option("--tls-key", o.tls_key, "PEM key of the certificate");
    sub->add_option(
           "--allow-host", o.allowed_hosts,
           "name by which a proxy passes requests on to a loopback address (may be repeated)")
        ->allow_extra_args(false);
    sub->add_option("--cors", o.cors_origins, "origin whose pages may ask, or * (may be repeated)")
        ->allow_extra_args(false);
    sub->add_option("--media-root", o.media_roots,
                    "folder whose files may be named as file:// (may be repeated)")
        ->allow_extra_args(false);
    sub->add_flag("--remote-media", o.remote_media,
                  "fetch pictures from http(s) addresses, public ones only");
    sub->add_option("--parallel", o.parallel, "answers generated at the same time")
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    sub->add_option("--queue", o.queue, "requests that may wait")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
    auto* folder = sub->add_option("--cache-folder", o.cache_folder,
                                   "folder that keeps conversations and pictures over a restart "
                                   "(default: in ~/.cache/godwit)");
    add_disk_flags(*sub, o.model, o.no_disk_cache, folder);
    sub->add_option("--max-body", o.max_body_mb, "MB of a request at most")
        ->check(CLI::Range(1, 4096))
        ->capture_default_str();
    sub->add_option("--drain", o.drain_seconds, "seconds that running answers get after SIGTERM")
        ->check(CLI::Range(0, 86400))
        ->capture_default_str();
  }

  void add_quantize() {
    auto& o = quantize_;
    auto* sub =
        command(app_, "quantize", "write a model as GGUF of another type",
                "  godwit quantize ~/models/Qwen3.5-0.8B 0.8B-Q4_K_M.gguf --type Q4_K_M\n"
                "  godwit quantize bf16.gguf iq4.gguf --type IQ4_XS --imatrix text.txt\n"
                "Types: F32 F16 BF16 Q8_0 Q6_K Q5_K_M Q4_K_M Q4_K_S Q4_0 IQ4_XS IQ4_NL MXFP4",
                [this] { return quantize_command(quantize_); });
    sub->add_option("in", o.input, "Hugging Face folder or .gguf file")->required();
    sub->add_option("out", o.output, "file to write; vision goes beside it as .mmproj.gguf")
        ->required();
    sub->add_option("--type", o.type, "how weights are stored")->capture_default_str();
    sub->add_option("--imatrix", o.imatrix,
                    "text that is run to learn which columns matter, or an importance matrix "
                    "(.gguf) of llama.cpp");
    sub->add_option("--head", o.head, "type of the output matrix instead of the recipe's");
    sub->add_flag("--pure", o.pure, "every matrix of the one type");
    sub->add_option("-t,--threads", o.threads, "threads")->check(CLI::Range(1, 1024));
  }

  void add_eval() {
    auto* eval = app_.add_subcommand("eval", "what a model's format costs, on a text");
    eval->require_subcommand(1);
    eval->footer(
        "Examples:\n"
        "  godwit eval perplexity book.txt -m model.gguf\n"
        "  godwit eval divergence book.txt -m q4.gguf --reference f32.gguf");
    auto& o = eval_;
    const auto verb = [&](const char* name, const char* what, const char* examples,
                          int (*work)(const EvalOptions&)) {
      auto* sub = command(*eval, name, what, examples, [this, work] { return work(eval_); });
      sub->add_option("text", o.text, "text file")->required();
      sub->add_option("-m,--model", o.model, "model; the demonstration model if absent")
          ->check(kNamed);
      sub->add_option("--context", o.window, "tokens of a window, whose second half is scored")
          ->check(CLI::Range(int64_t{32}, int64_t{1} << 17))
          ->capture_default_str();
      sub->add_flag("--special", o.special, "special tokens in the text are recognised");
      sub->add_option("-t,--threads", o.threads, "threads")->check(CLI::Range(1, 1024));
      sub->add_flag("--json", o.json, "as JSON");
      return sub;
    };
    verb("perplexity", "how well the model predicts a text",
         "  godwit eval perplexity book.txt -m model.gguf", eval_perplexity_command);
    verb("divergence", "how far the model's predictions are from a reference's",
         "  godwit eval divergence book.txt -m q4.gguf --reference f32.gguf",
         eval_divergence_command)
        ->add_option("--reference", o.reference, "the same model in a better format")
        ->required();
  }

  void add_pull() {
    auto* sub = command(app_, "pull", "download a model, resumed and checked",
                        "  godwit pull Qwen/Qwen3.5-0.8B\n"
                        "  godwit pull unsloth/Qwen3.5-4B-GGUF --file '*Q4_K_M.gguf'",
                        [this] { return pull_command(pull_); });
    sub->add_option("name", pull_.name, "OWNER/MODEL")->required();
    sub->add_option("-o,--output", pull_.output,
                    "folder (default: ~/.cache/godwit/models/OWNER/MODEL)");
    sub->add_option("--file", pull_.files,
                    "only files of this name, * and ? allowed (may be repeated)")
        ->allow_extra_args(false);
    sub->add_option("--revision", pull_.revision, "branch, tag or commit (default: main)");
  }

  void add_debug() {
    auto* debug = app_.add_subcommand("debug", "the project's own microscope");
    debug->require_subcommand(1);
    debug->footer(
        "Examples:\n"
        "  echo '\"Hello <|im_end|>\"' | godwit debug tokenize\n"
        "  godwit debug image sign.png --output sign.safetensors\n"
        "godwit debug VERB --help has examples of each.");
    const auto text_verb = [&](const char* name, const char* what, const char* examples,
                               int (*work)(const DebugTextOptions&)) {
      auto* sub = command(*debug, name, what, examples, [this, work] { return work(text_); });
      sub->add_option("-m,--model", text_.model, "model; the demonstration model if absent")
          ->check(kNamed);
      return sub;
    };
    text_verb("tokenize", "JSON strings, one a line, to arrays of token ids",
              "  echo '\"Hello <|im_end|>\"' | godwit debug tokenize --plain",
              debug_tokenize_command)
        ->add_flag("--plain", text_.plain, "no special tokens: as what a user wrote is encoded");
    text_verb("detokenize", "arrays of token ids, one a line, to JSON strings",
              "  echo '[2023, 277, 198]' | godwit debug detokenize", debug_detokenize_command);
    text_verb("render", "conversations, one a line, to prompts, exactly as the official template",
              "  echo '{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], "
              "\"add_generation_prompt\": true}' | godwit debug render --template qwen3.6",
              debug_render_command)
        ->add_option("--template", text_.template_name,
                     "qwen3.5, qwen3.5-small, qwen3.6 or qwen3.8, instead of the model's");
    text_verb("parse", "generated texts (or ids, with -m), one a line, to messages",
              "  echo '{\"text\": \"So.</think>Yes.\", \"thinking\": true}' | godwit debug parse",
              debug_parse_command)
        ->add_flag("--pieces", text_.pieces, "feed one byte at a time");

    const auto media_verb = [&](const char* name, const char* what, const char* examples,
                                int (*work)(const DebugMediaOptions&)) {
      auto* sub = command(*debug, name, what, examples, [this, work] { return work(media_); });
      sub->add_option("file", media_.file, "the file")->required();
      sub->add_option("--output", media_.output, "safetensors file to write")->required();
      sub->add_option("-m,--model", media_.model,
                      "model whose limits hold; the demonstration model if absent")
          ->check(kNamed);
      sub->add_option("--min-pixels", media_.min_pixels, "smallest area, instead of the model's")
          ->check(CLI::PositiveNumber);
      sub->add_option("--max-pixels", media_.max_pixels, "largest area, instead of the model's")
          ->check(CLI::PositiveNumber);
      return sub;
    };
    media_verb("image", "a picture to what the vision tower sees",
               "  godwit debug image sign.png --output sign.safetensors", debug_image_command);
    media_verb("video", "a clip to what the vision tower sees",
               "  godwit debug video clip.mp4 --output clip.safetensors\n"
               "  godwit debug video frames --fps 4 --output clip.safetensors",
               debug_video_command)
        ->add_option("--fps", media_.fps, kFpsHelp)
        ->check(CLI::Range(0.001, 1000.0));

    auto* tensors =
        command(*debug, "tensors", "run ids (and pixels) through a model and write every tensor",
                "  godwit debug tensors -m model.gguf --input prompt.safetensors --output "
                "tensors.safetensors --generate 16",
                [this] { return debug_tensors_command(tensors_); });
    tensors->add_option("-m,--model", tensors_.model, "model; the demonstration model if absent")
        ->check(kNamed);
    tensors->add_option("--mmproj", tensors_.mmproj, "vision file of a .gguf")->check(kNamed);
    tensors
        ->add_option("--input", tensors_.input, "safetensors file with input_ids, pixel_values, …")
        ->required();
    tensors->add_option("--output", tensors_.output, "safetensors file to write")->required();
    tensors->add_option("--generate", tensors_.generate, "greedy tokens to add")
        ->check(CLI::Range(0, 1 << 20));
    tensors->add_option("-t,--threads", tensors_.threads, "threads")->check(CLI::Range(1, 1024));
  }

  void add_completion() {
    auto* sub = command(app_, "completion", "completion for a shell, on standard output",
                        "  godwit completion bash > /etc/bash_completion.d/godwit\n  godwit "
                        "completion zsh > ~/.zfunc/_godwit",
                        [this] { return completion_command(shell_); });
    sub->add_option("shell", shell_, "bash or zsh")
        ->required()
        ->check(CLI::IsMember({"bash", "zsh"}));
  }

  CLI::App app_;
  std::function<int()> work_;
  RunOptions run_;
  ChatOptions chat_;
  InfoOptions info_;
  BenchOptions bench_;
  QuantizeOptions quantize_;
  EvalOptions eval_;
  PullOptions pull_;
  ServeOptions serve_;
  DebugTextOptions text_;
  DebugMediaOptions media_;
  DebugTensorsOptions tensors_;
  std::string shell_;
};

Status check_arguments(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (!is_utf8(argv[i]))
      return bad_input("argument {}: expected UTF-8 text, found {}", i, in_quotes(argv[i]));
  }
  return {};
}

// A standard stream that came closed would become the first file that is opened: it gets one that
// fails as a closed one does.
void hold_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) >= 0) continue;
    [[maybe_unused]] const int lowest_free =
        ::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

// What is still in buffers, and whether all of it was taken: a full disk is no success.
int finish_output() {
  std::cout.flush();
  if (std::fflush(stdout) == 0 && !std::ferror(stdout) && std::cout) return kDone;
  return report(output_error());
}

}  // namespace

int report(const Error& error) {
  print_err("godwit: {}\n", visible(error.message));
  return error.kind == ErrorKind::kBadInput ? kWrongCall : kWorkFailed;
}

}  // namespace godwit::cli

int main(int argc, char** argv) {
  using namespace godwit::cli;
  hold_standard_streams();
  std::signal(SIGPIPE, SIG_IGN);  // a reader that leaves is noticed where we write
  if (const auto valid = check_arguments(argc, argv); !valid) return report(valid.error());
  const auto level = godwit::log_level_from_environment();
  if (!level) return report(level.error());
  godwit::set_log_level(*level);
  const int code = Program().run(argc, argv);
  return code == kDone ? finish_output() : code;
}
