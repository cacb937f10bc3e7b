// godwit bench --turns: what a turn of a long conversation costs. Ten turns each: with a client
// that sends reasoning back, one that drops it, one with tools, one with a picture, and one whose
// server was restarted half way. A turn should cost its new tokens alone:
//
//   time to first token ≤ 1.1 · (forward() over the new tokens, the rest in memory) + 50 ms
//
// The right side is measured with the bare model, half a second after the turn: the same counts of
// tokens in memory and of new ones, in chunks as the engine has them, the median of three. The
// second question follows the first answer at once, whatever the engine still does with that; the
// others come after this pause. Words and pictures are made up, the same in each of the rounds
// whose medians are printed; answers have a fixed length.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "base/cpu.h"
#include "base/folder.h"
#include "cli/bench.h"
#include "cli/made_up.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "model/plain_memory.h"
#include "model/workspace.h"

namespace godwit::cli {
namespace {

using checkpoint::Json;
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kAnswerTokens = 24, kThoughtTokens = 8, kToolCount = 12;
constexpr int kTurnTokens[] = {16, 40, 100, 250, 30, 60, 400, 20, 150, 80};  // of the user, in turn
constexpr double kShare = 1.1, kExtra = 0.05;
constexpr auto kPause = std::chrono::milliseconds(500);

struct Turn {
  int prompt = 0, reused = 0, pictures = 0;
  double first_token = 0, alone = 0;
  std::string note;
  bool is_judged = true;  // the first has nothing to reuse
  int fresh() const { return prompt - reused; }
  double bound() const { return kShare * alone + kExtra; }
  bool holds() const { return !is_judged || first_token <= bound(); }
};
struct Table {
  std::string name;
  std::vector<Turn> turns;
};
// Of the turn after the restart.
struct Restored {
  int tokens = 0;
  double bytes = 0, read_seconds = 0;  // the bytes that it read, at the rate of the cold files
  double beyond = 0;                   // its time to first token, less the new tokens alone
};

// ---- Conversations

enum class Client { kKeepsReasoning, kDropsReasoning, kTools, kPicture };

text::ChatMessage text_message(const std::string& role, const std::string& text) {
  text::ChatMessage message;
  message.role = role;
  message.content.push_back({.kind = text::ContentPart::Kind::kText, .text = text, .media = {}});
  return message;
}

class Conversation {
 public:
  Conversation(Client client, int64_t document_tokens, uint64_t seed)
      : client_(client), document_tokens_(document_tokens), words_(seed) {
    request_.max_tokens = kAnswerTokens;
    request_.ignore_end = true;
    request_.sampling.temperature = 0;
    const bool thinks = client == Client::kKeepsReasoning || client == Client::kDropsReasoning;
    request_.thinking = thinks ? engine::Thinking::kOn : engine::Thinking::kOff;
    if (thinks) request_.thinking_budget = kThoughtTokens;
  }

  // The next turn, asked and answered.
  Result<Turn> go_on(engine::Engine& engine) {
    if (turn_ == 0) begin(engine);
    add_question(engine);
    TRY(const auto generation, engine.submit(request_));
    text::ChatMessage answer = text_message("assistant", "");
    while (auto event = generation->next()) {
      switch (event->kind) {
        case engine::Event::Kind::kError:
          return tl::unexpected<Error>(event->error);
        case engine::Event::Kind::kReasoning:
          if (!answer.reasoning_content) answer.reasoning_content.emplace();
          *answer.reasoning_content += event->text;
          break;
        case engine::Event::Kind::kContent:
          answer.content[0].text += event->text;
          break;
        case engine::Event::Kind::kDone:
          return taken(std::move(answer), *event);
        default:
          break;
      }
    }
    return failed("the engine ended without an answer");
  }

