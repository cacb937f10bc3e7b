// Reading the prompt and its pictures, then: vision → prompt, call by call → drafting head over it
// → greedy tokens → drafts.
#include "model/tensor_dump.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>

#include "model/binder.h"
#include "model/plain_memory.h"
#include "model/workspace.h"

namespace godwit::model {
namespace {

using tensor::ConstMatrixView;
using tensor::DType;
using tensor::MatrixView;
using tensor::TensorView;

constexpr int64_t kMaxRows = 1024;  // of one forward(): longer calls are cut
constexpr int64_t kAllLogitsUpTo =
    40;  // tokens of a prompt that is recorded with all its logits, keys and values
constexpr int64_t kLastLogits = 4;  // of longer ones
constexpr int kDrafts = 3;

// ---- Input

// The pictures, or the clips, of a prompt.
struct Media {
  std::vector<float> pixels;  // [patches, patch_values]
  int64_t patches = 0;
  std::vector<VisionGrid> grids;
  int32_t pad = -1;  // the token that stands for its rows
};

struct Prompt {
  std::vector<int32_t> ids;
  std::vector<int64_t> segments;
  std::vector<Position> positions;
  int32_t next_position = 0;
  Media images, videos;
  int64_t tokens() const { return static_cast<int64_t>(ids.size()); }
};

Result<std::vector<int64_t>> read_integers(const checkpoint::TensorSource& input,
                                           std::string_view name) {
  const std::optional<TensorView> view = input.find(name);
  if (!view) return bad_input("{}: {} is missing", input.description(), name);
  std::vector<int64_t> values(view->shape.elements());
  if (view->dtype == DType::kI64) {
    std::memcpy(values.data(), view->data, values.size() * sizeof(int64_t));
  } else if (view->dtype == DType::kI32) {
    for (size_t i = 0; i < values.size(); ++i) {
      int32_t value;
      std::memcpy(&value, view->data + i * sizeof value, sizeof value);
      values[i] = value;
    }
  } else {
    return bad_input("{}: {}: expected I64 or I32, found {}", input.description(), name,
                     tensor::dtype_info(view->dtype).name);
  }
  return values;
}

// Dimensions of 1 are not compared: one prompt may come as a batch of one.
Status check_shape(const checkpoint::TensorSource& input, std::string_view name,
                   const tensor::Shape& expected) {
  const tensor::Shape found = input.find(name)->shape;
  if (without_ones(found) == without_ones(expected)) return {};
  return bad_input("{}: {}: expected {}, found {}", input.description(), name, expected.to_string(),
                   found.to_string());
}

Result<Media> read_media(const checkpoint::TensorSource& input, const std::string& pixels_name,
                         const std::string& grid_name, const VisionConfig& config, int32_t pad) {
  Media media{.pad = pad};
  const std::optional<TensorView> pixels = input.find(pixels_name);
  if (!pixels && input.find(grid_name))
    return bad_input("{}: {}: expected {} with it, found none", input.description(), grid_name,
                     pixels_name);
  if (!pixels) return media;
  if (pixels->dtype != DType::kF32 || pixels->shape.rank() != 2 ||
      pixels->columns() != config.patch_values()) {
    return bad_input("{}: {}: expected F32 [patches, {}], found {} {}", input.description(),
                     pixels_name, config.patch_values(), tensor::dtype_info(pixels->dtype).name,
                     pixels->shape.to_string());
  }
  TRY(const std::vector<int64_t> sizes, read_integers(input, grid_name));
  TRY_STATUS(check_shape(input, grid_name, {static_cast<int64_t>(sizes.size() / 3), 3}));
  int64_t patches = 0;
  for (size_t i = 0; i + 3 <= sizes.size(); i += 3) {
    const int64_t t = sizes[i], h = sizes[i + 1], w = sizes[i + 2], merge = config.merge_size,
                  limit = 1 << 20;
    if (t < 1 || t > limit || h < 1 || h > limit || w < 1 || w > limit || h % merge || w % merge) {
      return bad_input(
          "{}: {}: expected positive sizes, height and width multiples of {}, found {} {} {}",
          input.description(), grid_name, merge, t, h, w);
    }
    media.grids.push_back({int32_t(t), int32_t(h), int32_t(w)});
    patches += t * h * w;
  }
  if (patches != pixels->rows()) {
    return bad_input("{}: {}: expected grids of {} patches in all, found {}", input.description(),
                     grid_name, pixels->rows(), patches);
  }
  media.patches = patches;
  media.pixels.resize(pixels->shape.elements());
  std::memcpy(media.pixels.data(), pixels->data,
              pixels->bytes());  // files need not align their data
  return media;
}

// Grids (1, h, w) of the runs of pads, in the prompt's order.
std::vector<VisionGrid> runs_of(const Prompt& prompt, int merge) {
  std::vector<VisionGrid> runs;
  size_t next_image = 0, next_video = 0;
  int32_t slice = 0;
  for (size_t i = 0; i < prompt.ids.size();) {
    const VisionGrid* grid = nullptr;
    if (prompt.ids[i] == prompt.images.pad && next_image < prompt.images.grids.size()) {
      grid = &prompt.images.grids[next_image++];
    } else if (prompt.ids[i] == prompt.videos.pad && next_video < prompt.videos.grids.size()) {
      grid = &prompt.videos.grids[next_video];
      if (++slice == grid->t) ++next_video, slice = 0;
    }
    if (grid) runs.push_back({1, grid->h, grid->w});
    i += grid ? int64_t{grid->h} * grid->w / (merge * merge) : 1;
  }
  return runs;
}

Status read_positions(const checkpoint::TensorSource& input, const ModelConfig& config,
                      Prompt& prompt) {
  const int64_t n = prompt.tokens();
  prompt.positions.resize(n);
  if (!input.find("position_ids")) {
    const std::vector<VisionGrid> runs =
        runs_of(prompt, config.vision ? config.vision->merge_size : 1);
    prompt.next_position = assign_positions(prompt.ids, config, runs, prompt.positions);
    return {};
  }
  TRY(const std::vector<int64_t> values, read_integers(input, "position_ids"));
  TRY_STATUS(check_shape(input, "position_ids", {3, n}));
  for (int64_t value : values) {
    if (value < 0 || value > 1 << 30)
      return bad_input("{}: position_ids: {} is out of range", input.description(), value);
    prompt.next_position = std::max(prompt.next_position, int32_t(value) + 1);
  }
  for (int64_t i = 0; i < n; ++i) {
    prompt.positions[i] = {int32_t(values[i]), int32_t(values[n + i]), int32_t(values[2 * n + i])};
  }
  return {};
}

Status check_pads(const checkpoint::TensorSource& input, const Prompt& prompt, const Media& media,
                  int merge, std::string_view what) {
  const int64_t rows = media.patches / (merge * merge);
  const int64_t pads = std::count(prompt.ids.begin(), prompt.ids.end(), media.pad);
  if (rows == 0 || rows == pads) return {};
  return bad_input("{}: input_ids: expected {} {} pads, found {}", input.description(), rows, what,
                   pads);
}

// A call encodes whole pictures: those whose pads it has.
Status check_segments(const checkpoint::TensorSource& input, const Prompt& prompt,
                      const Media& media, int merge) {
  int64_t first = 0;
  size_t next = 0;
  for (int64_t count : prompt.segments) {
    const auto begin = prompt.ids.begin() + first;
    int64_t pads = std::count(begin, begin + count, media.pad);
    while (pads > 0 && next < media.grids.size()) {
      const VisionGrid& grid = media.grids[next++];
      pads -= int64_t{grid.t} * grid.h * grid.w / (merge * merge);
    }
    if (!media.grids.empty() && pads != 0) {
      return bad_input(
          "{}: segments: expected the pads of a picture or clip in one call, found "
          "them cut",
          input.description());
    }
    first += count;
  }
  return {};
}

Result<Prompt> read_prompt(const checkpoint::TensorSource& input, const ModelConfig& config,
                           int64_t generate) {
  Prompt prompt;
  TRY(const std::vector<int64_t> ids, read_integers(input, "input_ids"));
  for (int64_t id : ids) {
    if (id < 0 || id >= config.text.vocab_size) {
      return bad_input("{}: input_ids: expected 0 … {}, found {}", input.description(),
                       config.text.vocab_size - 1, id);
    }
    prompt.ids.push_back(static_cast<int32_t>(id));
  }
  const int64_t n = prompt.tokens(), most = config.text.max_context;
  TRY_STATUS(check_shape(input, "input_ids", {n}));
  if (n == 0 || n > most)
    return bad_input("{}: input_ids: expected 1 … {} tokens, found {}", input.description(), most,
                     n);
  if (generate > most - n)
    return bad_input("generate: expected at most {} after the {} of {}, found {}", most - n, n,
                     input.description(), generate);
  prompt.segments = {n};
  if (input.find("segments")) {
    TRY(prompt.segments, read_integers(input, "segments"));
    int64_t sum = 0;
    for (int64_t count : prompt.segments)
      sum = count < 1 || count > n || sum > n ? n + 1 : sum + count;
    TRY_STATUS(check_shape(input, "segments", {static_cast<int64_t>(prompt.segments.size())}));
    if (sum != n)
      return bad_input("{}: segments: expected counts with the sum {}", input.description(), n);
  }
  for (const char* name : {"pixel_values", "pixel_values_videos"}) {
    if (!config.vision && input.find(name))
      return bad_input("{}: {}: the model has no vision tower", input.description(), name);
  }
  if (config.vision) {
    const VisionConfig& vision = *config.vision;
    TRY(prompt.images,
        read_media(input, "pixel_values", "image_grid_thw", vision, config.image_token));
    TRY(prompt.videos,
        read_media(input, "pixel_values_videos", "video_grid_thw", vision, config.video_token));
    TRY_STATUS(check_pads(input, prompt, prompt.images, vision.merge_size, "picture"));
    TRY_STATUS(check_pads(input, prompt, prompt.videos, vision.merge_size, "video"));
    for (const Media* media : {&prompt.images, &prompt.videos})
      TRY_STATUS(check_segments(input, prompt, *media, vision.merge_size));
  }
  TRY_STATUS(read_positions(input, config, prompt));
  return prompt;
}

// ---- Running

// Keeps what it sees; rows of several calls follow each other.
class Recorder : public Observer {
 public:
  explicit Recorder(std::map<std::string, DumpedTensor>& tensors) : tensors_(tensors) {}
  void observe(std::string_view name, ConstMatrixView view) override {
    DumpedTensor& tensor = tensors_[std::string(name)];
    if (tensor.shape.empty()) tensor.shape = {0, view.columns};
    tensor.shape[0] += view.rows;
    for (int64_t i = 0; i < view.rows; ++i)
      tensor.values.insert(tensor.values.end(), view.row(i), view.row(i) + view.columns);
  }

