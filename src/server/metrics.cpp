// prometheus-cpp's only user.
#include "server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <sstream>

namespace godwit::server {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;
using prometheus::Labels;

Buckets seconds_buckets() {
  return {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300};
}

using enum EngineNumber::Kind;
constexpr const char* kLookups = "godwit_prefix_lookups_total";
constexpr const char* kResult = "result";
constexpr const char* kDrafted = "godwit_draft_tokens_total";
constexpr const char* kAccepted = "godwit_draft_accepted_tokens_total";
constexpr const char* kPosition = "position";

#define GODWIT_STAT(field) \
#field, [](const engine::EngineStats& s) { return static_cast<double>(s.field); }
#define GODWIT_DRAFTS(field, position) \
#field "_" #position,                \
      [](const engine::EngineStats& s) { return static_cast<double>(s.field[position - 1]); }
static_assert(engine::kMaxDrafts == 4, "a row for each position");
constexpr EngineNumber kNumbers[] = {
    {GODWIT_STAT(requests), "godwit_engine_requests_total", "Requests taken by the engine",
     kCounter},
    {GODWIT_STAT(refused), "godwit_engine_refused_total",
     "Requests refused because the queue was full", kCounter},
    {GODWIT_STAT(running), "godwit_requests_running", "Requests being prefilled or decoded",
     kGauge},
    {GODWIT_STAT(waiting), "godwit_requests_waiting", "Requests in the queue", kGauge},
    {GODWIT_STAT(preempted), "godwit_preempted_total",
     "Requests that gave their pages up for others", kCounter},
    {GODWIT_STAT(prompt_tokens), "godwit_prompt_tokens_total", "Tokens of prompts", kCounter},
    {GODWIT_STAT(reused_tokens), "godwit_reused_tokens_total",
     "Tokens of prompts taken from the prefix cache", kCounter},
    {GODWIT_STAT(reuse_whole), kLookups, "Prompts by what their lookup in the prefix cache came to",
     kCounter, kResult, "whole"},
    {GODWIT_STAT(reuse_unknown), kLookups, "", kCounter, kResult, "unknown"},
    {GODWIT_STAT(reuse_diverged), kLookups, "", kCounter, kResult, "diverged"},
    {GODWIT_STAT(reuse_no_snapshot), kLookups, "", kCounter, kResult, "no_snapshot"},
    {GODWIT_STAT(undone_positions), "godwit_undone_positions_total",
     "Positions of running sequences taken back", kCounter},
    {GODWIT_STAT(generated_tokens), "godwit_generated_tokens_total", "Tokens of answers", kCounter},
    {GODWIT_DRAFTS(drafted, 1), kDrafted, "Tokens that the drafting head proposed, by position",
     kCounter, kPosition, "1"},
    {GODWIT_DRAFTS(drafted, 2), kDrafted, "", kCounter, kPosition, "2"},
    {GODWIT_DRAFTS(drafted, 3), kDrafted, "", kCounter, kPosition, "3"},
    {GODWIT_DRAFTS(drafted, 4), kDrafted, "", kCounter, kPosition, "4"},
    {GODWIT_DRAFTS(drafts_accepted, 1), kAccepted, "Those of them that were right", kCounter,
     kPosition, "1"},
    {GODWIT_DRAFTS(drafts_accepted, 2), kAccepted, "", kCounter, kPosition, "2"},
    {GODWIT_DRAFTS(drafts_accepted, 3), kAccepted, "", kCounter, kPosition, "3"},
    {GODWIT_DRAFTS(drafts_accepted, 4), kAccepted, "", kCounter, kPosition, "4"},
    {GODWIT_STAT(prefill_seconds), "godwit_prefill_seconds_total", "Time spent computing prompts",
     kCounter},
    {GODWIT_STAT(decode_seconds), "godwit_decode_seconds_total", "Time spent generating answers",
     kCounter},
    {GODWIT_STAT(pages_total), "godwit_cache_pages", "Pages of the cache", kGauge},
    {GODWIT_STAT(pages_used), "godwit_cache_pages_used", "Pages of the cache in use", kGauge},
    {GODWIT_STAT(cache_bytes), "godwit_cache_bytes", "Bytes of those pages", kGauge},
    {GODWIT_STAT(cache_bytes_used), "godwit_cache_bytes_used", "Bytes of those in use", kGauge},
    {GODWIT_STAT(snapshots), "godwit_cache_snapshots", "Snapshots of the recurrent state", kGauge},
    {GODWIT_STAT(snapshot_bytes), "godwit_cache_snapshot_bytes", "Bytes of those snapshots",
     kGauge},
    {GODWIT_STAT(cache_disk_bytes), "godwit_cache_disk_bytes",
     "Bytes of the folder that keeps conversations, which models share", kGauge},
    {GODWIT_STAT(decoded_bytes), "godwit_decoded_picture_bytes",
     "Bytes of decoded pictures and clips that wait to be encoded", kGauge},
    {GODWIT_STAT(pictures_encoded), "godwit_pictures_encoded_total",
     "Pictures and clips through the vision tower", kCounter},
    {GODWIT_STAT(pictures_reused), "godwit_pictures_reused_total",
     "Pictures and clips found in the cache", kCounter},
};
#undef GODWIT_STAT
#undef GODWIT_DRAFTS

std::string_view finish_word(engine::FinishReason reason) {
  switch (reason) {
    case engine::FinishReason::kStop:
      return "stop";
    case engine::FinishReason::kStopString:
      return "stop_string";
    case engine::FinishReason::kLength:
      return "length";
    case engine::FinishReason::kToolCalls:
      return "tool_calls";
    case engine::FinishReason::kCancelled:
      return "cancelled";
    case engine::FinishReason::kError:
      return "error";
  }
  return "other";
}

}  // namespace

