// godwit bench --draft: decoding with 0 … N drafts a step, and with as many as the engine finds to
// pay. Answers to a few questions, greedy and drawn; each answer is the same whatever is drafted,
// so the speeds are of the same work. Interleaved, medians. What pays is decided in an engine of
// its own, beside a row of none there: its tok/s is that ratio times the first row's.
//
// With random weights hardly a draft is right: the figures then say what drafts cost.
#include <array>

#include "cli/bench.h"
#include "cli/session.h"
#include "cli/terminal.h"

namespace godwit::cli {
namespace {

using checkpoint::Json;

constexpr const char* kQuestions[] = {
    "What is the capital of France?",
    "Repeat after me: blue river stone, green hill, white bird.",
    "The key is under the red mat. My name is Tom. I live in Oslo. Where is the key?",
    "Write JSON: Anna is 31 years old and lives in Rome.",
    "Count from one to twenty.",
    "Write a short story about a dog and a boat."};

enum class Choice { kGreedy, kDrawn };

struct Sums {
  double seconds = 0;
  int64_t tokens = 0, steps = 0;
  double rate() const { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0; }
};

struct Row {
  std::string drafts;
  double tok_s = 0, tokens_per_step = 0;
  std::array<double, engine::kMaxDrafts> right{};  // share of the drafts at each position
};

// The answers to all questions, with so many drafts (−1: the engine's).
Result<Sums> answer_all(engine::Engine& engine, const BenchOptions& options, Choice choice,
                        int drafts) {
  Sums sums;
  for (const char* question : kQuestions) {
    engine::GenerationRequest request;
    TRY(auto message, user_message(question, {}, {}));
    request.messages.push_back(std::move(message));
    request.thinking = engine::Thinking::kOff;
    request.sampling.temperature = choice == Choice::kGreedy ? 0.0f : 1.0f;
    request.sampling.seed = 7;
    request.max_tokens = static_cast<int>(options.tokens);
    request.draft_tokens = drafts;
    TRY(const auto generation, engine.submit(std::move(request)));
    while (const auto event = generation->next()) {
      if (event->kind == engine::Event::Kind::kError) return tl::unexpected<Error>(event->error);
      if (event->kind != engine::Event::Kind::kDone) continue;
      const engine::Usage& usage = event->usage;
      if (usage.completion_tokens < 2) continue;
      sums.seconds += event->timings.decode;
      sums.tokens += usage.completion_tokens - 1;
      sums.steps += usage.completion_tokens - 1 - usage.accepted_drafts;
    }
  }
  return sums;
}

// Rows for each of `counts`.
Result<std::vector<Row>> measure(engine::Engine& engine, const BenchOptions& options, Choice choice,
                                 const std::vector<int>& counts) {
  std::vector<Row> rows(counts.size());
  std::vector<std::vector<double>> rates(counts.size());
  TRY_STATUS(answer_all(engine, options, choice, 0));  // warm-up
  for (int repeat = 0; repeat < options.repeats; ++repeat) {
    for (size_t i = 0; i < counts.size(); ++i) {
      const engine::EngineStats before = engine.stats();
      TRY(const Sums sums, answer_all(engine, options, choice, counts[i]));
      const engine::EngineStats after = engine.stats();
      rates[i].push_back(sums.rate());
      rows[i].drafts = counts[i] < 0 ? "as pay" : std::to_string(counts[i]);
      rows[i].tokens_per_step = sums.steps > 0 ? double(sums.tokens) / double(sums.steps) : 0;
      for (size_t p = 0; p < rows[i].right.size(); ++p) {
        const auto drafted = static_cast<double>(after.drafted[p] - before.drafted[p]);
        const auto right =
            static_cast<double>(after.drafts_accepted[p] - before.drafts_accepted[p]);
        rows[i].right[p] = drafted > 0 ? right / drafted : 0;
      }
    }
  }
  for (size_t i = 0; i < rows.size(); ++i) rows[i].tok_s = median(rates[i]);
  return rows;
}

void print_text(const char* choice, const std::vector<Row>& rows) {
  print_out("\n{:<9} drafts   tok/s   of none   tokens a step   right: 1st   2nd   3rd   4th\n",
            choice);
  for (const Row& row : rows) {
    print_out("          {:<6} {:>7.1f}   {:>7.2f}   {:>13.2f}       ", row.drafts, row.tok_s,
              row.tok_s / rows.front().tok_s, row.tokens_per_step);
    for (const double right : row.right) print_out(" {:>3.0f} %", 100 * right);
    print_out("\n");
  }
}

Json rows_json(const std::vector<Row>& rows) {
  Json list = Json::array();
  for (const Row& row : rows) {
    Json right = Json::array();
    for (const double share : row.right) right.items().push_back(json_number(share));
    list.items().push_back(Json::object({{"drafts", Json::string(row.drafts)},
                                         {"tok_s", json_number(row.tok_s)},
                                         {"tokens_per_step", json_number(row.tokens_per_step)},
                                         {"right", std::move(right)}}));
  }
  return list;
}

}  // namespace

Result<int> bench_draft(const BenchOptions& options, const std::string& path) {
  engine::EngineOptions settings = engine_options(options.model, path);
  settings.prefix_cache = false;
  settings.draft_tokens = options.drafts;
  std::array<std::vector<Row>, 2> tables;  // greedy, drawn
  std::string name;
  for (const bool always : {true, false}) {
    settings.draft_always = always;
    TRY(const auto engine, engine::Engine::open(settings));
    name = engine->info().name;
    std::vector<int> counts{0};
    for (int n = 1; always && n <= options.drafts; ++n) counts.push_back(n);
    if (!always) counts.push_back(-1);
    for (const Choice choice : {Choice::kGreedy, Choice::kDrawn}) {
      std::vector<Row>& table = tables[static_cast<size_t>(choice)];
      TRY(auto rows, measure(*engine, options, choice, counts));
      if (always) {
        table = std::move(rows);
      } else {  // beside its own row of none
        rows[1].tok_s *= table[0].tok_s / rows[0].tok_s;
        table.push_back(std::move(rows[1]));
      }
    }
  }
  if (options.json) {
    print_out("{}\n", Json::object({{"model", Json::string(name)},
                                    {"greedy", rows_json(tables[0])},
                                    {"drawn", rows_json(tables[1])}})
                          .dump());
    return kDone;
  }
  print_out("model    {}\n", name);
  print_text("greedy", tables[0]);
  print_text("drawn", tables[1]);
  return kDone;
}

}  // namespace godwit::cli