 private:
  std::map<std::string, DumpedTensor>& tensors_;
};

class Dumper {
 public:
  Dumper(const Model& model, const Prompt& prompt, const DumpOptions& options)
      : model_(model),
        prompt_(prompt),
        options_(options),
        config_(model.config()),
        total_(prompt.tokens() + options.generate + kDrafts),
        memory_(model.cache_geometry(DType::kF32, options.page_tokens), total_, kMaxRows),
        draft_memory_(model.draft_cache_geometry(DType::kF32, options.page_tokens), total_),
        workspace_(model.make_workspace(limits())),
        vision_row_(prompt.ids.size(), -1),
        recorder_(dump_.tensors) {}

  TensorDump run() {
    int64_t first = 0;
    for (int64_t count : prompt_.segments) {
      encode_pictures(first, count);
      run_segment(first, count);
      first += count;
    }
    record_recurrent();
    if (prompt_.tokens() <= kAllLogitsUpTo) record_keys_and_values();
    if (model_.has_drafting() && prompt_.tokens() > 1) draft_over_prompt();
    if (options_.generate > 0) generate();
    if (model_.has_drafting() && options_.generate > 0) chain_drafts();
    return std::move(dump_);
  }

 private:
  WorkspaceLimits limits() const {
    int64_t longest = 0;
    for (const Media* media : {&prompt_.images, &prompt_.videos}) {
      for (const VisionGrid& grid : media->grids)
        longest = std::max(longest, int64_t{grid.h} * grid.w);
    }
    return {.max_tokens = std::min(prompt_.tokens(), kMaxRows),
            .max_logit_rows = kAllLogitsUpTo,
            .max_context = total_,
            .max_patches = std::max(prompt_.images.patches, prompt_.videos.patches),
            .max_segment = longest};
  }

