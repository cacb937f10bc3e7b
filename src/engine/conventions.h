// Conventions: what a checkpoint's files say about making prompts and answers (template, markup,
// sampling, sizes of pictures).
#pragma once

#include <memory>
#include <vector>

#include "checkpoint/model_folder.h"
#include "engine/answer.h"
#include "engine/sampler.h"
#include "media/patches.h"
#include "media/video.h"
#include "model/config.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace godwit::engine {

// What the checkpoint says about making prompts and answers.
struct Conventions {
  text::TemplateChoice chat_template{};
  MarkupIds markup;
  SamplingRules sampling;  // defaults
  media::PixelLimits picture_limits{65536, 16777216}, video_limits{4096, 25165824};
  media::VideoSampling video_sampling;
  std::vector<int32_t> undecodable;  // ids below the vocabulary's size that have no bytes
};
// Errors: a file whose values are of another kind, out of range, or not what the model was made
// for.
Result<Conventions> read_conventions(const checkpoint::ModelFiles& files,
                                     const model::ModelConfig& config,
                                     const text::Tokenizer& tokenizer);
Result<std::unique_ptr<text::Tokenizer>> open_tokenizer(const checkpoint::ModelFiles& files);
text::TemplateChoice chat_template_of(const checkpoint::ModelFiles& files);

}  // namespace godwit::engine
