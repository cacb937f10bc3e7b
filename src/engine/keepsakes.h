// Keepsakes: remembered turns and rows of pictures as records on disk, and back.
#pragma once

#include "cache/disk_store.h"
#include "engine/turn_memory.h"
#include "engine/vision_store.h"

namespace godwit::engine {

cache::Record turn_record(const cache::Hash128& before, const Turn& turn);
std::optional<Turn> turn_from(
    const cache::RecordFacts& facts);  // facts.parent: what stood before it

// `source`: hash of the encoded file that the picture came in.
cache::Record vision_record(const media::ContentHash& source, const MediaFacts& facts,
                            const VisionRows& rows);
std::optional<MediaFacts> media_facts_from(const cache::Hash128& content,
                                           const cache::RecordFacts& facts);

}  // namespace godwit::engine
