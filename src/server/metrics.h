// Metrics: what /metrics tells in Prometheus' text form. Any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "server/model_set.h"
#include "server/server.h"

namespace godwit::server {

class Metrics {
 public:
  Metrics();
  ~Metrics();

  void request_done(const RequestReport& report);
  void answer_done(const std::string& model, const engine::Event& done);  // kDone
  std::string text(const std::vector<ModelSet::State>& models);

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace godwit::server
