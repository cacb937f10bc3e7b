// Observer: sees named tensors as they are computed ("layers.3.mixer"). Names: docs/model.md, as in
// the goldens.
#pragma once

#include <string_view>

#include "tensor/view.h"

namespace godwit::model {

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void observe(std::string_view name, tensor::ConstMatrixView view) = 0;
};

}  // namespace godwit::model
