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
  // Also the inputs of the layers' products: "layers.3.mixer.input" (of the projections),
  // "layers.3.mixer.inner" (of the output projection), "layers.3.mlp.input", "layers.3.mlp.inner",
  // and with "shared" or "experts.5" in place of "mlp".
  virtual bool wants_inputs() const { return false; }
};

}  // namespace godwit::model
