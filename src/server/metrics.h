// Metrics: what /metrics tells in Prometheus' text form. Any thread.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "server/model_set.h"
#include "server/server.h"

namespace godwit::server {

// A number that the engine counts itself, told as it stands when asked.
struct EngineNumber {
  enum class Kind { kCounter, kGauge };
  const char* field;  // of EngineStats
  double (*of)(const engine::EngineStats& stats);
  const char *name, *help;
  Kind kind;
  // Rows of one name follow each other, each with another value of this label.
  const char *label = nullptr, *label_value = nullptr;
};
std::span<const EngineNumber> engine_numbers();

class Metrics {
 public:
  Metrics();
  ~Metrics();

  void request_done(const RequestReport& report);
  void answer_done(const std::string& model, const engine::Event& last);  // kDone or kError
  void answer_cancelled(const std::string& model);  // nobody waited for its last event
  std::string text(const std::vector<ModelSet::State>& models);

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace godwit::server
