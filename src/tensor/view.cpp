#include "tensor/view.h"

#include <fmt/format.h>

namespace godwit::tensor {

std::string Shape::to_string() const {
  std::string text = "[";
  for (int i = 0; i < rank_; ++i) text += fmt::format("{}{}", i ? ", " : "", dims_[i]);
  return text + "]";
}

}  // namespace godwit::tensor
