// Several models: loaded when asked for, unloaded when idle or in another's way.
#include "server/model_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "server/api.h"
#include "tests/server/fake_engine.h"
#include "tests/server/server_fixture.h"

namespace godwit::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class ModelSetTest : public testing::Test {
 protected:
  // "a", "b" and "c" need 100 bytes each and would take 40 more for prefixes; "broken" does not
  // open.
  ModelSet set(size_t budget, std::chrono::seconds idle = std::chrono::seconds(0)) {
    ModelLoader loader;
    loader.open =
        [this](const engine::EngineOptions& options) -> Result<std::unique_ptr<engine::Engine>> {
      if (options.model == "broken" || options.model == broken_) return bad_input("no such folder");
      opened_.push_back(options.model);
      cache_bytes_ = options.cache_bytes;
      auto engine = std::make_unique<FakeEngine>();
      engine->set_stats(stats_);
      return engine;
    };
    loader.plan = [](const engine::EngineOptions& options) -> Result<engine::ModelInfo> {
      engine::ModelInfo info;
      info.memory.weights = 90;
      info.memory.kv_pages = 10;
      info.memory.limit = 90 + (options.cache_bytes > 0 ? options.cache_bytes : 50);
      return info;
    };
    const auto entry = [](const char* name) {
      engine::EngineOptions options;
      options.model = name;
      return ModelSet::Entry{name, options};
    };
    return ModelSet({entry("a"), entry("b"), entry("c"), entry("broken")}, budget, idle, loader);
  }
  static std::vector<std::string> loaded(const ModelSet& set) {
    std::vector<std::string> names;
    for (const auto& state : set.states()) {
      if (state.is_loaded) names.push_back(state.name);
    }
    return names;
  }

  std::vector<std::string> opened_;
  std::string broken_;         // a further one that does not open
  size_t cache_bytes_ = 0;     // of the last that was opened
  engine::EngineStats stats_;  // of every engine
};

TEST_F(ModelSetTest, LoadsOnceAndOnDemand) {
  ModelSet models = set(0);
  EXPECT_TRUE(loaded(models).empty());
  EXPECT_EQ(models.use("b")->name, "b");
  EXPECT_EQ(models.use("b")->name, "b");
  const auto unknown = models.use("claude");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().status, 404);
  EXPECT_EQ(models.use("")->name, "a");
  EXPECT_THAT(opened_, ElementsAre("b", "a"));
  EXPECT_TRUE(models.has("c"));
  EXPECT_FALSE(models.has("claude"));
  const auto broken = models.use("broken");
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().status, 500);
  EXPECT_THAT(broken.error().message, Not(HasSubstr("no such folder")));
  EXPECT_EQ(broken.error().cause.message, "no such folder");
}

TEST_F(ModelSetTest, IsReadyOnceTheDefaultHasLoadedAndStaysSo) {
  ModelSet models = set(0, std::chrono::seconds(100));
  EXPECT_FALSE(models.ready());
  ASSERT_TRUE(models.use("b"));
  EXPECT_FALSE(models.ready());
  ASSERT_TRUE(models.use("a"));
  EXPECT_TRUE(models.ready());
  EXPECT_FALSE(models.use("broken"));
  models.keep("a", std::chrono::seconds(0));
  models.unload_idle();
  EXPECT_TRUE(models.ready());  // the next request loads it
  broken_ = "a";
  EXPECT_FALSE(models.use("a"));
  EXPECT_FALSE(models.ready());
  broken_.clear();
  EXPECT_TRUE(models.use("a"));
  EXPECT_TRUE(models.ready());
}

TEST_F(ModelSetTest, MakesRoomByTheLongestUnused) {
  ModelSet models = set(250);
  ASSERT_TRUE(models.share_memory());
  ASSERT_TRUE(models.use("a"));
  ASSERT_TRUE(models.use("b"));
  ASSERT_TRUE(models.use("a"));
  ASSERT_TRUE(models.use("c"));
  EXPECT_THAT(loaded(models), ElementsAre("a", "c"));
  // What is in use stays, and a third does not fit.
  const auto a = models.use("a"), c = models.use("c");
  const auto b = models.use("b");
  ASSERT_FALSE(b);
  EXPECT_EQ(b.error().status, 503);
  EXPECT_THAT(b.error().message, HasSubstr("the model 'b' needs"));
  EXPECT_THAT(loaded(models), ElementsAre("a", "c"));
}

TEST_F(ModelSetTest, SharesWhatTheBudgetLeaves) {
  ModelSet two = set(250);  // of four, two fit, and 50 are left for their caches
  ASSERT_TRUE(two.share_memory());
  ASSERT_TRUE(two.use("a"));
  EXPECT_EQ(cache_bytes_, 10u + 25u);
  ModelSet one = set(110);
  ASSERT_TRUE(one.share_memory());
  ASSERT_TRUE(one.use("a"));
  EXPECT_EQ(cache_bytes_, 10u + 10u);
  ModelSet all = set(10000);  // never more than it would take by itself
  ASSERT_TRUE(all.share_memory());
  ASSERT_TRUE(all.use("a"));
  EXPECT_EQ(cache_bytes_, 50u);
  ModelSet none = set(99);
  const auto refused = none.share_memory();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kBadInput);
}