 private:
  void begin(engine::Engine& engine) {
    // Made-up weights might close a thought or call a tool by chance: lengths would not be fixed.
    for (const char* markup :
         {"<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "</think>", "<tool_call>",
          "</tool_call>", "<tool_response>", "</tool_response>"}) {
      const auto ids = engine.tokenize(markup, true);
      if (ids.size() == 1) request_.sampling.logit_bias[ids[0]] = -1000;
    }
    if (client_ == Client::kTools)
      for (int i = 0; i < kToolCount; ++i) request_.tools.push_back(made_up_tool(words_, i));
    int64_t tools = 0;
    for (const Json& tool : request_.tools)
      tools += static_cast<int64_t>(engine.tokenize(tool.dump_python(), false).size());
    const std::string document =
        words_.text(engine, std::max<int64_t>(16, document_tokens_ - tools));
    if (client_ == Client::kPicture) {
      request_.messages.push_back(text_message("user", ""));
      request_.messages.back().content = {
          {.kind = text::ContentPart::Kind::kImage, .text = "", .media = made_up_picture(words_)}};
    } else {
      request_.messages.push_back(text_message("system", document));
    }
  }

  void add_question(engine::Engine& engine) {
    const std::string text = words_.text(engine, kTurnTokens[turn_ % std::size(kTurnTokens)]);
    const bool is_result = client_ == Client::kTools && turn_ % 2 == 1;
    if (turn_ == 0 && client_ == Client::kPicture) {
      request_.messages.back().content.push_back(
          {.kind = text::ContentPart::Kind::kText, .text = text, .media = {}});
    } else {
      request_.messages.push_back(text_message(is_result ? "tool" : "user", text));
    }
  }

  Turn taken(text::ChatMessage answer, const engine::Event& done) {
    if (client_ != Client::kKeepsReasoning) answer.reasoning_content.reset();
    request_.messages.push_back(std::move(answer));
    return {.prompt = done.usage.prompt_tokens,
            .reused = done.usage.reused_tokens,
            .pictures = done.usage.pictures_encoded,
            .first_token = done.timings.first_token,
            .note = done.usage.reuse_note,
            .is_judged = turn_++ > 0};
  }

  const Client client_;
  const int64_t document_tokens_;
  Words words_;
  engine::GenerationRequest request_;
  int turn_ = 0;
};

// ---- New tokens alone

class BareModel {
 public:
  BareModel(const model::Model& model, tensor::DType kv_type, int64_t context, int64_t chunk)
      : model_(model),
        context_(context),
        chunk_(chunk),
        geometry_(model.cache_geometry(kv_type, 64)),
        memory_(geometry_, context),
        workspace_(model.make_workspace(
            {.max_tokens = chunk, .max_logit_rows = 1, .max_context = context})),
        logits_(model.config().text.vocab_size) {
    // Pages that were never written would be read from one page of zeros, out of the cache.
    for (std::byte* page : memory_.view().pages) std::memset(page, 0x2b, geometry_.page_bytes());
  }

