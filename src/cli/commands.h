// The commands: what each takes (main.cpp reads the flags into these) and its entry point. A
// command returns the exit code: 0 done, 1 the work failed, 2 the call or an input file is wrong,
// 130 interrupted.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"

namespace godwit::cli {

constexpr int kDone = 0, kWorkFailed = 1, kWrongCall = 2, kInterrupted = 130;

// What every command that loads a model takes.
struct ModelOptions {
  std::string model, mmproj;  // empty model: the demonstration model
  std::string conversations;  // folder that keeps what was computed; empty: nothing is kept
  int threads = 0, threads_decode = 0, threads_vision = 0;
  int64_t context = 0;
  std::string kv_type = "f16";
  std::string history = "kept";
  bool no_prefix_cache = false;
  int draft = 0;             // tokens of a step that the drafting head may propose
  int packed_cache_gb = 64;  // of packed weights for later starts; 0: none are kept
  int cache_disk_gb = 8;     // of what is kept of conversations
  bool verbose = false;
};

struct AnswerOptions {
  engine::SamplingOptions sampling;
  std::vector<std::string> logit_bias;  // ID=VALUE
  std::string think = "auto";
  int think_budget = -1;
  int max_tokens = -1;
  std::vector<std::string> stop;
  std::string system, tools_file, schema_file;
  bool show_thinking = false;
};

struct RunOptions {
  ModelOptions model;
  AnswerOptions answer;
  std::optional<std::string> prompt;  // "-" or absent: standard input
  std::vector<std::string> images, videos;
  std::optional<double> fps;
  bool raw = false;  // the prompt is the whole prompt: no template
};
int run_command(const RunOptions& options);

struct ChatOptions {
  ModelOptions model;
  AnswerOptions answer;
  std::string history_file;
  bool no_disk_cache = false;
};
int chat_command(const ChatOptions& options);

struct InfoOptions {
  ModelOptions model;
  bool json = false;
};
int info_command(const InfoOptions& options);

struct BenchOptions {
  ModelOptions model;
  std::vector<int64_t> prompts = {512}, contexts = {0}, batches = {1};
  int64_t tokens = 64;     // decoded
  int64_t image_size = 0;  // pixels a side; 0: no picture
  int repeats = 3;
  std::string trace;         // file
  int turns = 0;             // > 0: conversations of so many turns instead
  int64_t conversation = 0;  // tokens of such a one; 0: 12,288, or what the context holds
  int drafts = 0;            // > 0: decoding with up to so many drafts instead
  bool undo = false;         // costs of verifying and taking back drafts instead
  bool json = false;
};
int bench_command(const BenchOptions& options);

struct ServeOptions {
  ModelOptions model;
  std::string name;               // of the model, as clients see it; empty: from its path
  std::vector<std::string> also;  // NAME=MODEL
  int memory_mb = 0, unload_minutes = 0;
  std::string host = "127.0.0.1", unix_socket;
  int port = 8080;
  std::vector<std::string> api_keys, cors_origins, allowed_hosts, media_roots;
  std::string api_key_file, tls_certificate, tls_key, cache_folder;
  bool insecure = false, remote_media = false, no_disk_cache = false;
  int parallel = 4, queue = 64, max_body_mb = 64, drain_seconds = 30;
};
int serve_command(const ServeOptions& options);

struct QuantizeOptions {
  std::string input, output;
  std::string type = "Q4_K_M";
  std::string imatrix;  // a text, or llama.cpp's matrix as GGUF
  std::string head;     // type of the head instead of the recipe's
  bool pure = false;    // one type for all matrices
  int threads = 0;
};
int quantize_command(const QuantizeOptions& options);

struct EvalOptions {
  std::string text;  // file
  std::string model, reference;
  int64_t window = 512;
  bool special = false;  // special tokens in the text are recognised
  int threads = 0;
  bool json = false;
};
int eval_perplexity_command(const EvalOptions& options);
int eval_divergence_command(const EvalOptions& options);

struct PullOptions {
  std::string name, output, revision;
  std::vector<std::string> files;
};
int pull_command(const PullOptions& options);

struct DebugTextOptions {
  std::string model;
  bool plain = false;         // tokenize: no special tokens
  std::string template_name;  // render
  bool pieces = false;        // parse: one byte at a time
};
int debug_tokenize_command(const DebugTextOptions& options);
int debug_detokenize_command(const DebugTextOptions& options);
int debug_render_command(const DebugTextOptions& options);
int debug_parse_command(const DebugTextOptions& options);

struct DebugMediaOptions {
  std::string file, output, model;
  std::optional<int64_t> min_pixels, max_pixels;
  std::optional<double> fps;
};
int debug_image_command(const DebugMediaOptions& options);
int debug_video_command(const DebugMediaOptions& options);

struct DebugTensorsOptions {
  std::string model, mmproj, input, output;
  int generate = 0;
  int threads = 0;
};
int debug_tensors_command(const DebugTensorsOptions& options);

int completion_command(const std::string& shell);

// Prints `godwit: MESSAGE` on standard error and gives the exit code of the error's kind.
int report(const Error& error);

}  // namespace godwit::cli