TEST_F(ModelSetTest, KeepsAsItIsTold) {
  ModelSet models = set(0, std::chrono::seconds(100));
  ASSERT_TRUE(models.use("a"));
  ASSERT_TRUE(models.use("b"));
  EXPECT_NEAR(static_cast<double>(models.states()[0].expires->count()), 100, 2);
  models.keep("a", std::chrono::seconds(0));
  models.keep("b", std::chrono::seconds(-1));
  EXPECT_FALSE(models.states()[1].expires);
  models.unload_idle();
  EXPECT_THAT(loaded(models), ElementsAre("b"));
  ASSERT_TRUE(models.use("b"));  // without a word: as the server has it
  EXPECT_TRUE(models.states()[1].expires);
}

TEST_F(ModelSetTest, WhatWasCountedOutlivesTheEngine) {
  const auto fill = [](auto&... numbers) { ((numbers = 1), ...); };
  auto& s = stats_;
  fill(s.requests, s.refused, s.running, s.waiting, s.preempted, s.prompt_tokens, s.reused_tokens,
       s.generated_tokens, s.pages_total, s.pages_used, s.snapshots, s.snapshot_bytes,
       s.cache_disk_bytes, s.cache_bytes, s.cache_bytes_used, s.reuse_whole, s.reuse_unknown,
       s.reuse_diverged, s.reuse_no_snapshot, s.undone_positions, s.pictures_encoded,
       s.pictures_reused, s.decoded_bytes, s.prefill_seconds, s.decode_seconds);
  s.drafted.fill(1);
  s.drafts_accepted.fill(1);
  ModelSet models = set(0, std::chrono::seconds(100));
  EXPECT_FALSE(models.states()[0].info);
  // After each: counters, and what is told of now.
  const auto expect = [&](double counted, double now) {
    for (const EngineNumber& number : engine_numbers()) {
      const bool counts = number.kind == EngineNumber::Kind::kCounter;
      EXPECT_EQ(number.of(models.states()[0].stats), counts ? counted : now) << number.field;
    }
  };
  expect(0, 0);
  for (const int loads : {1, 2}) {
    ASSERT_TRUE(models.use("a"));
    expect(loads, 1);
    models.keep("a", std::chrono::seconds(0));
    models.unload_idle();
    expect(loads, 0);
    EXPECT_FALSE(models.states()[0].is_loaded);
    EXPECT_EQ(models.states()[0].info->name, "fake");
  }
}

TEST_F(ModelSetTest, UnloadsWhatIsIdle) {
  ModelSet models = set(0, std::chrono::seconds(1));
  ASSERT_TRUE(models.use("a"));
  const auto b = models.use("b");
  models.unload_idle();
  EXPECT_THAT(loaded(models), ElementsAre("a", "b"));
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  models.unload_idle();
  EXPECT_THAT(loaded(models), ElementsAre("b"));
}

// More requests than there are workers wait for a model that loads; one that is loaded answers.
// Whoever looks at /metrics holds no model.
TEST_F(ModelSetTest, LookingKeepsNothingLoaded) {
  ModelSet models = set(0, std::chrono::seconds(100));
  ASSERT_TRUE(models.use("a"));
  models.keep("a", std::chrono::seconds(0));
  const auto seen = models.states();
  models.unload_idle();
  EXPECT_TRUE(seen[0].is_loaded);
  EXPECT_FALSE(models.states()[0].is_loaded);
}

TEST_F(ModelSetTest, ALoadKeepsOnlyThoseWaitingThatNeedIt) {
  std::promise<void> loaded;
  const std::shared_future<void> go = loaded.get_future().share();
  ModelLoader loader;
  loader.open =
      [go](const engine::EngineOptions& options) -> Result<std::unique_ptr<engine::Engine>> {
    if (options.model == "slow") go.wait();
    return std::make_unique<FakeEngine>();
  };
  const auto entry = [](const char* name) {
    engine::EngineOptions options;
    options.model = name;
    return ModelSet::Entry{name, options};
  };
  ModelSet models({entry("quick"), entry("slow")}, 0, std::chrono::seconds(0), loader);
  ASSERT_TRUE(models.use("quick"));
  Metrics metrics;
  const Api api{models, metrics, MediaSource(), 0};
  const RunningServer server(ServerOptions{}, own_routes(api));
  const auto tokenize = [&](Client& client, const std::string& model) {
    const std::string body = R"({"prompt":"x","model":")" + model + "\"}";
    return client.send(
        fmt::format("POST /tokenize HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{}",
                    body.size(), body));
  };
  std::vector<std::unique_ptr<Client>> waiting;
  for (int i = 0; i < 80; ++i) {
    waiting.push_back(std::make_unique<Client>(server.port()));
    ASSERT_TRUE(tokenize(*waiting.back(), "slow"));
  }
  for (int i = 0; i < 3; ++i) {
    Client client(server.port());
    ASSERT_TRUE(tokenize(client, "quick"));
    EXPECT_EQ(client.read().status, 200) << i;
  }
  EXPECT_EQ(waiting.front()->receive(0), "");
  loaded.set_value();
  int answered = 0, refused = 0;
  for (const auto& client : waiting) {
    const int status = client->read().status;
    answered += status == 200;
    refused += status == 503;
  }
  EXPECT_EQ(answered + refused, 80);
  EXPECT_GE(answered, 64) << "so many may wait";
  EXPECT_GE(refused, 1);
}

}  // namespace
}  // namespace godwit::server
