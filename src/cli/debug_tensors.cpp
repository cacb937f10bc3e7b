// godwit debug tensors: every observed tensor of a prompt, under the names of docs/model.md.
#include "base/compute_pool.h"
#include "base/cpu.h"
#include "checkpoint/model_folder.h"
#include "cli/session.h"
#include "kernels/context.h"
#include "model/tensor_dump.h"

namespace godwit::cli {
namespace {

Status debug_tensors(const DebugTensorsOptions& options) {
  std::string model = options.model;
  if (model.empty()) {
    TRY(model, demonstration_model());
  }
  TRY(const auto files, checkpoint::open_model_files(model, options.mmproj));
  TRY(const Isa isa, isa_from_environment());
  ComputePool pool(options.threads > 0 ? options.threads : cpu_topology().performance_cores);
  const kernels::Context context{&pool, &kernels::kernel_table(isa)};
  return model::dump_tensors_to_file(files, context, options.input, options.output,
                                     {.generate = options.generate});
}

}  // namespace

int debug_tensors_command(const DebugTensorsOptions& options) {
  const auto done = debug_tensors(options);
  return done ? kDone : report(done.error());
}

}  // namespace godwit::cli