  int64_t H() const { return config_.text.hidden_size; }
  int64_t vocabulary() const { return config_.text.vocab_size; }
  DumpedTensor& tensor(const std::string& name, std::vector<int64_t> shape) {
    DumpedTensor& result = dump_.tensors[name];
    result.shape = std::move(shape);
    return result;
  }

  // The pictures, then the clips, whose pads lie in [first, first + count).
  void encode_pictures(int64_t first, int64_t count) {
    encode_media(prompt_.images, next_image_, image_patches_, first, count);
    encode_media(prompt_.videos, next_video_, video_patches_, first, count);
  }

  void encode_media(const Media& media, size_t& next, int64_t& patches, int64_t first,
                    int64_t count) {
    if (media.grids.empty()) return;
    const int64_t merge = int64_t{config_.vision->merge_size} * config_.vision->merge_size;
    const auto begin = prompt_.ids.begin() + first;
    const int64_t pads = std::count(begin, begin + count, media.pad);
    const size_t first_grid = next;
    int64_t rows = 0;
    while (rows < pads && next < media.grids.size()) {
      const VisionGrid& grid = media.grids[next++];
      rows += int64_t{grid.t} * grid.h * grid.w / merge;
    }
    if (rows == 0) return;
    int32_t row = static_cast<int32_t>(vision_.size() / H());
    vision_.resize(vision_.size() + rows * H());
    const MatrixView merged{vision_.data() + row * H(), rows, H(), H()};
    const int64_t values = config_.vision->patch_values();
    const ConstMatrixView pixels(media.pixels.data() + patches * values, rows * merge, values);
    model_.encode_vision(pixels, std::span(media.grids).subspan(first_grid, next - first_grid),
                         *workspace_, merged, &recorder_);
    patches += rows * merge;
    for (int64_t i = first; i < first + count; ++i) {
      if (prompt_.ids[i] == media.pad) vision_row_[i] = row++;
    }
  }

