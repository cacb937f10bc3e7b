// The binder's bookkeeping and the conversions between a stored tensor and what the structs of
// weights.h hold.
#include "model/binder.h"

#include <cmath>
#include <cstring>
#include <memory>
#include <utility>

#include "kernels/pack.h"
#include "tensor/blocks.h"

namespace godwit::model {
namespace {

using tensor::DType;
using tensor::Shape;
using tensor::TensorView;

// "a, b, c and 12 more"
template <class List>
std::string some_of(const List& items) {
  constexpr size_t kShown = 8;
  std::string text;
  size_t shown = 0;
  for (auto item = items.begin(); item != items.end() && shown < kShown; ++item)
    text += (shown++ ? ", " : "") + *item;
  if (items.size() > kShown) text += fmt::format(" and {} more", items.size() - kShown);
  return text;
}

// Rows [first, first + rows) of a tensor read as a matrix; without bytes where only headers are
// read.
TensorView rows_of(const TensorView& view, int64_t first, int64_t rows) {
  const size_t row_bytes = tensor::bytes_of(view.dtype, view.columns()).value();
  const std::byte* data = view.data ? view.data + first * row_bytes : nullptr;
  return {data, view.dtype, Shape{rows, view.columns()}};
}

Vector to_floats(const TensorView& view, VectorForm form) {
  Vector values(view.shape.elements());
  const size_t row_bytes = tensor::bytes_of(view.dtype, view.columns()).value();
  for (int64_t i = 0; i < view.rows(); ++i) {
    tensor::dequantize_row(view.dtype, view.data + i * row_bytes,
                           values.data() + i * view.columns(), view.columns());
  }
  for (float& value : values) {
    if (form == VectorForm::kZeroCentred) value += 1;
    if (form == VectorForm::kLogDecay) value = -std::exp(value);
  }
  return values;
}

// GGUF's two frames of the patch convolution side by side again: [rows, 3, p²] twice → [rows, 3, 2,
// p²].
std::vector<std::byte> join_frames(const TensorView& first, const TensorView& second,
                                   int64_t planes, int64_t values) {
  const size_t plane_bytes = tensor::bytes_of(first.dtype, values).value();
  std::vector<std::byte> joined(2 * planes * plane_bytes);
  for (int64_t i = 0; i < planes; ++i) {
    std::memcpy(joined.data() + 2 * i * plane_bytes, first.data + i * plane_bytes, plane_bytes);
    std::memcpy(joined.data() + (2 * i + 1) * plane_bytes, second.data + i * plane_bytes,
                plane_bytes);
  }
  return joined;
}

}  // namespace

Shape without_ones(const Shape& shape) {
  std::vector<int64_t> dims;
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] != 1) dims.push_back(shape[i]);
  }
  return Shape(std::span<const int64_t>(dims));
}

Result<Binder> Binder::open(const checkpoint::ModelFiles& files, const ModelConfig& config) {
  Binder binder;
  binder.files_ = &files;
  binder.path_ = files.path;
  binder.gguf_ = files.is_gguf;
  const auto translate = [&](std::string_view name) {
    return files.is_gguf ? translate_gguf_name(name, config.text) : strip_prefixes(name);
  };
  TRY_STATUS(binder.add_tensors(files.is_gguf ? *files.gguf : *files.tensors, translate));
  if (files.mmproj) TRY_STATUS(binder.add_tensors(*files.mmproj, translate));
  return binder;
}

Status Binder::add_tensors(const checkpoint::TensorSource& source,
                           const std::function<std::string(std::string_view)>& translate) {
  sources_.push_back(&source);
  for (const std::string& stored_name : source.names()) {
    if (stored_name.ends_with("weight_scale_inv")) {
      return bad_input(
          "{}: {}: FP8 weights with block scales are not supported; expected BF16, F16 or F32",
          path_, stored_name);
    }
    const std::string name = translate(stored_name);
    // An unknown name, or a second tensor of the same name, is kept where nobody will ask for it.
    const bool unknown = name.empty() || tensors_.contains(name);
    tensors_[unknown ? "?" + stored_name : name] = {stored_name, *source.find(stored_name)};
  }
  return {};
}

bool Binder::has_any(std::string_view prefix) const {
  const auto first = tensors_.lower_bound(prefix);
  return first != tensors_.end() && first->first.starts_with(prefix);
}

void Binder::ignore(std::string_view prefix) {
  for (auto it = tensors_.lower_bound(prefix);
       it != tensors_.end() && it->first.starts_with(prefix); ++it) {
    it->second.used = true;
  }
}

void Binder::note(const std::string& text) {
  plan_.note += (plan_.note.empty() ? "" : "; ") + text;
}

