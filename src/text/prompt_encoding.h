// encode_prompt: a rendered prompt → token ids, with what the cache and the vision tower need to
// know about them.
//
// The pieces are joined and cut at the added tokens that lie in markup; what is between two of them
// is encoded as one plain text. So words may cross from markup into quoted text, as in the
// reference's encoding of the whole, but an added token's text that somebody wrote stays text.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace godwit::text {

// What is known of one picture or clip once its size is settled.
struct MediaLayout {
  int64_t tokens_per_slice = 0;    // rows of the vision tower; a picture is one slice
  std::vector<double> timestamps;  // in seconds, one for each slice of a clip; empty for a picture
};

struct EncodedPrompt {
  struct Mark {
    PromptPiece::Boundary boundary;
    int message_index;
    size_t token;  // the boundary lies before ids[token]
  };
  struct MediaSpan {
    int media_index;
    PromptPiece::Kind kind;  // kImage, kVideo
    size_t begin, end;       // from its first <|vision_start|> to behind its last <|vision_end|>
    std::vector<size_t> slices;  // the first pad of each slice
  };
  std::vector<int32_t> ids;
  std::vector<Mark> marks;       // in order; for every piece with a boundary
  std::vector<MediaSpan> media;  // in order
};

// layouts[i] belongs to media i of the conversation:
//   picture   <|vision_start|> n × <|image_pad|> <|vision_end|>
//   clip      for each slice: "<1.5 seconds>" <|vision_start|> n × <|video_pad|> <|vision_end|>
// Without any layout the placeholders stay as the template wrote them, one pad each.
Result<EncodedPrompt> encode_prompt(const RenderedPrompt& prompt, const Tokenizer& tokenizer,
                                    const std::vector<MediaLayout>& layouts = {});

}  // namespace godwit::text