  // Rows [first, first + count) of n whose logits are recorded, counted from `first`.
  static std::vector<int32_t> recorded_rows(int64_t first, int64_t count, int64_t prompt,
                                            int64_t n) {
    const int64_t from = prompt <= kAllLogitsUpTo ? 0 : n - std::min(n, kLastLogits);
    std::vector<int32_t> result;
    for (int64_t i = std::max(first, from); i < first + count; ++i)
      result.push_back(static_cast<int32_t>(i - first));
    return result;
  }

  void run_segment(int64_t first, int64_t count) {
    for (int64_t end = first + count; first < end; first += kMaxRows) {
      const int64_t n = std::min(kMaxRows, end - first);
      const BatchSequence sequence{0, n, memory_.view()};
      const std::vector<int32_t> logit_rows =
          recorded_rows(first, n, prompt_.tokens(), prompt_.tokens());
      logits_.resize(logit_rows.size() * vocabulary());
      const Batch batch{.ids = std::span(prompt_.ids).subspan(first, n),
                        .positions = std::span(prompt_.positions).subspan(first, n),
                        .sequences = {&sequence, 1},
                        .geometry = &memory_.geometry(),
                        .vision = vision_rows(),
                        .vision_row = std::span<const int32_t>(vision_row_).subspan(first, n),
                        .logit_rows = logit_rows};
      model_.forward(batch, *workspace_, {.logits = logits_view()}, &recorder_);
      memory_.advance(n);
      keep_last_columns(n);
    }
  }

  ConstMatrixView vision_rows() const {
    return {vision_.data(), int64_t(vision_.size()) / H(), H()};
  }
  MatrixView logits_view() {
    return {logits_.data(), int64_t(logits_.size()) / vocabulary(), vocabulary(), vocabulary()};
  }

  // The last `conv_kernel` raw columns of every delta-net layer, oldest first.
  void keep_last_columns(int64_t n) {
    const int64_t channels = memory_.geometry().conv_channels, kept = config_.text.conv_kernel;
    columns_.resize(memory_.geometry().recurrent_layers, std::vector<float>(kept * channels));
    for (size_t i = 0; i < columns_.size(); ++i) {
      std::vector<float>& all = columns_[i];
      const float* log = memory_.conv_log(static_cast<int>(i));
      all.insert(all.end(), log, log + n * channels);
      all.erase(all.begin(), all.end() - kept * channels);
    }
  }

  // Place in the checkpoint's order of our value head.
  int checkpoint_head(int head) const {
    const TextConfig& c = config_.text;
    const int key_heads = c.linear_key_heads, group = c.linear_value_heads / key_heads;
    return config_.gguf ? head % key_heads * group + head / key_heads : head;
  }

