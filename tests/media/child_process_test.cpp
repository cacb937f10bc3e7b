#include "media/child_process.h"

#include <gmock/gmock.h>

#include <chrono>
#include <thread>

namespace godwit::media {
namespace {

using testing::HasSubstr;

constexpr auto ignore = [](std::string_view) -> Status { return {}; };

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TEST(ChildProcess, GivesOutputErrorsAndExitCode) {
  std::string output;
  const auto result = run_child({"sh", "-c", "printf out; printf 'first\\nsecond' >&2; exit 3"}, {},
                                [&](std::string_view piece) -> Status {
                                  output += piece;
                                  return {};
                                });
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(output, "out");
  EXPECT_EQ(result->first_error, "first");
  EXPECT_EQ(result->exit_code, 3);
}

TEST(ChildProcess, MuchOutputOnBothPipes) {
  size_t bytes = 0;
  const auto result =
      run_child({"sh", "-c", "head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero"}, {},
                [&](std::string_view piece) -> Status {
                  bytes += piece.size();
                  return {};
                });
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(bytes, 3000000u);
  EXPECT_LE(result->first_error.size(), 200u);
}

TEST(ChildProcess, SeesNoSecretsAndNoDescriptors) {
  setenv("GODWIT_TEST_SECRET", "secret", 1);
  std::string output;
  const auto result =
      run_child({"sh", "-c", "env; ls /proc/self/fd"}, {}, [&](std::string_view piece) -> Status {
        output += piece;
        return {};
      });
  ASSERT_TRUE(result);
  EXPECT_EQ(output.find("secret"), std::string::npos);
  EXPECT_EQ(output.substr(output.find("\n0\n")), "\n0\n1\n2\n3\n");  // 3: ls reading the folder
}

TEST(ChildProcess, MissingProgramNamesThePackage) {
  const auto result = run_child({"no-such-program"}, {}, ignore);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message,
            "the program no-such-program is missing: install the package ffmpeg");
  EXPECT_EQ(result.error().kind, ErrorKind::kFailed);
}

TEST(ChildProcess, IsKilledWithItsChildren) {
  const auto start = std::chrono::steady_clock::now();
  const auto slow = run_child({"sh", "-c", "sleep 60 & sleep 60"}, {.seconds = 1}, ignore);
  ASSERT_FALSE(slow);
  EXPECT_EQ(slow.error().message, "sh took longer than 1 seconds and was stopped");

  const auto refused = run_child({"sh", "-c", "echo x; sleep 60"}, {},
                                 [](std::string_view) -> Status { return bad_input("enough"); });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "enough");

  std::atomic<bool> cancelled = false;
  std::thread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    cancelled = true;
  });
  const auto stopped = run_child({"sleep", "60"}, {.cancelled = &cancelled}, ignore);
  canceller.join();
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().message, "cancelled");
  EXPECT_LT(seconds_since(start), 20);
}

}  // namespace
}  // namespace godwit::media