std::span<const EngineNumber> engine_numbers() { return kNumbers; }

struct Metrics::Families {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& requests =
      counters("godwit_http_requests_total", "HTTP requests by route and status");
  prometheus::Family<prometheus::Histogram>& latency =
      histograms("godwit_http_request_seconds",
                 "From a request's first byte to the last of its answer, by route");
  prometheus::Family<prometheus::Counter>& answers =
      counters("godwit_answers_total", "Answers by the reason of their end");
  prometheus::Family<prometheus::Histogram>& first_token =
      histograms("godwit_first_token_seconds", "From a request's arrival to its first token");
  prometheus::Family<prometheus::Histogram>& token_seconds =
      histograms("godwit_token_seconds", "Mean time between the tokens of an answer");

 private:
  prometheus::Family<prometheus::Counter>& counters(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
  }
  prometheus::Family<prometheus::Histogram>& histograms(const char* name, const char* help) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
  }
};

Metrics::Metrics() : families_(std::make_unique<Families>()) {}
Metrics::~Metrics() = default;

void Metrics::request_done(const RequestReport& report) {
  families_->requests.Add({{"route", report.route}, {"status", std::to_string(report.status)}})
      .Increment();
  families_->latency.Add({{"route", report.route}}, seconds_buckets()).Observe(report.seconds);
}

void Metrics::answer_cancelled(const std::string& model) {
  families_->answers.Add({{"model", model}, {"finish", "cancelled"}}).Increment();
}

void Metrics::answer_done(const std::string& model, const engine::Event& last) {
  const bool failed = last.kind == engine::Event::Kind::kError;
  const std::string_view word = finish_word(failed ? engine::FinishReason::kError : last.finish);
  families_->answers.Add({{"model", model}, {"finish", std::string(word)}}).Increment();
  if (failed) return;
  const Labels labels{{"model", model}};
  if (last.usage.completion_tokens > 0)  // scores have none
    families_->first_token.Add(labels, seconds_buckets()).Observe(last.timings.first_token);
  if (const int tokens = last.usage.completion_tokens; tokens > 1)
    families_->token_seconds.Add(labels, seconds_buckets())
        .Observe(last.timings.decode / (tokens - 1));
}

std::string Metrics::text(const std::vector<ModelSet::State>& models) {
  std::vector<prometheus::MetricFamily> all = families_->registry.Collect();
  for (const EngineNumber& number : kNumbers) {
    if (all.empty() || all.back().name != number.name)
      all.push_back({number.name,
                     number.help,
                     number.kind == kCounter ? prometheus::MetricType::Counter
                                             : prometheus::MetricType::Gauge,
                     {}});
    for (const auto& state : models) {
      prometheus::ClientMetric metric;
      metric.label.push_back({"model", state.name});
      if (number.label) metric.label.push_back({number.label, number.label_value});
      const double now = number.of(state.stats);
      (number.kind == kCounter ? metric.counter.value : metric.gauge.value) = now;
      all.back().metric.push_back(std::move(metric));
    }
  }
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, all);
  return std::move(out).str();
}

}  // namespace godwit::server
