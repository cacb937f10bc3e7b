#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <string_view>

#include "base/visible.h"

namespace godwit {
namespace {

struct Level {
  LogLevel level;
  std::string_view name;
  spdlog::level::level_enum spd;
};
constexpr Level kLevels[] = {{LogLevel::kError, "error", spdlog::level::err},
                             {LogLevel::kWarn, "warn", spdlog::level::warn},
                             {LogLevel::kInfo, "info", spdlog::level::info},
                             {LogLevel::kDebug, "debug", spdlog::level::debug}};

spdlog::level::level_enum spd_level(LogLevel level) {
  return kLevels[static_cast<size_t>(level)].spd;
}

spdlog::logger& logger() {
  static const auto instance = [] {
    auto made = std::make_shared<spdlog::logger>("godwit",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("godwit: %l: %v");
    made->set_level(spdlog::level::warn);
    return made;
  }();
  return *instance;
}

}  // namespace

Result<LogLevel> log_level_from_environment() {
  const char* wanted = std::getenv("GODWIT_LOG");
  if (!wanted) return LogLevel::kWarn;
  for (const Level& level : kLevels)
    if (level.name == wanted) return level.level;
  return bad_input("GODWIT_LOG: expected error, warn, info or debug; found {}", in_quotes(wanted));
}

void set_log_level(LogLevel level) { logger().set_level(spd_level(level)); }
bool log_enabled(LogLevel level) { return logger().should_log(spd_level(level)); }
void write_log(LogLevel level, const std::string& message) {
  logger().log(spd_level(level), "{}", visible(message));
}

}  // namespace godwit
