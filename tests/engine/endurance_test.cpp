// Long runs: thousands of mixed requests leave the process as large as it was, with every page
// accounted after every step and given back at the end (the engine CHECKs both); and
// an engine that is killed while it writes its cache folder is followed by ones that serve, and
// answer right.
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <random>
#include <thread>

#include "base/folder.h"
#include "tests/engine/engine_fixture.h"
#include "tests/sanitizers.h"
#include "tests/temporary_folder.h"

namespace godwit::engine {
namespace {

#ifdef GODWIT_SANITIZED
constexpr int kRequests = 600, kKills = 5;
constexpr bool kMemoryIsOurs = false;  // freed memory is held back
#else
constexpr int kRequests = 10000, kKills = 200;
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
  return picture_file(fmt::format("tests/goldens/nano/pictures/ocr-{:02}.png", 1 + index % 4));
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
  if (one_in(6)) put_first(request, picture(random() % 4));
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
  put_first(request, picture(1));
  std::vector<GenerationRequest> turns = {request};
  request.messages.push_back(message("assistant", "I do not know."));
  request.messages.push_back(message("user", "Repeat after me: blue river stone."));
  turns.push_back(request);
  return turns;
}

struct Turn {
  int reused;
  std::vector<TokenLogprob> tokens;
};
std::vector<Turn> talk(Engine& engine) {
  std::vector<Turn> turns;
  for (const auto& request : conversation()) {
    const Reply reply = answer(engine, request);
    EXPECT_EQ(reply.error, "");
    turns.push_back({reply.done.usage.reused_tokens, reply.logprobs});
  }
  return turns;
}

// Where the computing began decides how the prompt is cut into chunks, and so the last bits
// (docs/numerics.md): they are equal for turns that began at the same token.
bool agree(const Turn& a, const Turn& b) {
  return std::equal(a.tokens.begin(), a.tokens.end(), b.tokens.begin(), b.tokens.end(),
                    [&](const TokenLogprob& one, const TokenLogprob& other) {
                      const float apart = std::abs(one.logprob - other.logprob);
                      return one.id == other.id && apart <= (a.reused == b.reused ? 0 : 1e-3f);
                    });
}

// What an engine says that was started after a kill.
struct Report {
  int reused = 0;   // tokens that it had not to compute
  int by_bits = 0;  // turns that were compared by their bits
  bool is_right = true;
};
// As an engine answers that has no folder: without and with what it remembers.
Report judged(const std::vector<Turn>& turns) {
  Report report;
  auto fresh = open_engine(nano_options());
  for (int round = 0; round < 2; ++round) {
    const auto expected = talk(*fresh);
    for (size_t i = 0; i < turns.size(); ++i) {
      report.is_right &= agree(turns[i], expected[i]);
      report.by_bits += turns[i].reused == expected[i].reused;
    }
  }
  for (const Turn& turn : turns) report.reused += turn.reused;
  return report;
}

EngineOptions on_disk(const char* folder) {
  auto options = nano_options();
  options.cache_folder = folder;
  options.cache_disk_bytes = size_t{24} << 20;  // files go, too
  return options;
}

// Not a test: what is killed. It answers, reports, and talks until it is killed.
TEST(Endurance, DISABLED_TalksForEver) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that fails leaves nobody behind
  const char *folder = std::getenv("GODWIT_TEST_FOLDER"), *pipe = std::getenv("GODWIT_TEST_PIPE");
  ASSERT_TRUE(folder && pipe);
  auto engine = open_engine(on_disk(folder));
  const Report report = judged(talk(*engine));
  ASSERT_EQ(write(std::atoi(pipe), &report, sizeof report), static_cast<ssize_t>(sizeof report));
  std::mt19937 random(static_cast<uint32_t>(getpid()));
  for (;;) {
    answer(*engine, any_request(random));
    if (random() % 8 == 0) talk(*engine);
  }
}

