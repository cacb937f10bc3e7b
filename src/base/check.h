// CHECK: a programmer's mistake ends the program with its place. Never for bad input (result.h).
#pragma once

namespace godwit {
[[noreturn]] void check_failed(const char* condition, const char* file, int line,
                               const char* message);
}  // namespace godwit

#define CHECK(condition) \
  ((condition) ? (void)0 : ::godwit::check_failed(#condition, __FILE__, __LINE__, ""))
#define CHECK_MSG(condition, message) \
  ((condition) ? (void)0 : ::godwit::check_failed(#condition, __FILE__, __LINE__, message))
