#include "engine/threads.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/cpu.h"
#include "tests/temporary_folder.h"

namespace godwit::engine {
namespace {

TEST(Threads, GivenCountsAreTaken) {
  EngineOptions options;
  const int cores = cpu_topology().performance_cores;
  EXPECT_EQ(thread_counts(options).most(), cores);
  options.threads = 3;
  EXPECT_EQ(thread_counts(options).prefill, 3);
  EXPECT_EQ(thread_counts(options).decode, 3);
  options.threads_decode = 2;
  options.threads_vision = 5;
  const ThreadCounts counts = thread_counts(options);
  EXPECT_EQ(counts.prefill, 3);
  EXPECT_EQ(counts.decode, 2);
  EXPECT_EQ(counts.vision, 5);
  EXPECT_EQ(counts.most(), 5);
}

TEST(Threads, AProbeIsKeptForItsMachineOnly) {
  const TemporaryFolder folder;
  EngineOptions options;
  options.machine_folder = folder.string();
  probe_threads(options);
  const std::string path = options.machine_folder + "/threads";
  std::string machine;
  std::getline(std::ifstream(path) >> std::ws, machine);
  ASSERT_NE(machine, "");
  const int logical = cpu_topology().logical_cpus;
  const ThreadCounts found = thread_counts(options);
  EXPECT_GE(found.decode, 1);
  EXPECT_LE(found.most(), logical);

  std::ofstream(path) << machine << "\n1 1\n";
  EXPECT_EQ(thread_counts(options).most(), 1);
  probe_threads(options);  // nothing to do
  EXPECT_EQ(thread_counts(options).most(), 1);
  // Of another machine, or nonsense: as if there were none.
  const int cores = cpu_topology().performance_cores;
  for (const std::string& text : {"another " + machine + "\n1 1\n", machine + "\n0 1\n",
                                  machine + "\n1 99999\n", machine, std::string()}) {
    std::ofstream(path) << text;
    EXPECT_EQ(thread_counts(options).prefill, cores) << text;
  }
}

}  // namespace
}  // namespace godwit::engine
