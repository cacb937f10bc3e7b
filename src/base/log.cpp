#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <string_view>

namespace godwit {
namespace {

spdlog::level::level_enum spd_level(LogLevel level) {
  switch (level) {
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kDebug:
      return spdlog::level::debug;
  }
  return spdlog::level::warn;
}

spdlog::logger& logger() {
  static const auto instance = [] {
    auto made = std::make_shared<spdlog::logger>("godwit",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("godwit: %l: %v");
    const char* wanted = std::getenv("GODWIT_LOG");
    const std::string_view name = wanted ? wanted : "warn";
    made->set_level(name == "error"   ? spdlog::level::err
                    : name == "info"  ? spdlog::level::info
                    : name == "debug" ? spdlog::level::debug
                                      : spdlog::level::warn);
    return made;
  }();
  return *instance;
}

}  // namespace

void set_log_level(LogLevel level) { logger().set_level(spd_level(level)); }
bool log_enabled(LogLevel level) { return logger().should_log(spd_level(level)); }
void write_log(LogLevel level, const std::string& message) {
  logger().log(spd_level(level), "{}", message);
}

}  // namespace godwit
