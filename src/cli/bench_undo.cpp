// godwit bench --undo: what drafting costs. n − 1 drafts are verified in one forward() of n rows;
// wrong ones are taken back by replaying the call's entries of the factor log
// (cache/sequence_memory.h): the second column has both, with all drafts wrong. A draft is a call
// of the drafting head, with logits of all tokens or of the first 65,536.
//
// Taking back costs a pass over the recurrent states from the log's base, which is 0 … 128
// positions behind: measured at a log of 64 (the last table). Rows and steps: the median,
// interleaved.
#include <algorithm>
#include <array>
#include <chrono>

#include "base/cpu.h"
#include "cache/page_pool.h"
#include "cache/sequence_memory.h"
#include "cache/window_memory.h"
#include "cli/bench.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "model/model.h"
#include "model/workspace.h"

namespace godwit::cli {
namespace {

using checkpoint::Json;
using Clock = std::chrono::steady_clock;

constexpr int kWindow = 64, kDraftWindow = 8, kMostRows = 5, kMostBack = 8;
constexpr int64_t kChunk = 512, kFewIds = 65536, kHeadWindow = 1024;

class UndoBench {
 public:
  UndoBench(const model::Model& model, tensor::DType kv_type, int64_t context, int window)
      : model_(model),
        window_(window),
        geometry_(model.cache_geometry(kv_type, 64)),
        pages_(cache::PagePool::create(geometry_.page_bytes(), 3 * (context / 64 + 8)).value()),
        blocks_(cache::block_floats(geometry_)),
        draft_geometry_(model.draft_cache_geometry(kv_type, 64)),
        logged_(geometry_, *pages_, blocks_, undo(kWindow, 0)),
        plain_(geometry_, *pages_, blocks_),
        drafted_(geometry_, *pages_, blocks_, undo(0, kMostRows - 1)),
        head_(draft_geometry_, kHeadWindow),
        workspace_(model.make_workspace({.max_tokens = std::max(kChunk, context),
                                         .max_logit_rows = kMostRows,
                                         .max_context = context + 512})),
        logits_(size_t{kMostRows} * model.config().text.vocab_size),
        hidden_(model.config().text.hidden_size, 0.5f),
        next_(hidden_.size()) {
    for (cache::SequenceMemory* memory : {&logged_, &plain_, &drafted_})
      if (context > 0) run(*memory, context, 1);
  }

  // Seconds of a forward() over so many rows, whose logits are all wanted.
  double rows(int count) {
    const double seconds = run(logged_, count, count);
    logged_.take_back(count);
    return seconds;
  }
  // Seconds of so many rows, all drafts but the first, and of taking the drafts back.
  double drafts(int count) {
    const auto start = Clock::now();
    run(drafted_, count, count, count - 1);
    drafted_.take_back(count - 1);
    return std::chrono::duration<double>(Clock::now() - start).count();
  }
  // Seconds of the drafting head over one row, with logits of the first ids.
  double draft(int64_t ids) {
    const auto p = static_cast<int32_t>(drafted_.length());
    const int32_t id = static_cast<int32_t>(p * int64_t{7919} % ids), row = 0;
    const model::Position position{p, p, p};
    const auto start = Clock::now();
    const model::BatchSequence sequence{0, 1, head_.view(1)};
    const int64_t H = model_.config().text.hidden_size;
    model_.draft({.ids = {&id, 1},
                  .positions = {&position, 1},
                  .sequences = {&sequence, 1},
                  .geometry = &draft_geometry_,
                  .logit_rows = {&row, 1}},
                 {hidden_.data(), 1, H}, *workspace_,
                 {.logits = {logits_.data(), 1, ids, ids}, .hidden = {next_.data(), 1, H, H}});
    head_.advance(1);
    return std::chrono::duration<double>(Clock::now() - start).count();
  }
  double step_without_log() { return run(plain_, 1, 1); }
  double step() { return run(logged_, 1, 1); }
  double take_back(int positions) {
    while (logged_.undoable() != window_) step();
    const auto start = Clock::now();
    logged_.take_back(positions);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    for (int i = 0; i < positions; ++i) step();
    return seconds;
  }

