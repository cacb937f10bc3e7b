#include "model/importance.h"

#include <algorithm>
#include <charconv>

#include "model/plain_memory.h"
#include "model/workspace.h"

namespace godwit::model {

class ImportanceObserver : public Observer {
 public:
  explicit ImportanceObserver(Importance& importance) : importance_(importance) {}
  bool wants_inputs() const override { return true; }
  void observe(std::string_view name, tensor::ConstMatrixView view) override {
    if (!name.ends_with(".input") && !name.ends_with(".inner") && name != "norm") return;
    Importance::Sum& sum = importance_.inputs_[std::string(name)];
    sum.squares.resize(view.columns);
    sum.rows += view.rows;
    for (int64_t i = 0; i < view.rows; ++i) {
      const float* row = view.row(i);
      for (int64_t j = 0; j < view.columns; ++j) sum.squares[j] += double(row[j]) * row[j];
    }
  }

 private:
  Importance& importance_;
};

namespace {

constexpr int kPageTokens = 64;

// The inputs of the products of a layer, by what follows "blk.N." in GGUF.
struct Input {
  const char* tensor;
  const char* name;
  bool experts = false;
};
constexpr Input kInputs[] = {
    {"attn_q.weight", "mixer.input"},
    {"attn_k.weight", "mixer.input"},
    {"attn_v.weight", "mixer.input"},
    {"attn_qkv.weight", "mixer.input"},
    {"attn_gate.weight", "mixer.input"},
    {"ssm_alpha.weight", "mixer.input"},
    {"ssm_beta.weight", "mixer.input"},
    {"attn_output.weight", "mixer.inner"},
    {"ssm_out.weight", "mixer.inner"},
    {"ffn_gate.weight", "mlp.input"},
    {"ffn_up.weight", "mlp.input"},
    {"ffn_down.weight", "mlp.inner"},
    {"ffn_gate_shexp.weight", "shared.input"},
    {"ffn_up_shexp.weight", "shared.input"},
    {"ffn_down_shexp.weight", "shared.inner"},
    {"ffn_gate_exps.weight", "input", true},
    {"ffn_up_exps.weight", "input", true},
    {"ffn_down_exps.weight", "inner", true},
};

}  // namespace

Importance Importance::measure(const Model& model, std::span<const int32_t> ids, int64_t window) {
  Importance importance;
  ImportanceObserver observer(importance);
  const auto workspace = model.make_workspace(
      {.max_tokens = window, .max_logit_rows = 1, .max_context = window + kPageTokens});
  std::vector<Position> positions(window);
  for (int64_t i = 0; i < window; ++i) {
    const auto p = static_cast<int32_t>(i);
    positions[i] = {p, p, p};
  }
  for (size_t first = 0; first < ids.size(); first += window) {
    const size_t count = std::min<size_t>(window, ids.size() - first);
    const PlainMemory memory(model.cache_geometry(tensor::DType::kF32, kPageTokens), window);
    const BatchSequence sequence{0, static_cast<int64_t>(count), memory.view()};
    model.forward({.ids = ids.subspan(first, count),
                   .positions = std::span(positions).first(count),
                   .sequences = {&sequence, 1},
                   .geometry = &memory.geometry()},
                  *workspace, {}, &observer);
  }
  return importance;
}

std::vector<float> Importance::mean(const std::string& input) const {
  const auto found = inputs_.find(input);
  if (found == inputs_.end()) return {};
  std::vector<float> mean;
  for (const double square : found->second.squares)
    mean.push_back(static_cast<float>(square / double(found->second.rows)));
  return mean;
}

std::vector<float> Importance::of_tensor(const std::string& gguf_name,
                                         const TextConfig& config) const {
  if (gguf_name == "output.weight" || gguf_name == "token_embd.weight") return mean("norm");
  const size_t dot = gguf_name.find('.', 4);
  int block = -1;
  if (!gguf_name.starts_with("blk.") || dot == std::string::npos) return {};
  std::from_chars(gguf_name.data() + 4, gguf_name.data() + dot, block);
  if (block < 0 || block >= config.num_layers) return {};
  for (const Input& input : kInputs) {
    if (gguf_name.substr(dot + 1) != input.tensor) continue;
    if (!input.experts) return mean(fmt::format("layers.{}.{}", block, input.name));
    std::vector<float> all;
    const int64_t columns =
        std::string_view(input.name) == "inner" ? config.expert_intermediate : config.hidden_size;
    for (int e = 0; e < config.experts; ++e) {
      std::vector<float> one = mean(fmt::format("layers.{}.experts.{}.{}", block, e, input.name));
      if (one.empty()) one.assign(columns, 1.0f);
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  }
  return {};
}

}  // namespace godwit::model
