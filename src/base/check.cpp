#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace godwit {
void check_failed(const char* condition, const char* file, int line, const char* message) {
  std::fprintf(stderr, "godwit: %s:%d: check failed: %s %s\n", file, line, condition, message);
  std::abort();
}
}  // namespace godwit
