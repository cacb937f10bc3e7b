#include "engine/runner.h"

#include <algorithm>

#include "base/check.h"
#include "model/workspace.h"

namespace godwit::engine {

Runner::Runner(const model::Model& model, ComputePool& pool, const Settings& settings,
               VisionStore& vision)
    : model_(model),
      pool_(pool),
      settings_(settings),
      vision_(vision),
      vocabulary_(model.config().text.vocab_size),
      hidden_(model.config().text.hidden_size),
      workspace_(model.make_workspace(settings.workspace)),
      logits_(static_cast<size_t>(settings.workspace.max_logit_rows) * vocabulary_),
      vision_rows_(static_cast<int64_t>(hidden_)) {}

Runner::~Runner() = default;

void Runner::run(std::span<const Work> work) {
  ids_.clear();
  positions_.clear();
  sequences_.clear();
  vision_rows_.clear();
  logit_rows_.clear();
  pauses_.clear();
  size_t pauses = 0;
  for (const Work& item : work) pauses += item.pauses.size();
  pauses_.reserve(pauses);  // sequences look into it
  bool wants_hidden = false;
  for (const Work& item : work) {
    add_tokens(item);
    const auto end = static_cast<int32_t>(ids_.size());
    for (auto row = end - static_cast<int32_t>(item.logits); row < end; ++row)
      logit_rows_.push_back(row);
    wants_hidden =
        wants_hidden || item.sequence->prompt.task == Task::kEmbed || item.sequence->drafts;
  }
  model::Batch batch{.ids = ids_,
                     .positions = positions_,
                     .sequences = sequences_,
                     .geometry = &settings_.geometry,
                     .logit_rows = logit_rows_};
  vision_rows_.give(batch);
  const auto rows = static_cast<int64_t>(logit_rows_.size()),
             columns = static_cast<int64_t>(vocabulary_);
  model::BatchOutput output{.logits = {logits_.data(), rows, columns, columns}};
  if (wants_hidden) {
    if (hidden_rows_.size() == 0)
      hidden_rows_ = tensor::AlignedBuffer<float>(settings_.workspace.max_tokens * hidden_);
    const auto width = static_cast<int64_t>(hidden_);
    output.hidden = {hidden_rows_.data(), static_cast<int64_t>(ids_.size()), width, width};
  }
  pool_.use(settings_.threads.of_rows(static_cast<int64_t>(ids_.size())));
  model_.forward(batch, *workspace_, output);
  for (const Work& item : work)
    item.sequence->memory->advance(item.count + static_cast<int64_t>(item.drafts.size()));
}

tensor::ConstMatrixView Runner::hidden(size_t i) const {
  const model::BatchSequence& place = sequences_[i];
  return {hidden_rows_.data() + place.first * hidden_, place.count, static_cast<int64_t>(hidden_)};
}

void Runner::add_tokens(const Work& work) {
  Sequence& sequence = *work.sequence;
  const int64_t begin = sequence.memory->length(), end = begin + work.count;
  CHECK(work.count > 0 && end <= sequence.length());
  const auto drafts = static_cast<int64_t>(work.drafts.size()), rows = work.count + drafts;
  sequences_.push_back(
      {static_cast<int64_t>(ids_.size()), rows, sequence.memory->view(rows, drafts)});
  const size_t first_pause = pauses_.size();
  for (const Work::Pause& pause : work.pauses)
    pauses_.push_back({pause.position - begin, pause.pages});
  sequences_.back().memory.pauses = std::span(pauses_).subspan(first_pause);
  ids_.insert(ids_.end(), sequence.ids.begin() + begin, sequence.ids.begin() + end);
  ids_.insert(ids_.end(), work.drafts.begin(), work.drafts.end());
  for (int64_t i = begin; i < end + drafts; ++i) positions_.push_back(sequence.position(i));
  vision_rows_.add(sequence, begin, end);
  vision_rows_.add_text(drafts);
}

bool Runner::encode_media(Sequence& sequence, int64_t count, VisionTime& time) {
  const int64_t begin = sequence.memory->length(), end = begin + count;
  for (PreparedMedia& media : sequence.prompt.media) {
    const bool touched = std::any_of(media.slices.begin(), media.slices.end(), [&](int64_t first) {
      return first < end && first + media.rows_per_slice > begin;
    });
    if (!touched) continue;
    while (!media.rows) {
      media.rows = vision_.rows(media.facts->content, media.facts->values(model_.config()));
      if (media.rows) break;  // another was first
      if (!encoding_) start_encoding(sequence, media);
      if (!go_on(time)) return false;
    }
    media.patches.reset();
  }
  return true;
}

// False: it is not done.
bool Runner::go_on(VisionTime& time) {
  Sequence& owner = *encoding_->owner;
  pool_.use(settings_.threads.vision);
  const auto started = Clock::now();
  bool more = true;
  while (more && !time.is_over() && !owner.channel->cancelled()) {
    time.used = true;
    more = encoding_->pass->next();
  }
  owner.timings.vision += seconds_since(started);
  if (more) return false;
  PreparedMedia& media = *encoding_->media;
  media.rows = encoding_->rows;
  media.patches.reset();
  vision_.keep_rows(media.facts->content, media.rows);
  ++owner.usage.pictures_encoded;
  encoding_.reset();
  return true;
}

void Runner::forget(const Sequence& sequence) {
  if (encoding_ && encoding_->owner == &sequence) encoding_.reset();
}

void Runner::start_encoding(Sequence& owner, PreparedMedia& media) {
  CHECK(media.patches);
  const media::Grid& grid = media.patches->grid;
  const int64_t patches = grid.patches(), columns = model_.config().vision->patch_values();
  if (patches > vision_patches_) {
    vision_patches_ = patches;
    vision_workspace_.reset();
    vision_workspace_ = model_.make_workspace({.max_tokens = 1,
                                               .max_logit_rows = 1,
                                               .max_context = 1,
                                               .max_patches = patches,
                                               .max_segment = patches});
  }
  auto rows = std::make_shared<VisionRows>(media.facts->values(model_.config()));
  const auto width = static_cast<int64_t>(hidden_);
  const tensor::MatrixView merged{rows->data(), static_cast<int64_t>(rows->size()) / width, width,
                                  width};
  const model::VisionGrid grids[] = {{grid.t, grid.h, grid.w}};
  auto pass = model_.start_vision({media.patches->pixel_values.data(), patches, columns}, grids,
                                  *vision_workspace_, merged);
  encoding_ = {&owner, &media, std::move(rows), std::move(pass)};
}

}  // namespace godwit::engine