 private:
  cache::Undo undo(int window, int drafts) const {
    return {window,
            [&model = model_](const float* factors, int64_t positions, const float* from,
                              float* state) { model.replay(factors, positions, from, state); },
            drafts};
  }

  double run(cache::SequenceMemory& memory, int64_t count, int64_t logit_rows, int64_t drafts = 0) {
    CHECK(memory.reserve(count));
    const auto ids = made_up_ids(memory.length(), count, model_.config().text.vocab_size);
    const auto start = Clock::now();
    run_ids(model_, geometry_, memory.view(count, drafts), ids, logit_rows, *workspace_,
            logits_.data());
    memory.advance(count);
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  const model::Model& model_;
  const int window_;
  const cache::CacheGeometry geometry_;
  std::unique_ptr<cache::PagePool> pages_;
  cache::BlockPool blocks_;
  const cache::CacheGeometry draft_geometry_;
  cache::SequenceMemory logged_, plain_, drafted_;
  cache::WindowMemory head_;
  std::unique_ptr<model::Workspace> workspace_;
  std::vector<float> logits_, hidden_, next_;
};

struct Costs {
  double plain = 0;                                        // a step without a log
  std::array<double, kMostRows + 1> rows{}, wrong{};       // [1]: a step; with drafts taken back
  double draft_all = 0, draft_few = 0;                     // 0: there is no drafting head
  std::array<double, kMostBack + 1> back{}, back_short{};  // with a window of 64, of 8
};

// `vocabulary`: rows of the drafting head's logits; 0: there is none.
Costs measure(UndoBench& bench, UndoBench& drafts, int repeats, int64_t vocabulary) {
  std::vector<double> plain, draft_all, draft_few;
  std::array<std::vector<double>, kMostRows + 1> rows, wrong;
  std::array<std::vector<double>, kMostBack + 1> back, back_short;
  for (int i = 0; i < 8; ++i) bench.step(), bench.step_without_log();  // warm-up
  for (int repeat = 0; repeat < repeats; ++repeat) {
    plain.push_back(bench.step_without_log());
    rows[1].push_back(bench.step());
    for (int n = 2; n <= kMostRows; ++n) {
      rows[n].push_back(bench.rows(n));
      wrong[n].push_back(bench.drafts(n));
    }
    if (vocabulary == 0) continue;
    draft_all.push_back(bench.draft(vocabulary));
    draft_few.push_back(bench.draft(std::min(vocabulary, kFewIds)));
  }
  for (int repeat = 0; repeat < repeats; ++repeat)
    for (int n = 1; n <= kMostBack; ++n) {
      back[n].push_back(bench.take_back(n));
      back_short[n].push_back(drafts.take_back(n));
    }
  Costs costs;
  costs.plain = median(plain);
  for (int n = 1; n <= kMostRows; ++n) costs.rows[n] = median(rows[n]);
  for (int n = 2; n <= kMostRows; ++n) costs.wrong[n] = median(wrong[n]);
  if (vocabulary > 0) costs.draft_all = median(draft_all), costs.draft_few = median(draft_few);
  for (int n = 1; n <= kMostBack; ++n) {
    costs.back[n] = median(back[n]);
    costs.back_short[n] = median(back_short[n]);
  }
  return costs;
}

void print_text(const std::string& model, int64_t context, const Costs& costs) {
  const double step = costs.rows[1];
  print_out(
      "model    {}, after {} tokens\n\nrows in one forward()      ms   of a step     drafts taken "
      "back:  ms   of a step\n",
      model, context);
  print_out("  1, nothing logged   {:>7.1f}      {:>5.2f}\n", 1e3 * costs.plain,
            costs.plain / step);
  print_out("  1                   {:>7.1f}      {:>5.2f}\n", 1e3 * step, 1.0);
  for (int n = 2; n <= kMostRows; ++n)
    print_out(
        "  {}                   {:>7.1f}      {:>5.2f}               {:>7.1f}        {:>5.2f}\n", n,
        1e3 * costs.rows[n], costs.rows[n] / step, 1e3 * costs.wrong[n], costs.wrong[n] / step);
  if (costs.draft_all > 0) {
    print_out("\na draft                    ms   of a step\n");
    print_out("  of all tokens       {:>7.2f}      {:>5.2f}\n", 1e3 * costs.draft_all,
              costs.draft_all / step);
    print_out("  of {:<6}           {:>7.2f}      {:>5.2f}\n", kFewIds, 1e3 * costs.draft_few,
              costs.draft_few / step);
  }
  print_out("\npositions taken back       ms   of a step     window of 8:  ms   of a step\n");
  for (int n = 1; n <= kMostBack; ++n)
    print_out("  {}                   {:>7.2f}       {:>5.2f}          {:>7.2f}       {:>5.2f}\n",
              n, 1e3 * costs.back[n], costs.back[n] / step, 1e3 * costs.back_short[n],
              costs.back_short[n] / step);
}

void print_json(const std::string& model, int64_t context, const Costs& costs) {
  Json rows = Json::array(), back = Json::array();
  for (int n = 1; n <= kMostRows; ++n)
    rows.items().push_back(Json::object({{"rows", Json::integer(n)},
                                         {"ms", json_number(1e3 * costs.rows[n])},
                                         {"ms_taken_back", json_number(1e3 * costs.wrong[n])},
                                         {"of_step", json_number(costs.rows[n] / costs.rows[1])}}));
  for (int n = 1; n <= kMostBack; ++n)
    back.items().push_back(Json::object({{"positions", Json::integer(n)},
                                         {"ms", json_number(1e3 * costs.back[n])},
                                         {"ms_window_8", json_number(1e3 * costs.back_short[n])},
                                         {"of_step", json_number(costs.back[n] / costs.rows[1])}}));
  print_out("{}\n", Json::object({{"model", Json::string(model)},
                                  {"context", Json::integer(context)},
                                  {"step_without_log_ms", json_number(1e3 * costs.plain)},
                                  {"verify", std::move(rows)},
                                  {"draft_ms", json_number(1e3 * costs.draft_all)},
                                  {"draft_of_65536_ms", json_number(1e3 * costs.draft_few)},
                                  {"take_back", std::move(back)}})
                        .dump());
}

}  // namespace

Result<int> bench_undo(const BenchOptions& options, const std::string& path) {
  TRY(const auto files, checkpoint::open_model_files(path, options.model.mmproj));
  TRY(const auto config, model::read_config(files));
  const int64_t context = options.contexts.empty() ? 0 : options.contexts.front();
  if (context < 0 || context + 1024 > config.text.max_context)
    return bad_input("-d: expected 0 … {}, found {}", config.text.max_context - 1024, context);
  TRY(const Isa isa, isa_from_environment());
  ComputePool pool(options.model.threads > 0 ? options.model.threads
                                             : cpu_topology().performance_cores);
  TRY(const auto model,
      model::Model::load(files, {&pool, &kernels::kernel_table(isa)}, {.vision = false}));
  const auto kv_type = kv_type_of(options.model.kv_type);
  UndoBench bench(*model, kv_type, context, kWindow),
      drafts(*model, kv_type, context, kDraftWindow);
  const Costs costs = measure(bench, drafts, std::max(10, options.repeats),
                              model->has_drafting() ? config.text.vocab_size / 16 * 16 : 0);
  options.json ? print_json(config.name, context, costs) : print_text(config.name, context, costs);
  return kDone;
}

}  // namespace godwit::cli
