#include "base/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "base/check.h"

namespace godwit {
namespace {

int64_t clock_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Names are ours (literals, "layers.3"), but JSON stays JSON whatever they hold.
std::string json_text(const char* name) {
  std::string text;
  for (const char* c = name; *c; ++c)
    text += static_cast<unsigned char>(*c) < 0x20 || *c == '"' || *c == '\\' ? '_' : *c;
  return text;
}

}  // namespace

Trace::Trace() : start_(clock_ns()) {}

int64_t Trace::now() const { return clock_ns() - start_; }

void Trace::open(const char* name) {
  events_.push_back({.name = name, .parent = current_, .begin = 0});
  current_ = static_cast<int>(events_.size()) - 1;
  events_.back().begin = now();
}

void Trace::close() {
  const int64_t end = now();
  CHECK(current_ >= 0);
  events_[current_].end = end;
  current_ = events_[current_].parent;
}

void Trace::add_work(int64_t products, int64_t bytes) {
  if (current_ < 0) return;
  events_[current_].products += products;
  events_[current_].bytes += bytes;
}

void Trace::add_wait(int64_t nanoseconds) {
  if (current_ >= 0) events_[current_].waited += nanoseconds;
}

void Trace::append(const Trace& other) {
  const auto first = static_cast<int>(events_.size());
  for (Event event : other.events_) {
    if (event.parent >= 0) event.parent += first;
    event.begin += other.start_ - start_;
    event.end += other.start_ - start_;
    events_.push_back(event);
  }
}

std::vector<Trace::Row> Trace::table() const {
  std::vector<bool> has_inner(events_.size());
  for (const Event& event : events_)
    if (event.parent >= 0) has_inner[event.parent] = true;
  std::map<std::string, Row> rows;
  for (size_t i = 0; i < events_.size(); ++i) {
    const Event& event = events_[i];
    if (has_inner[i]) continue;
    Row& row = rows[event.name];
    row.name = event.name;
    ++row.calls;
    row.seconds += static_cast<double>(event.end - event.begin) / 1e9;
    row.waited += static_cast<double>(event.waited) / 1e9;
    row.products += event.products;
    row.bytes += event.bytes;
  }
  std::vector<Row> sorted;
  for (auto& [name, row] : rows) sorted.push_back(std::move(row));
  std::sort(sorted.begin(), sorted.end(),
            [](const Row& a, const Row& b) { return a.seconds > b.seconds; });
  return sorted;
}

std::string Trace::chrome_json() const {
  std::string json = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[";
  const char* separator = "\n";
  for (const Event& event : events_) {
    json += fmt::format(
        "{}{{\"name\":\"{}\",\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":{:.3f},\"dur\":{:.3f},"
        "\"args\":{{\"products\":{},\"bytes\":{},\"waited_us\":{:.3f}}}}}",
        separator, json_text(event.name), event.begin / 1e3, (event.end - event.begin) / 1e3,
        event.products, event.bytes, event.waited / 1e3);
    separator = ",\n";
  }
  return json + "\n]}\n";
}

}  // namespace godwit