pid_t start_talking(const std::string& folder, int pipe) {
  const std::string place = "GODWIT_TEST_FOLDER=" + folder,
                    end = "GODWIT_TEST_PIPE=" + std::to_string(pipe);
  const char* arguments[] = {"child", "--gtest_also_run_disabled_tests",
                             "--gtest_filter=Endurance.DISABLED_TalksForEver", nullptr};
  const char* environment[] = {place.c_str(), end.c_str(), nullptr};
  posix_spawn_file_actions_t quiet;
  posix_spawn_file_actions_init(&quiet);
  posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);
  pid_t child = -1;
  EXPECT_EQ(posix_spawn(&child, "/proc/self/exe", &quiet, nullptr,
                        const_cast<char* const*>(arguments), const_cast<char* const*>(environment)),
            0);
  posix_spawn_file_actions_destroy(&quiet);
  return child;
}

// Tells at once when a file is made in a folder.
class NewFileWatch {
 public:
  explicit NewFileWatch(const std::string& folder) : events_(inotify_init1(IN_NONBLOCK)) {
    EXPECT_GE(inotify_add_watch(events_, folder.c_str(), IN_CREATE), 0);
  }
  ~NewFileWatch() { close(events_); }
  void wait(int milliseconds) const {
    pollfd ready{events_, POLLIN, 0};
    poll(&ready, 1, milliseconds);
  }

 private:
  int events_;
};

// This process and its children: whoever waits for a file then takes the writer's place at once.
class OnOneProcessor {
 public:
  OnOneProcessor() {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    EXPECT_EQ(sched_getaffinity(0, sizeof before_, &before_), 0);
    EXPECT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  }
  ~OnOneProcessor() { sched_setaffinity(0, sizeof before_, &before_); }

 private:
  cpu_set_t before_;
};

// Files that never got their name.
int unfinished_files(const std::string& folder) {
  int count = 0;
  for_each_entry(folder,
                 [&](const auto& entry) { count += entry.path().extension() != ".godwit"; });
  return count;
}

// Every engine is the next one after a kill, and is killed itself: after it has answered at a
// random moment, or at the next one at which a file is being written; some before they have
// answered.
TEST(Endurance, AfterEveryKillTheNextEngineAnswersRight) {
  const TemporaryFolder temporary;
  const std::string folder = temporary.string();
  auto fresh = open_engine(nano_options());
  talk(*fresh);
  const int64_t without_folder = fresh->stats().reused_tokens;
  fresh.reset();
  const OnOneProcessor together;
  std::mt19937 random(3);
  int64_t restored = 0;
  int served = 0, by_bits = 0;
  for (int kill_number = 0; kill_number <= kKills; ++kill_number) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = start_talking(folder, ends[1]);
    ASSERT_GT(child, 0);
    close(ends[1]);
    if (random() % 8 > 0 || kill_number == kKills) {
      Report report;
      ASSERT_EQ(read(ends[0], &report, sizeof report), static_cast<ssize_t>(sizeof report))
          << "it did not start after kill " << kill_number;
      ASSERT_TRUE(report.is_right) << "other answers after kill " << kill_number;
      restored += report.reused;
      by_bits += report.by_bits;
      ++served;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 40000));
    const NewFileWatch new_file(folder);  // closing it takes a while: after the kill
    if (random() % 4 > 0) new_file.wait(100);
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself";
    close(ends[0]);
  }
  const int unfinished = unfinished_files(folder);
  printf(
      "%d kills, %d of them while a file was written; %d engines served, %.0f tokens restored by "
      "each; %d turns compared by their bits\n",
      kKills + 1, unfinished, served, static_cast<double>(restored) / served, by_bits);
  EXPECT_GT(by_bits, served) << "most turns begin where they did";
  EXPECT_GT(restored, (without_folder + 20) * served) << "the folder was of use";
  if (kKills >= 100) {
    EXPECT_GT(unfinished, kKills / 10) << "they were killed while they wrote";
  }
}

}  // namespace
}  // namespace godwit::engine
