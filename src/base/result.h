// Result<T>: a value, or an Error that says what was wrong with the input.
//
// Three kinds of failure (docs/architecture.md): a programmer's mistake is a CHECK; bad input
// (file, request, picture, flag) is a Result with a message that names what, where, what was
// expected and what was found; an exhausted resource is an ordinary outcome of the scheduler. No
// exception crosses a folder.
#pragma once

#include <fmt/format.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace godwit {

enum class ErrorKind {
  kBadInput,  // the call, file or request is wrong: exit code 2, HTTP 400
  kFailed,    // the work failed for another reason (disk, memory, child process): exit code 1, HTTP
              // 500
};

struct Error {
  std::string message;  // one line, no trailing full stop or newline
  ErrorKind kind = ErrorKind::kBadInput;
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

// `return bad_input("{}: expected {} bytes, found {}", path, n, size);`
template <class... Args>
tl::unexpected<Error> bad_input(fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(
      {fmt::format(format, std::forward<Args>(args)...), ErrorKind::kBadInput});
}
template <class... Args>
tl::unexpected<Error> failed(fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(
      {fmt::format(format, std::forward<Args>(args)...), ErrorKind::kFailed});
}

// The same error with `where: ` put before its message.
inline tl::unexpected<Error> in_context(std::string_view where, Error error) {
  error.message = fmt::format("{}: {}", where, error.message);
  return tl::unexpected<Error>(std::move(error));
}

}  // namespace godwit

#define GODWIT_CONCAT_(a, b) a##b
#define GODWIT_CONCAT(a, b) GODWIT_CONCAT_(a, b)
// `TRY(auto file, MappedFile::open(path));` gives the value or returns the error.
#define TRY(declaration, expression) \
  TRY_(declaration, expression, GODWIT_CONCAT(try_result_, __LINE__))
#define TRY_(declaration, expression, name)                                   \
  auto name = (expression);                                                   \
  if (!name) return tl::unexpected<::godwit::Error>(std::move(name.error())); \
  declaration = std::move(*name)
// `TRY_STATUS(check_header(h));` for a Status.
#define TRY_STATUS(expression)               \
  if (auto status_ = (expression); !status_) \
  return tl::unexpected<::godwit::Error>(std::move(status_.error()))