  void record_recurrent() {
    const TextConfig& c = config_.text;
    const int64_t state = int64_t{c.linear_key_dim} * c.linear_value_dim;
    int layer = 0;
    for (int i = 0; i < c.num_layers; ++i) {
      if (c.layers[i] != Mixer::kGatedDeltaNet) continue;
      DumpedTensor& states = tensor(fmt::format("linear_state.{}", i),
                                    {c.linear_value_heads, c.linear_key_dim, c.linear_value_dim});
      states.values.resize(c.linear_value_heads * state);
      for (int h = 0; h < c.linear_value_heads; ++h) {
        std::copy_n(memory_.state(layer) + h * state, state,
                    states.values.data() + checkpoint_head(h) * state);
      }
      record_columns(i, columns_[layer++]);
    }
  }

  void record_columns(int layer, const std::vector<float>& columns) {
    const TextConfig& c = config_.text;
    const int64_t channels = c.conv_channels(), kept = c.conv_kernel,
                  first_value = 2 * c.key_width();
    DumpedTensor& conv = tensor(fmt::format("conv_state.{}", layer), {channels, kept});
    conv.values.resize(channels * kept);
    for (int64_t channel = 0; channel < channels; ++channel) {
      int64_t target = channel;
      if (channel >= first_value) {
        const int64_t head = (channel - first_value) / c.linear_value_dim,
                      rest = (channel - first_value) % c.linear_value_dim;
        target = first_value + checkpoint_head(static_cast<int>(head)) * c.linear_value_dim + rest;
      }
      for (int64_t j = 0; j < kept; ++j)
        conv.values[target * kept + j] = columns[j * channels + channel];
    }
  }

  void record_keys_and_values() {
    const TextConfig& c = config_.text;
    int layer = 0;
    for (int i = 0; i < c.num_layers; ++i) {
      if (c.layers[i] != Mixer::kGatedAttention) continue;
      for (const auto half : {PlainMemory::Half::kKeys, PlainMemory::Half::kValues}) {
        const char* name = half == PlainMemory::Half::kKeys ? "key_cache" : "value_cache";
        DumpedTensor& target =
            tensor(fmt::format("{}.{}", name, i), {c.num_kv_heads, prompt_.tokens(), c.head_dim});
        for (int h = 0; h < c.num_kv_heads; ++h) {
          for (int64_t t = 0; t < prompt_.tokens(); ++t) {
            const float* row = memory_.row(layer, half, h, t);
            target.values.insert(target.values.end(), row, row + c.head_dim);
          }
        }
      }
      ++layer;
    }
  }

  // The drafting head over (hidden row i, token i + 1).
  void draft_over_prompt() {
    const std::vector<float>& hidden = dump_.tensors["norm"].values;
    const int64_t pairs = prompt_.tokens() - 1;
    for (int64_t first = 0; first < pairs; first += kMaxRows) {
      const int64_t n = std::min(kMaxRows, pairs - first);
      const BatchSequence sequence{0, n, draft_memory_.view()};
      const std::vector<int32_t> logit_rows = recorded_rows(first, n, prompt_.tokens(), pairs);
      std::vector<float> logits(logit_rows.size() * vocabulary());
      const Batch batch{.ids = std::span(prompt_.ids).subspan(first + 1, n),
                        .positions = std::span(prompt_.positions).subspan(first, n),
                        .sequences = {&sequence, 1},
                        .geometry = &draft_memory_.geometry(),
                        .vision = vision_rows(),
                        .vision_row = std::span<const int32_t>(vision_row_).subspan(first + 1, n),
                        .logit_rows = logit_rows};
      const ConstMatrixView rows(hidden.data() + first * H(), n, H());
      model_.draft(
          batch, rows, *workspace_,
          {.logits = {logits.data(), int64_t(logit_rows.size()), vocabulary(), vocabulary()}},
          &recorder_);
      draft_memory_.advance(n);
    }
  }

  static int64_t largest(const float* logits, int64_t n) {
    return std::max_element(logits, logits + n) - logits;
  }

  void generate() {
    DumpedTensor& all = tensor("greedy_logits", {options_.generate, vocabulary()});
    all.values.assign(logits_.end() - vocabulary(), logits_.end());
    dump_.greedy_ids.push_back(largest(all.values.data(), vocabulary()));
    std::vector<float> logits(vocabulary());
    const int32_t row = 0;
    for (int64_t i = 1; i < options_.generate; ++i) {
      const auto id = static_cast<int32_t>(dump_.greedy_ids.back());
      const int32_t p = prompt_.next_position + static_cast<int32_t>(i) - 1;
      const Position position{p, p, p};
      const BatchSequence sequence{0, 1, memory_.view()};
      const Batch batch{.ids = {&id, 1},
                        .positions = {&position, 1},
                        .sequences = {&sequence, 1},
                        .geometry = &memory_.geometry(),
                        .logit_rows = {&row, 1}};
      model_.forward(batch, *workspace_,
                     {.logits = {logits.data(), 1, vocabulary(), vocabulary()}});
      memory_.advance(1);
      dump_.greedy_ids.push_back(largest(logits.data(), vocabulary()));
      all.values.insert(all.values.end(), logits.begin(), logits.end());
    }
  }

