// Any bytes as a picture: an error or pixels, within small limits so that a run stays quick.
#include "media/picture.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  godwit::media::PictureLimits limits;
  limits.max_pixels = 1 << 18;
  const auto picture =
      godwit::media::decode_picture({reinterpret_cast<const char*>(data), size}, "fuzz", limits);
  if (picture && picture->rgb.size() != size_t(picture->width) * picture->height * 3) std::abort();
  return 0;
}