  // The length of a conversation is only nearly kept, most of all where it is short.
  Result<double> seconds(int cached, int fresh) {
    if (cached + fresh > context_)
      return bad_input("--conversation: expected at least {} tokens, as a turn took so many",
                       (cached + fresh) * 4 / 5 + 1);
    run(cached, std::min(fresh, 8));  // warm-up
    std::vector<double> times;
    for (int i = 0; i < 3; ++i) {
      const auto start = Clock::now();
      run(cached, fresh);
      times.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
    return median(std::move(times));
  }

 private:
  void run(int64_t cached, int64_t fresh) {
    for (int64_t first = 0; first < fresh; first += chunk_) {
      const int64_t count = std::min(chunk_, fresh - first);
      auto view = memory_.view();
      view.cached = cached + first;
      run_ids(model_, geometry_, view,
              made_up_ids(view.cached, count, model_.config().text.vocab_size),
              first + count == fresh, *workspace_, logits_.data());
    }
  }

  const model::Model& model_;
  const int64_t context_, chunk_;
  const cache::CacheGeometry geometry_;
  model::PlainMemory memory_;
  std::unique_ptr<model::Workspace> workspace_;
  std::vector<float> logits_;
};

// Beside the turn, so that both meet the same machine, but not beside what the engine does with it.
Status compare(Turn& turn, BareModel& bare) {
  if (!turn.is_judged) return {};
  std::this_thread::sleep_for(kPause);
  TRY(turn.alone, bare.seconds(turn.reused, turn.fresh()));
  return {};
}

Result<Table> converse(engine::Engine& engine, BareModel& bare, const char* name,
                       Conversation conversation, int turns) {
  ProgressBar progress(name);
  Table table{name, {}};
  for (int i = 0; i < turns; ++i) {
    progress.show(i, turns);
    TRY(Turn turn, conversation.go_on(engine));
    TRY_STATUS(compare(turn, bare));
    table.turns.push_back(std::move(turn));
  }
  return table;
}

// ---- Restart

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "godwit-bench-XXXXXX").string();
    if (mkdtemp(name.data())) path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Files leave the page cache, as after a restart of the machine.
void forget_files(const std::string& folder) {
  for_each_entry(folder, [](const fs::directory_entry& entry) {
    const int file = ::open(entry.path().c_str(), O_RDONLY);
    if (file < 0) return;
    ::fdatasync(file);
    ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    ::close(file);
  });
}

// Bytes a second that cold files are read with, into memory that is used again.
double read_rate(const std::string& folder) {
  forget_files(folder);
  std::vector<char> buffer(size_t{1} << 20);
  double bytes = 0;
  const auto start = Clock::now();
  for_each_entry(folder, [&](const fs::directory_entry& entry) {
    const int file = ::open(entry.path().c_str(), O_RDONLY);
    if (file < 0) return;
    for (ssize_t n; (n = ::read(file, buffer.data(), buffer.size())) > 0;)
      bytes += static_cast<double>(n);
    ::close(file);
  });
  return bytes / std::chrono::duration<double>(Clock::now() - start).count();
}

// Bytes that this process has read by system calls.
double bytes_read() {
  std::ifstream file("/proc/self/io");
  std::string key;
  double value = 0;
  file >> key >> value;  // rchar
  return value;
}

Result<Table> restart(const engine::EngineOptions& options, BareModel& bare,
                      Conversation conversation, int turns, Restored& restored) {
  ProgressBar progress("after a restart");
  const TemporaryFolder folder;
  if (folder.path().empty()) return failed("cannot make a folder for the cache");
  engine::EngineOptions on_disk = options;
  on_disk.cache_folder = folder.path();
  Table table{"after a restart (before turn " + std::to_string(turns / 2 + 1) + ")", {}};
  TRY(auto engine, engine::Engine::open(on_disk));
  for (int i = 0; i < turns; ++i) {
    progress.show(i, turns);
    const bool is_new = i == turns / 2;
    double before = 0;
    if (is_new) {
      engine.reset();  // all is written
      TRY(engine, engine::Engine::open(on_disk));
      restored.read_seconds = 1 / read_rate(folder.path());
      forget_files(folder.path());
      before = bytes_read();
    }
    TRY(Turn turn, conversation.go_on(*engine));
    if (is_new) {
      restored.tokens = turn.reused;
      restored.bytes = bytes_read() - before;
      restored.read_seconds *= restored.bytes;
    }
    TRY_STATUS(compare(turn, bare));
    if (is_new) restored.beyond = turn.first_token - turn.alone;
    table.turns.push_back(std::move(turn));
  }
  return table;
}

// ---- Rounds

struct Round {
  std::string model;
  std::vector<Table> tables;
  Restored restored;
};

struct Lengths {  // in tokens
  int64_t document, shorter_document, context;
};

// Every conversation once, in an engine that knows none of them.
Result<Round> run_round(const BenchOptions& options, const engine::EngineOptions& settings,
                        BareModel& bare, const Lengths& lengths) {
  Round round;
  {
    TRY(const auto engine, engine::Engine::open(settings));
    const auto& info = engine->info();
    round.model = info.name;
    if (info.context < lengths.context)
      return bad_input("--conversation: expected at most {} (a context of {}), found {}",
                       info.context * 4 / 5, info.context, options.conversation);
    const auto run = [&](const char* what, Client client, int turns, uint64_t seed) -> Status {
      TRY(Table table,
          converse(*engine, bare, what, Conversation(client, lengths.document, seed), turns));
      round.tables.push_back(std::move(table));
      return {};
    };
    TRY_STATUS(run("the client keeps the reasoning", Client::kKeepsReasoning, options.turns, 1));
    TRY_STATUS(run("the client drops the reasoning", Client::kDropsReasoning, options.turns, 2));
    TRY_STATUS(run("tools and their results", Client::kTools, options.turns, 3));
    if (info.vision) TRY_STATUS(run("one picture, five questions", Client::kPicture, 5, 4));
  }
  if (options.turns == 1) return round;  // nothing comes before a restart
  TRY(Table table,
      restart(settings, bare, Conversation(Client::kKeepsReasoning, lengths.shorter_document, 5),
              options.turns, round.restored));
  round.tables.push_back(std::move(table));
  return round;
}

// The first round with the median times of all: their words and lengths are the same.
Round median_of(std::vector<Round> rounds) {
  const auto over_rounds = [&rounds](auto&& time_of) {
    std::vector<double> times;
    for (const Round& round : rounds) times.push_back(time_of(round));
    return median(std::move(times));
  };
  Round all = rounds.front();
  for (size_t t = 0; t < all.tables.size(); ++t) {
    for (size_t i = 0; i < all.tables[t].turns.size(); ++i) {
      Turn& turn = all.tables[t].turns[i];
      const auto same = [t, i](const Round& round) { return round.tables[t].turns[i]; };
      turn.first_token = over_rounds([&](const Round& round) { return same(round).first_token; });
      turn.alone = over_rounds([&](const Round& round) { return same(round).alone; });
    }
  }
  all.restored.beyond = over_rounds([](const Round& round) { return round.restored.beyond; });
  all.restored.read_seconds =
      over_rounds([](const Round& round) { return round.restored.read_seconds; });
  return all;
}

// ---- Printing

void print_text(const Round& round, int rounds) {
  const Restored& restored = round.restored;
  print_out("model    {}\n", round.model);
  print_out("bound    {} × the new tokens alone + {:.0f} ms\n", kShare, 1e3 * kExtra);
  print_out("rounds   {}\n", rounds == 1 ? "1" : fmt::format("{}, medians", rounds));
  for (const Table& table : round.tables) {
    print_out("\n{}\n  turn  prompt  reused    new  first token     alone     bound\n", table.name);
    int missed = 0, judged = 0, pictures = 0;
    for (size_t i = 0; i < table.turns.size(); ++i) {
      const Turn& t = table.turns[i];
      print_out("  {:>4} {:>7} {:>7} {:>6} {:>9.0f} ms {:>6.0f} ms {:>6.0f} ms  {}{}{}\n", i + 1,
                t.prompt, t.reused, t.fresh(), 1e3 * t.first_token, 1e3 * t.alone, 1e3 * t.bound(),
                !t.is_judged ? "-"
                : t.holds()  ? "holds"
                             : "MISSED",
                t.note.empty() ? "" : "; ", t.note);
      missed += !t.holds();
      judged += t.is_judged;
      pictures += t.pictures;
    }
    print_out("  {} of {} turns within the bound", judged - missed, judged);
    if (pictures > 0) print_out("; pictures encoded: {}", pictures);
    print_out("\n");
  }
  if (restored.tokens > 0)
    print_out(
        "\nrestored {} tokens from {:.0f} MB, which are read in {:.0f} ms, in {:.0f} ms beyond the "
        "new "
        "tokens alone: {}\n",
        restored.tokens, restored.bytes / 1e6, 1e3 * restored.read_seconds, 1e3 * restored.beyond,
        restored.beyond <= 1.5 * restored.read_seconds ? "holds (1.5 times)"
                                                       : "MISSED (1.5 times)");
}

void print_json(const Round& round, int rounds) {
  const Restored& restored = round.restored;
  Json conversations = Json::array();
  for (const Table& table : round.tables) {
    Json turns = Json::array();
    for (const Turn& t : table.turns)
      turns.items().push_back(Json::object({{"prompt_tokens", Json::integer(t.prompt)},
                                            {"reused_tokens", Json::integer(t.reused)},
                                            {"new_tokens", Json::integer(t.fresh())},
                                            {"first_token_s", json_number(t.first_token)},
                                            {"alone_s", json_number(t.alone)},
                                            {"bound_s", json_number(t.bound())},
                                            {"holds", Json::boolean(t.holds())},
                                            {"pictures_encoded", Json::integer(t.pictures)},
                                            {"note", Json::string(t.note)}}));
    conversations.items().push_back(
        Json::object({{"name", Json::string(table.name)}, {"turns", std::move(turns)}}));
  }
  const Json disk = Json::object({{"tokens", Json::integer(restored.tokens)},
                                  {"megabytes", json_number(restored.bytes / 1e6)},
                                  {"read_s", json_number(restored.read_seconds)},
                                  {"beyond_s", json_number(restored.beyond)}});
  print_out("{}\n", Json::object({{"model", Json::string(round.model)},
                                  {"rounds", Json::integer(rounds)},
                                  {"conversations", std::move(conversations)},
                                  {"restored", disk}})
                        .dump());
}

}  // namespace

// Tokens of a conversation where none are said: what the model's context holds is told if it is
// fewer than usual.
int64_t usual_conversation(int64_t most_context) {
  constexpr int64_t kUsual = 12288;
  const int64_t most = most_context * 4 / 5;
  if (most >= kUsual) return kUsual;
  print_err("godwit: conversations of {} tokens, not {}: the model's context is {}\n", most, kUsual,
            most_context);
  return most;
}

Result<int> bench_turns(const BenchOptions& given, const std::string& path) {
  BenchOptions options = given;
  TRY(const auto files, checkpoint::open_model_files(path, options.model.mmproj));
  TRY(const auto config, model::read_config(files));
  if (options.conversation == 0) options.conversation = usual_conversation(config.text.max_context);
  int tail = options.turns * (kAnswerTokens + kThoughtTokens + 32);
  for (int i = 0; i < options.turns; ++i) tail += kTurnTokens[i % std::size(kTurnTokens)];
  const int64_t document = options.conversation - tail,
                shorter = options.conversation * 2 / 3 - tail;
  if (shorter < 64)
    return bad_input("--conversation: expected at least {} tokens for {} turns, found {}",
                     (tail + 64) * 3 / 2 + 1, options.turns, options.conversation);
  const engine::EngineOptions settings = engine_options(options.model, path);
  const int64_t context = options.conversation * 5 / 4;
  TRY(const Isa isa, isa_from_environment());
  ComputePool pool(settings.threads > 0 ? settings.threads : cpu_topology().performance_cores);
  TRY(const auto model, model::Model::load(files, {&pool, &kernels::kernel_table(isa)},
                                           {.vision = false, .drafting = false}));
  BareModel bare(*model, kv_type_of(options.model.kv_type), context, settings.prefill_chunk);

  const Lengths lengths{document, shorter, context};
  std::vector<Round> rounds;
  for (int i = 0; i < options.repeats; ++i) {
    TRY(Round round, run_round(options, settings, bare, lengths));
    rounds.push_back(std::move(round));
  }
  const Round all = median_of(std::move(rounds));
  options.json ? print_json(all, options.repeats) : print_text(all, options.repeats);
  return kDone;
}

}  // namespace godwit::cli