  // Each draft takes the head's last hidden row and the token chosen last, one position on.
  void chain_drafts() {
    DumpedTensor &all_hidden = tensor("mtp.draft_hidden", {kDrafts, H()}),
                 &all_logits = tensor("mtp.draft_logits", {kDrafts, vocabulary()});
    const std::vector<float>& norm = dump_.tensors["norm"].values;
    std::vector<float> hidden(norm.end() - H(), norm.end()), next(H()), logits(vocabulary());
    auto id = static_cast<int32_t>(dump_.greedy_ids.front());
    const Position start = prompt_.positions.back();
    const int32_t row = 0;
    for (int32_t i = 0; i < kDrafts; ++i) {
      const Position position{start.time + i, start.height + i, start.width + i};
      const BatchSequence sequence{0, 1, draft_memory_.view()};
      const Batch batch{.ids = {&id, 1},
                        .positions = {&position, 1},
                        .sequences = {&sequence, 1},
                        .geometry = &draft_memory_.geometry(),
                        .logit_rows = {&row, 1}};
      model_.draft(batch, {hidden.data(), 1, H()}, *workspace_,
                   {.logits = {logits.data(), 1, vocabulary(), vocabulary()},
                    .hidden = {next.data(), 1, H(), H()}});
      draft_memory_.advance(1);
      std::swap(hidden, next);
      id = static_cast<int32_t>(largest(logits.data(), vocabulary()));
      dump_.draft_ids.push_back(id);
      all_hidden.values.insert(all_hidden.values.end(), hidden.begin(), hidden.end());
      all_logits.values.insert(all_logits.values.end(), logits.begin(), logits.end());
    }
  }

  const Model& model_;
  const Prompt& prompt_;
  const DumpOptions& options_;
  const ModelConfig& config_;
  const int64_t total_;  // positions
  PlainMemory memory_, draft_memory_;
  std::unique_ptr<Workspace> workspace_;
  std::vector<float> vision_;        // [rows so far, H]
  std::vector<int32_t> vision_row_;  // [T]
  size_t next_image_ = 0, next_video_ = 0;
  int64_t image_patches_ = 0, video_patches_ = 0;
  std::vector<float> logits_;  // of the last call
  std::vector<std::vector<float>> columns_;
  TensorDump dump_;
  Recorder recorder_;
};

}  // namespace

Result<TensorDump> dump_tensors(const Model& model, const checkpoint::TensorSource& input,
                                const DumpOptions& options) {
  TRY(const Prompt prompt, read_prompt(input, model.config(), options.generate));
  if (!model.has_vision() && (prompt.images.patches || prompt.videos.patches)) {
    return bad_input("{}: pixel_values: the model has no vision tower", input.description());
  }
  return Dumper(model, prompt, options).run();
}

Status dump_tensors_to_file(const checkpoint::ModelFiles& files, const kernels::Context& context,
                            const std::string& input_path, const std::string& output_path,
                            const DumpOptions& options) {
  TRY(const auto input, checkpoint::open_safetensors(input_path));
  TRY(const auto model, Model::load(files, context));
  TRY(const TensorDump dump, dump_tensors(*model, *input, options));
  std::vector<checkpoint::NamedTensor> tensors;
  for (const auto& [name, tensor] : dump.tensors) {
    tensors.push_back({name,
                       {reinterpret_cast<const std::byte*>(tensor.values.data()), DType::kF32,
                        tensor::Shape(std::span(tensor.shape))}});
  }
  const auto add_ids = [&](const char* name, const std::vector<int64_t>& ids) {
    if (!ids.empty())
      tensors.push_back(
          {name,
           {reinterpret_cast<const std::byte*>(ids.data()), DType::kI64, {int64_t(ids.size())}}});
  };
  add_ids("greedy_ids", dump.greedy_ids);
  add_ids("mtp.draft_ids", dump.draft_ids);
  return checkpoint::write_safetensors(output_path, tensors);
}

}  // namespace godwit::model