const TensorView* Binder::take(const std::string& name, const Shape& shape) {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    missing_.insert(name);
    return nullptr;
  }
  Stored& stored = found->second;
  const TensorView& view = stored.view;
  if (without_ones(view.shape) != without_ones(shape)) {
    mismatched_.insert(fmt::format("{}: expected {}, found {}", stored.stored_name,
                                   shape.to_string(), view.shape.to_string()));
    stored.used = true;
    return nullptr;
  }
  if (const tensor::DTypeInfo& info = tensor::dtype_info(view.dtype); !info.is_weight) {
    mismatched_.insert(
        fmt::format("{}: expected real numbers, found {}", stored.stored_name, info.name));
    stored.used = true;
    return nullptr;
  }
  if (!stored.used) {
    stored.used = true;
    plan_.*part_ += view.shape.elements();
    plan_.stored_bytes += view.bytes();
    ++plan_.tensors;
  }
  return &view;
}

void Binder::pack_later(const TensorView& view, const std::string& name, PackedMatrix& target) {
  pack_later(view, name, view, target,
             [view](const kernels::Context& context) { return PackedMatrix::pack(context, view); });
}

void Binder::pack_later(const TensorView& from, const std::string& name, const TensorView& shape,
                        PackedMatrix& target, Pack pack) {
  plan_.packed_bytes += kernels::packed_bytes(shape.dtype, shape.rows(), shape.columns());
  loads_.push_back({name, from, &target, shape.dtype, shape.rows(), shape.columns(),
                    name.find(".experts.") != std::string::npos,
                    [&target, pack = std::move(pack)](const kernels::Context& context) {
                      target = pack(context);
                    }});
}

void Binder::matrix(const std::string& name, int64_t rows, int64_t columns, PackedMatrix& target) {
  stacked(name, {rows, columns}, {{&target, rows}});
}

void Binder::stacked(const std::string& name, const Shape& shape, const std::vector<Part>& parts) {
  const TensorView* view = take(name, shape);
  if (!view) return;
  TensorView matrix =
      *view;  // with the dimensions of size 1 that we expect, not those that are stored
  matrix.shape = shape;
  int64_t first = 0;
  for (const Part& part : parts) {
    pack_later(rows_of(matrix, first, part.rows), fmt::format("{}#{}", name, first), *part.target);
    first += part.rows;
  }
  if (name.find(".experts.") != std::string::npos)
    plan_.expert_bytes += kernels::packed_bytes(view->dtype, matrix.rows(), matrix.columns());
  CHECK(first == matrix.rows());
}

void Binder::vector(const std::string& name, const Shape& shape, VectorForm form, Vector& target) {
  const TensorView* view = take(name, shape);
  if (!view) return;
  plan_.packed_bytes += view->shape.elements() * sizeof(float);
  const VectorForm change = gguf_ ? VectorForm::kPlain : form;
  loads_.push_back({name, *view, &target, DType::kF32, 1, view->shape.elements(), false,
                    [view = *view, change, &target](const kernels::Context&) {
                      target = to_floats(view, change);
                    }});
}

void Binder::mapped(const std::string& name, const Shape& shape, TensorView& target) {
  const TensorView* view = take(name, shape);
  if (view) target = *view;
}

void Binder::patch_embedding(const std::string& name, int64_t rows, int patch,
                             PackedMatrix& target) {
  const int64_t values = int64_t{patch} * patch;
  const std::string second_name = name + ".1";
  if (!has(second_name)) {
    const TensorView* view = take(name, {rows, 3, 2, patch, patch});
    if (view) pack_later({view->data, view->dtype, Shape{rows, 6 * values}}, name, target);
    return;
  }
  const TensorView* first = take(name, {rows, 3, patch, patch});
  const TensorView* second = take(second_name, {rows, 3, patch, patch});
  if (!first || !second) return;
  if (first->dtype != second->dtype || tensor::dtype_info(first->dtype).block_size != 1) {
    mismatched_.insert(fmt::format("{}: expected two frames of one plain type, found {} and {}",
                                   name, tensor::dtype_info(first->dtype).name,
                                   tensor::dtype_info(second->dtype).name));
    return;
  }
  const Shape shape{rows, 6 * values};
  pack_later(*first, name, {nullptr, first->dtype, shape}, target,
             [=, a = *first, b = *second](const kernels::Context& context) {
               const std::vector<std::byte> joined = join_frames(a, b, rows * 3, values);
               return PackedMatrix::pack(context, {joined.data(), a.dtype, shape});
             });
}

Result<WeightPlan> Binder::finish() {
  if (!missing_.empty() || !mismatched_.empty()) {
    std::string faults;
    if (!missing_.empty())
      faults = fmt::format("{} tensors are missing: {}", missing_.size(), some_of(missing_));
    if (!mismatched_.empty()) {
      faults += fmt::format("{}{} tensors do not fit: {}", faults.empty() ? "" : "; ",
                            mismatched_.size(), some_of(mismatched_));
    }
    return bad_input("{}: {}", path_, faults);
  }
  std::vector<std::string> extra;
  for (const auto& [name, stored] : tensors_) {
    if (!stored.used) extra.push_back(stored.stored_name);
  }
  if (!extra.empty())
    note(fmt::format("{} tensors are not part of the model: {}", extra.size(), some_of(extra)));
  plan_.parameters = plan_.text_parameters + plan_.vision_parameters + plan_.mtp_parameters;
  return plan_;
}

