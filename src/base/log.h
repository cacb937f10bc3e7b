// Logging to standard error: one line a message, `level: text`; from warnings on unless another
// level is set. The model folder never logs.
#pragma once

#include <fmt/format.h>

#include <string>

#include "base/result.h"

namespace godwit {

enum class LogLevel { kError, kWarn, kInfo, kDebug };

// GODWIT_LOG: error, warn, info or debug; warn if it is not set.
Result<LogLevel> log_level_from_environment();
void set_log_level(LogLevel level);
bool log_enabled(LogLevel level);
void write_log(LogLevel level, const std::string& message);

template <class... Args>
void log_warn(fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(LogLevel::kWarn))
    write_log(LogLevel::kWarn, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(LogLevel::kInfo))
    write_log(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(LogLevel::kDebug))
    write_log(LogLevel::kDebug, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace godwit
