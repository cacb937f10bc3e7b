// godwit eval: what a format costs, measured on a text.
//
//   perplexity   exp of the mean −log p(next token)
//   divergence   KL(reference ‖ model) of the next token's distribution, token by token
//
// The text is cut into windows; each starts from an empty context, and its second half is scored,
// as llama-perplexity does, so that figures compare.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/cpu.h"
#include "base/mapped_file.h"
#include "checkpoint/json.h"
#include "cli/bench.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "engine/conventions.h"
#include "kernels/context.h"
#include "model/plain_memory.h"
#include "model/workspace.h"

namespace godwit::cli {
namespace {

using checkpoint::Json;

constexpr int kPageTokens = 64;
constexpr int64_t kScoredRows = 32;  // rows of logits at a time: 248,320 floats each
constexpr int64_t kShortestText = 32;

// One model with the memory of one window.
class Scorer {
 public:
  static Result<std::unique_ptr<Scorer>> open(const std::string& path,
                                              const kernels::Context& context) {
    auto scorer = std::make_unique<Scorer>();
    TRY(scorer->files_, checkpoint::open_model_files(path));
    TRY(scorer->model_,
        model::Model::load(scorer->files_, context, {.vision = false, .drafting = false}));
    return scorer;
  }

  const checkpoint::ModelFiles& files() const { return files_; }
  int64_t vocabulary() const { return model_->config().text.vocab_size; }

  void start_window(int64_t length) {
    if (!workspace_)
      workspace_ = model_->make_workspace({.max_tokens = length,
                                           .max_logit_rows = kScoredRows,
                                           .max_context = length + kPageTokens});
    memory_ = std::make_unique<model::PlainMemory>(
        model_->cache_geometry(tensor::DType::kF16, kPageTokens), length);
  }

  // The next tokens of the window without logits, or with those of every token [n, vocabulary].
  void skip(std::span<const int32_t> ids) { run(ids, 0); }
  const std::vector<float>& score(std::span<const int32_t> ids) {
    logits_.resize(ids.size() * vocabulary());
    run(ids, static_cast<int64_t>(ids.size()));
    return logits_;
  }

 private:
  void run(std::span<const int32_t> ids, int64_t logit_rows) {
    run_ids(*model_, memory_->geometry(), memory_->view(), ids, logit_rows, *workspace_,
            logits_.data());
    memory_->advance(static_cast<int64_t>(ids.size()));
  }

  checkpoint::ModelFiles files_;
  std::unique_ptr<model::Model> model_;
  std::unique_ptr<model::Workspace> workspace_;
  std::unique_ptr<model::PlainMemory> memory_;
  std::vector<float> logits_;
};

// log Σ exp of a row.
double log_sum_exp(const float* logits, int64_t n) {
  const float largest = *std::max_element(logits, logits + n);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(double(logits[i]) - largest);
  return largest + std::log(sum);
}

// Calls visit(scored ids, first index in the text) for every piece of every window's second half;
// begin(length, ids of the first half) opens a window.
template <class Begin, class Visit>
void for_windows(const std::vector<int32_t>& ids, int64_t window, const Begin& begin,
                 const Visit& visit) {
  const auto n = static_cast<int64_t>(ids.size());
  window = std::min(window, n);
  ProgressBar progress("evaluating");
  for (int64_t first = 0; first + window <= n; first += window) {
    progress.show(first, n);
    const int64_t half = window / 2, end = first + window - 1;  // the last one has no next
    begin(window, std::span(ids).subspan(first, half));
    for (int64_t i = first + half; i < end; i += kScoredRows)
      visit(std::span(ids).subspan(i, std::min(kScoredRows, end - i)), i);
  }
}

struct Evaluation {
  ComputePool pool;
  kernels::Context context;
  std::unique_ptr<Scorer> model;
  std::vector<int32_t> ids;