WeightPlan Binder::load(const kernels::Context& context, const LoadOptions& options) {
  const bool is_kept = !options.packed_folder.empty() && plan_.packed_bytes >= options.packed_least;
  const auto place = is_kept ? packed_place(options.packed_folder, *files_, context)
                             : Result<PackedPlace>(failed("no folder is given for them"));
  if (place && take_packed(context, *place, options)) return plan_;
  const Status written =
      place ? write_packed(context, *place, options) : tl::unexpected<Error>(place.error());
  const bool wants_disk = options.experts == LoadOptions::Experts::kOnDisk;
  if (is_kept && !written) note("packed weights are not kept: " + written.error().message);
  if (wants_disk && written && take_packed(context, *place, options)) {
    plan_.was_kept = false;
  } else if (wants_disk || !written) {
    load_all(context);
  }
  return plan_;
}

void Binder::load_all(const kernels::Context& context) {
  for (const Load& load : loads_) {
    load.run(context);
    for (const checkpoint::TensorSource* source : sources_) source->forget(load.from);
  }
}

bool Binder::take_packed(const kernels::Context& context, const PackedPlace& place,
                         const LoadOptions& options) {
  const auto file = PackedFile::open(place.path, place.fingerprint);
  if (!file) return false;
  const bool on_disk = options.experts == LoadOptions::Experts::kOnDisk;
  std::vector<const PackedEntry*> entries;
  for (const Load& load : loads_) {
    const bool is_vector = std::holds_alternative<Vector*>(load.target);
    const size_t bytes = is_vector ? load.columns * sizeof(float)
                                   : kernels::packed_bytes(load.dtype, load.rows, load.columns);
    const PackedEntry* entry = (*file)->find(load.name, load.dtype, load.rows, load.columns);
    if (!entry || entry->bytes != bytes) return false;
    entries.push_back(entry);
  }
  std::vector<PackedFile::Read> reads;
  for (size_t i = 0; i < loads_.size(); ++i) {
    const Load& load = loads_[i];
    if (auto* const* vector = std::get_if<Vector*>(&load.target)) {
      (*vector)->resize(load.columns);
      reads.push_back({entries[i], reinterpret_cast<std::byte*>((*vector)->data())});
      continue;
    }
    PackedMatrix& matrix = *std::get<PackedMatrix*>(load.target);
    if (on_disk && !load.is_expert) {  // what every token reads must not go for experts
      matrix = PackedMatrix::of(load.dtype, load.rows, load.columns, nullptr);
      reads.push_back({entries[i], matrix.data()});
      continue;
    }
    // Nobody writes the tiles of a matrix.
    auto* tiles = const_cast<std::byte*>((*file)->bytes(*entries[i]).data());
    matrix = PackedMatrix::of(load.dtype, load.rows, load.columns, {*file, tiles});
    if (!on_disk || !(*file)->is_synced()) reads.push_back({entries[i], nullptr});
  }
  if (!(*file)->read(context, reads)) return false;
  if (!on_disk) mapped_ = *file;
  plan_.was_kept = true;
  plan_.experts_on_disk = on_disk;
  return true;
}

// Packs everything into a file; it also stays in memory, unless experts are to stay on disk: then
// only one tensor at a time is there.
Status Binder::write_packed(const kernels::Context& context, const PackedPlace& place,
                            const LoadOptions& options) {
  const bool on_disk = options.experts == LoadOptions::Experts::kOnDisk;
  TRY_STATUS(make_packed_room(options.packed_folder, plan_.packed_bytes, options.packed_limit));
  TRY(auto file, PackedFileWriter::create(place.path, place.fingerprint));
  Status written;
  for (const Load& load : loads_) {
    load.run(context);
    for (const checkpoint::TensorSource* source : sources_) source->forget(load.from);
    std::span<const std::byte> bytes;
    if (auto* const* vector = std::get_if<Vector*>(&load.target)) {
      bytes = std::as_bytes(std::span(**vector));
    } else {
      const PackedMatrix& matrix = *std::get<PackedMatrix*>(load.target);
      bytes = {matrix.data(), matrix.bytes()};
    }
    if (written) written = file.add(context, load.name, load.dtype, load.rows, load.columns, bytes);
    if (!on_disk) continue;
    TRY_STATUS(written);
    if (auto* const* matrix = std::get_if<PackedMatrix*>(&load.target)) **matrix = {};
  }
  using Durable = PackedFileWriter::Durable;
  if (written) written = file.commit(on_disk ? Durable::kNow : Durable::kLater);
  if (!written) note("packed weights are not kept: " + written.error().message);
  return {};
}

}  // namespace godwit::model
