#include "base/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "base/compute_pool.h"

namespace godwit {
namespace {

using testing::HasSubstr;

TEST(Trace, OffRecordsNothing) {
  Trace trace;
  { const TraceScope scope("unseen"); }
  EXPECT_EQ(Trace::active(), nullptr);
  EXPECT_TRUE(trace.events().empty());
}

TEST(Trace, ScopesNestAndWorkGoesToTheInnermost) {
  Trace trace;
  {
    const Trace::Recording recording(trace);
    const TraceScope layer("layer");
    for (int i = 0; i < 3; ++i) {
      const TraceScope product("product");
      Trace::active()->add_work(10, 4);
    }
  }
  EXPECT_EQ(Trace::active(), nullptr);
  ASSERT_EQ(trace.events().size(), 4u);
  const auto& events = trace.events();
  EXPECT_EQ(events[0].parent, -1);
  for (int i = 1; i < 4; ++i) {
    EXPECT_EQ(events[i].parent, 0);
    EXPECT_GE(events[i].begin, events[0].begin);
    EXPECT_LE(events[i].end, events[0].end);
  }
  const auto rows = trace.table();  // the layer is not a row: its time is that of its parts
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].name, "product");
  EXPECT_EQ(rows[0].calls, 3);
  EXPECT_EQ(rows[0].products, 30);
  EXPECT_EQ(rows[0].bytes, 12);
}

TEST(Trace, WaitingForOtherThreadsIsCounted) {
  Trace trace;
  ComputePool pool(2);
  const Trace::Recording recording(trace);
  const TraceScope scope("uneven");
  pool.parallel_for(2, [](int64_t, int worker) {
    // Whoever is not the caller is slow.
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(worker ? 30 : 0);
    while (std::chrono::steady_clock::now() < end) {
    }
    if (worker == 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  });
  EXPECT_GT(trace.events()[0].waited, 0);
}

TEST(Trace, AppendedEventsKeepTheirParents) {
  Trace first, second;
  for (Trace* trace : {&first, &second}) {
    const Trace::Recording recording(*trace);
    const TraceScope outer("outer");
    const TraceScope inner("inner");
  }
  first.append(second);
  ASSERT_EQ(first.events().size(), 4u);
  EXPECT_EQ(first.events()[3].parent, 2);
  EXPECT_GE(first.events()[2].begin, first.events()[1].end);
}

TEST(Trace, ChromeFormat) {
  Trace trace;
  {
    const Trace::Recording recording(trace);
    const TraceScope scope("a\"b\n");
  }
  const std::string json = trace.chrome_json();
  EXPECT_THAT(json, HasSubstr("\"traceEvents\":["));
  EXPECT_THAT(json, HasSubstr("\"name\":\"a_b_\",\"ph\":\"X\""));
}

}  // namespace
}  // namespace godwit
