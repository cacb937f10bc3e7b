// GODWIT_LOG says from which level on messages are shown.
#include "base/log.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace godwit {
namespace {

Result<LogLevel> level_of(const char* wanted) {
  ::setenv("GODWIT_LOG", wanted, 1);
  return log_level_from_environment();
}

TEST(Log, TheLevelComesFromTheEnvironment) {
  ::unsetenv("GODWIT_LOG");
  EXPECT_EQ(log_level_from_environment(), LogLevel::kWarn);
  EXPECT_EQ(level_of("error"), LogLevel::kError);
  EXPECT_EQ(level_of("warn"), LogLevel::kWarn);
  EXPECT_EQ(level_of("info"), LogLevel::kInfo);
  EXPECT_EQ(level_of("debug"), LogLevel::kDebug);
  EXPECT_EQ(level_of("banana").error().message,
            "GODWIT_LOG: expected error, warn, info or debug; found 'banana'");
}

TEST(Log, ShowsMessagesFromItsLevelOn) {
  testing::internal::CaptureStderr();
  set_log_level(LogLevel::kInfo);
  log_debug("a detail");
  log_info("a piece of news");
  set_log_level(LogLevel::kWarn);
  log_info("more news");
  log_warn("a {}", "warn\ning");  // whatever is in it: one line
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "godwit: info: a piece of news\ngodwit: warning: a warn\\x0aing\n");
}

}  // namespace
}  // namespace godwit
