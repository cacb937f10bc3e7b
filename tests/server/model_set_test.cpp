// Several models: loaded when asked for, unloaded when idle or in another's way.
#include "server/model_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/fake_engine.h"
#include "tests/server/server_fixture.h"

namespace godwit::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ModelSetTest : public testing::Test {
 protected:
  // "a", "b" and "c" need 100 bytes each; "broken" does not open.
  ModelSet set(size_t budget, std::chrono::seconds idle = std::chrono::seconds(0)) {
    ModelLoader loader;
    loader.open =
        [this](const engine::EngineOptions& options) -> Result<std::unique_ptr<engine::Engine>> {
      if (options.model == "broken") return bad_input("no such folder");
      opened_.push_back(options.model);
      auto engine = std::make_unique<FakeEngine>();
      engine->set_memory(100);
      return engine;
    };
    loader.plan = [](const engine::EngineOptions&) -> Result<engine::ModelInfo> {
      engine::ModelInfo info;
      info.memory.weights = 100;
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
      if (state.engine) names.push_back(state.name);
    }
    return names;
  }

  std::vector<std::string> opened_;
};

TEST_F(ModelSetTest, LoadsOnceAndOnDemand) {
  ModelSet models = set(0);
  EXPECT_TRUE(loaded(models).empty());
  EXPECT_EQ(models.use("b")->name, "b");
  EXPECT_EQ(models.use("b")->name, "b");
  EXPECT_EQ(models.use("claude")->name, "a");  // an unknown name: the default
  EXPECT_EQ(models.use("")->name, "a");
  EXPECT_THAT(opened_, ElementsAre("b", "a"));
  EXPECT_TRUE(models.has("c"));
  EXPECT_FALSE(models.has("claude"));
  const auto broken = models.use("broken");
  ASSERT_FALSE(broken);
  EXPECT_THAT(broken.error().message, HasSubstr("broken: no such folder"));
}

TEST_F(ModelSetTest, MakesRoomByTheLongestUnused) {
  ModelSet models = set(250);
  ASSERT_TRUE(models.use("a"));
  ASSERT_TRUE(models.use("b"));
  ASSERT_TRUE(models.use("a"));
  ASSERT_TRUE(models.use("c"));
  EXPECT_THAT(loaded(models), ElementsAre("a", "c"));
  // What is in use stays, and a third does not fit.
  const auto a = models.use("a"), c = models.use("c");
  const auto b = models.use("b");
  ASSERT_FALSE(b);
  EXPECT_EQ(b.error().kind, ErrorKind::kFailed);
  EXPECT_THAT(loaded(models), ElementsAre("a", "c"));
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

}  // namespace
}  // namespace godwit::server
