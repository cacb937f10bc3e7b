// How much each column of a weight matrix matters: the mean square of what it is multiplied with
// while a text runs through the model. Quantisers weigh their errors by it.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "model/model.h"

namespace godwit::model {

class Importance {
 public:
  // Runs the ids in windows of `window` tokens, each from an empty context.
  static Importance measure(const Model& model, std::span<const int32_t> ids, int64_t window);

  // Of the tensor with this GGUF name: [columns], or [experts, columns]; empty if it was not run.
  // Experts that no token chose count all columns alike.
  std::vector<float> of_tensor(const std::string& gguf_name, const TextConfig& config) const;

 private:
  friend class ImportanceObserver;
  struct Sum {
    std::vector<double> squares;  // [columns]
    int64_t rows = 0;
  };
  std::vector<float> mean(const std::string& input) const;

  std::map<std::string, Sum, std::less<>> inputs_;  // by the name that observers see
};

}  // namespace godwit::model
