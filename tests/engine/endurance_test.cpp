// Long runs: thousands of mixed requests leave the process as large as it was, with every page
// given back (the engine CHECKs it when it closes, and in sanitizer builds after every step); and
// an engine that is killed while it writes its cache folder is followed by ones that serve, and
// answer right.
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "base/mapped_file.h"
#include "tests/engine/engine_fixture.h"

namespace godwit::engine {
namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr int kRequests = 600, kKills = 5;
constexpr bool kMemoryIsOurs = false;  // freed memory is held back
#else
constexpr int kRequests = 10000, kKills = 60;
constexpr bool kMemoryIsOurs = true;
#endif

int64_t resident_bytes() {
  malloc_trim(0);  // what is in use, not what the allocator holds in pieces
  std::ifstream file("/proc/self/statm");
  int64_t all = 0, resident = 0;
  file >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

text::ContentPart picture(int index) {
  text::ContentPart part;
  part.kind = text::ContentPart::Kind::kImage;
  const std::string path =
      fmt::format(GODWIT_SOURCE_DIR "/tests/goldens/nano/pictures/ocr-{:02}.png", 1 + index % 4);
  part.media = std::make_shared<text::MediaBytes>(text::MediaBytes{
      "sign.png", std::make_shared<const std::string>(read_file(path).value()), {}, 2});
  return part;
}

std::string words(std::mt19937& random, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += fmt::format("word{} ", random() % 100);
  return text;
}

// Any kind of request: new and repeated texts, conversations, pictures, thoughts, embeddings,
// scores, bad ones.
GenerationRequest any_request(std::mt19937& random) {
  const auto one_in = [&](int n) { return random() % n == 0; };
  std::mt19937 often(random() % 50);
  GenerationRequest request =
      ask(one_in(2) ? words(random, 1 + random() % 60) : words(often, 1 + often() % 60),
          static_cast<int>(random() % 12));
  if (one_in(4)) {
    request.messages.push_back(message("assistant", "Yes."));
    request.messages.push_back(message("user", words(often, 20)));
  }
  if (one_in(6))
    request.messages[0].content.insert(request.messages[0].content.begin(), picture(random() % 4));
  if (one_in(5)) request.thinking = Thinking::kOn;
  if (one_in(3)) request.sampling.temperature = 1;
  if (one_in(8)) request.logprobs = 2;
  if (one_in(8)) request.stop = {"e"};
  if (one_in(20)) request.messages[0].role = "stranger";
  if (one_in(10)) request.max_tokens = 250, request.ignore_end = true;
  if (one_in(8)) request.messages[0].content[0].text += words(random, 300);
  if (one_in(6)) {
    request.task = one_in(2) ? Task::kEmbed : Task::kScore;
    request.pooling = one_in(2) ? Pooling::kMean : Pooling::kLast;
    request.score_from = static_cast<int>(random() % 20);
  }
  return request;
}

TEST(Endurance, ThousandsOfMixedRequestsLeaveNothingBehind) {
  auto options = tight();
  options.cache_bytes += options.cache_bytes / 2;
  options.max_sequences = 8;
  auto engine = open_engine(options);
  std::atomic<int> next{0}, answered{0}, refused{0}, cancelled{0};
  std::atomic<int64_t> warm{0}, largest{0}, smallest{INT64_MAX};
  const auto client = [&] {
    for (int i; (i = next++) < kRequests;) {
      // Every request comes again: what is remembered of each is remembered once.
      std::mt19937 random(static_cast<uint32_t>(i)), which(static_cast<uint32_t>(i % 500));
      auto request = any_request(which);
      request.sampling.seed = i % 500;
      auto generation = engine->submit(request);
      if (!generation) {
        ++refused;
        continue;
      }
      if (random() % 10 == 0) {
        (*generation)->next();
        (*generation)->cancel();
        ++cancelled;
      }
      collect(**generation);
      ++answered;
      if (i == kRequests / 2) warm = resident_bytes();
      if (i > kRequests / 2 && i % 100 == 0) {
        const int64_t now = resident_bytes();
        for (int64_t most = largest; now > most && !largest.compare_exchange_weak(most, now);) {
        }
        for (int64_t least = smallest;
             now < least && !smallest.compare_exchange_weak(least, now);) {
        }
      }
    }
  };
  std::vector<std::thread> clients;
  for (int i = 0; i < 12; ++i) clients.emplace_back(client);
  for (std::thread& thread : clients) thread.join();
  EXPECT_EQ(answered + refused, kRequests);
  EXPECT_GT(cancelled, kRequests / 20);
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.running + stats.waiting, 0);
  EXPECT_GT(stats.reused_tokens, 0);
  EXPECT_GT(stats.preempted, 0);
  RecordProperty("resident_megabytes_after_half", static_cast<int>(warm >> 20));
  RecordProperty("resident_megabytes_at_most", static_cast<int>(largest >> 20));
  printf("resident: %.1f MB after half, then %.1f to %.1f MB; %d preemptions\n",
         static_cast<double>(warm) / 1e6, static_cast<double>(smallest) / 1e6,
         static_cast<double>(largest) / 1e6, static_cast<int>(stats.preempted));
  if (kMemoryIsOurs) {
    EXPECT_LT(static_cast<double>(largest), 1.02 * static_cast<double>(warm));
    EXPECT_GT(static_cast<double>(smallest), 0.98 * static_cast<double>(warm));
  }
  engine.reset();  // CHECKs that every page comes back
}

// ---- Killed while writing

std::vector<GenerationRequest> conversation() {
  GenerationRequest request = ask("What is the capital of France?");
  request.logprobs = 0;
  request.messages[0].content.insert(request.messages[0].content.begin(), picture(1));
  std::vector<GenerationRequest> turns = {request};
  request.messages.push_back(message("assistant", "I do not know."));
  request.messages.push_back(message("user", "Repeat after me: blue river stone."));
  turns.push_back(request);
  return turns;
}

std::vector<std::pair<int32_t, float>> trace_of(Engine& engine) {
  std::vector<std::pair<int32_t, float>> trace;
  for (const auto& request : conversation()) {
    const Reply reply = answer(engine, request);
    EXPECT_EQ(reply.error, "");
    for (const auto& token : reply.logprobs) trace.emplace_back(token.id, token.logprob);
  }
  return trace;
}

EngineOptions on_disk(const char* folder) {
  auto options = nano_options();
  options.cache_folder = folder;
  options.cache_disk_bytes = size_t{24} << 20;  // files go, too
  return options;
}

// Not a test: what is killed. Talks until then.
TEST(Endurance, DISABLED_TalksForEver) {
  const char* folder = std::getenv("GODWIT_TEST_FOLDER");
  ASSERT_NE(folder, nullptr);
  auto engine = open_engine(on_disk(folder));
  std::mt19937 random(static_cast<uint32_t>(getpid()));
  for (;;) {
    trace_of(*engine);
    for (int i = 0; i < 4; ++i) answer(*engine, any_request(random));
  }
}

TEST(Endurance, AfterEveryKillTheNextEngineAnswersRight) {
  std::string folder = (std::filesystem::temp_directory_path() / "godwit-kill-XXXXXX").string();
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const auto expected = trace_of(*open_engine(nano_options()));
  std::mt19937 random(3);
  int64_t restored = 0;
  for (int kill_number = 0; kill_number < kKills; ++kill_number) {
    const std::string place = "GODWIT_TEST_FOLDER=" + folder;
    const char* arguments[] = {"child", "--gtest_also_run_disabled_tests",
                               "--gtest_filter=Endurance.DISABLED_TalksForEver", nullptr};
    const char* environment[] = {place.c_str(), nullptr};
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);
    pid_t child = 0;
    ASSERT_EQ(
        posix_spawn(&child, "/proc/self/exe", &quiet, nullptr, const_cast<char* const*>(arguments),
                    const_cast<char* const*>(environment)),
        0);
    posix_spawn_file_actions_destroy(&quiet);
    std::this_thread::sleep_for(std::chrono::milliseconds(60 + random() % 500));
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself";
    auto engine = open_engine(on_disk(folder.c_str()));
    ASSERT_EQ(trace_of(*engine), expected) << "after kill " << kill_number;
    restored += engine->stats().reused_tokens;
  }
  EXPECT_GT(restored, 50 * kKills) << "the folder was of use";
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace godwit::engine