  explicit Evaluation(int threads)
      : pool(threads > 0 ? threads : cpu_topology().performance_cores) {}
};

Result<std::unique_ptr<Evaluation>> open(const EvalOptions& options) {
  auto evaluation = std::make_unique<Evaluation>(options.threads);
  TRY(const Isa isa, isa_from_environment());
  evaluation->context = {&evaluation->pool, &kernels::kernel_table(isa)};
  std::string model = options.model;
  if (model.empty()) {
    TRY(model, demonstration_model());
  }
  TRY(const std::string text, read_file(options.text));
  TRY(evaluation->model, Scorer::open(model, evaluation->context));
  TRY(const auto tokenizer, engine::open_tokenizer(evaluation->model->files()));
  tokenizer->encode(text,
                    options.special ? text::SpecialTokens::kRecognise : text::SpecialTokens::kPlain,
                    evaluation->ids);
  const auto n = static_cast<int64_t>(evaluation->ids.size());
  if (n < kShortestText)
    return bad_input("{}: expected a text of {} tokens or more, found {}", options.text,
                     kShortestText, n);
  return evaluation;
}

Json number(double value) { return Json::number_literal(fmt::format("{:.6g}", value)); }

// ---- Perplexity

Result<int> perplexity(const EvalOptions& options) {
  TRY(const auto e, open(options));
  std::vector<double> losses;
  for_windows(
      e->ids, options.window,
      [&](int64_t length, std::span<const int32_t> skipped) {
        e->model->start_window(length);
        e->model->skip(skipped);
      },
      [&](std::span<const int32_t> ids, int64_t first) {
        const auto& logits = e->model->score(ids);
        const int64_t vocabulary = e->model->vocabulary();
        const size_t start = losses.size();
        losses.resize(start + ids.size());
        e->pool.parallel_for(static_cast<int64_t>(ids.size()), [&](int64_t i, int) {
          const float* row = logits.data() + i * vocabulary;
          losses[start + i] = log_sum_exp(row, vocabulary) - row[e->ids[first + i + 1]];
        });
      });
  const auto n = static_cast<double>(losses.size());
  const double mean = std::accumulate(losses.begin(), losses.end(), 0.0) / n;
  double squares = 0;
  for (const double loss : losses) squares += (loss - mean) * (loss - mean);
  const double result = std::exp(mean), error = result * std::sqrt(squares) / n;
  if (options.json) {
    print_out("{}\n", Json::object({{"perplexity", number(result)},
                                    {"standard_error", number(error)},
                                    {"tokens", Json::integer(int64_t(losses.size()))}})
                          .dump());
  } else {
    print_out("perplexity {:.4f} ± {:.4f} over {} tokens\n", result, error, losses.size());
  }
  return kDone;
}

// ---- Divergence

struct RowComparison {
  double divergence = 0;
  bool same_choice = false;
};

RowComparison compare_rows(const float* reference, const float* model, int64_t n) {
  const double a = log_sum_exp(reference, n), b = log_sum_exp(model, n);
  RowComparison result;
  for (int64_t i = 0; i < n; ++i) {
    const double log_p = reference[i] - a, log_q = model[i] - b;
    result.divergence += std::exp(log_p) * (log_p - log_q);
  }
  result.same_choice = std::max_element(reference, reference + n) - reference ==
                       std::max_element(model, model + n) - model;
  return result;
}

void print_divergence(std::vector<RowComparison> rows, const EvalOptions& options) {
  std::sort(rows.begin(), rows.end(),
            [](const auto& a, const auto& b) { return a.divergence < b.divergence; });
  const auto n = static_cast<int64_t>(rows.size());
  double mean = 0, same = 0;
  for (const auto& row : rows) {
    mean += row.divergence / double(n);
    same += row.same_choice ? 1.0 / double(n) : 0;
  }
  const auto quantile = [&](double q) { return rows[int64_t(q * double(n - 1))].divergence; };
  if (options.json) {
    print_out("{}\n", Json::object({{"mean", number(mean)},
                                    {"median", number(quantile(0.5))},
                                    {"p99", number(quantile(0.99))},
                                    {"largest", number(quantile(1))},
                                    {"same_choice", number(same)},
                                    {"tokens", Json::integer(n)}})
                          .dump());
  } else {
    print_out(
        "divergence over {} tokens: mean {:.6f}, median {:.6f}, 99 % {:.5f}, largest {:.4f}\n", n,
        mean, quantile(0.5), quantile(0.99), quantile(1));
    print_out("same likeliest token: {:.2f} %\n", 100 * same);
  }
}

Result<int> divergence(const EvalOptions& options) {
  TRY(const auto e, open(options));
  TRY(const auto reference, Scorer::open(options.reference, e->context));
  const int64_t vocabulary = e->model->vocabulary();
  if (reference->vocabulary() != vocabulary)
    return bad_input("--reference: expected a vocabulary of {}, found {}", vocabulary,
                     reference->vocabulary());
  std::vector<RowComparison> rows;
  for_windows(
      e->ids, options.window,
      [&](int64_t length, std::span<const int32_t> skipped) {
        for (Scorer* scorer : {e->model.get(), reference.get()}) {
          scorer->start_window(length);
          scorer->skip(skipped);
        }
      },
      [&](std::span<const int32_t> ids, int64_t) {
        const auto &found = e->model->score(ids), &expected = reference->score(ids);
        const size_t start = rows.size();
        rows.resize(start + ids.size());
        e->pool.parallel_for(static_cast<int64_t>(ids.size()), [&](int64_t i, int) {
          rows[start + i] = compare_rows(expected.data() + i * vocabulary,
                                         found.data() + i * vocabulary, vocabulary);
        });
      });
  print_divergence(std::move(rows), options);
  return kDone;
}

}  // namespace

int eval_perplexity_command(const EvalOptions& options) {
  const auto code = perplexity(options);
  return code ? *code : report(code.error());
}

int eval_divergence_command(const EvalOptions& options) {
  const auto code = divergence(options);
  return code ? *code : report(code.error());
}

}  // namespace godwit::cli
