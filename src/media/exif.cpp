// EXIF's orientation: a TIFF header, its first directory, the entry 0x0112.
//
//   "II" or "MM" · 42 · offset of directory
//     → count · count × {tag u16, type u16, number u32, value u32}
#include "media/codecs.h"

namespace godwit::media {

int exif_orientation(std::string_view tiff) {
  if (tiff.size() < 8) return 1;
  const bool little = tiff.substr(0, 2) == "II";
  if (!little && tiff.substr(0, 2) != "MM") return 1;
  const auto u16 = [&](size_t i) {
    return little ? little16(tiff, i) : byte_at(tiff, i) << 8 | byte_at(tiff, i + 1);
  };
  const auto u32 = [&](size_t i) {
    return little ? u16(i) | u16(i + 2) << 16 : u16(i) << 16 | u16(i + 2);
  };
  const size_t directory = u32(4);
  if (u16(2) != 42 || directory + 2 > tiff.size()) return 1;
  const size_t count = u16(directory);
  for (size_t i = 0; i < count; ++i) {
    const size_t entry = directory + 2 + 12 * i;
    if (entry + 12 > tiff.size()) return 1;
    if (u16(entry) != 0x0112) continue;
    const uint32_t value = u16(entry + 2) == 3 ? u16(entry + 8) : u32(entry + 8);  // 3: SHORT
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

}  // namespace godwit::media
