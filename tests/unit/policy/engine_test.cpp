#include "policy/engine.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/world_builder.h"

namespace cordon::test {
namespace engine_test {

using policy::Engine;
using std::chrono::minutes;

constexpr const char* kPolicy = R"(
[groups]
traders = { users = ["trader"] }
[segments.settlement]
members = ["tag:settlement"]
[segments.settlement.services]
ledger = ["tcp/5432"]
[segments.wiki]
members = ["tag:wiki"]
[segments.wiki.services]
site = ["tcp/443"]
[[allow]]
name = "traders-to-ledger"
from = { groups = ["traders"] }
to   = ["settlement/ledger"]
when = { health_min = 0.4 }
[[allow]]
name = "anyone-reads"
from = { users = ["trader", "clerk"] }
to   = ["wiki/site"]
)";

class EngineTest : public testing::Test {
 protected:
  EngineTest() {
    builder.policy(kPolicy);
    for (const char* ledger : {"ledger-1", "ledger-2"}) builder.device(ledger, {"settlement"});
    builder.device("wiki", {"wiki"});
    builder.device("trader").checks = {"os_updates"};
    builder.device("clerk");
  }

  std::set<std::string> affected(const Engine::Update& update) {
    std::set<std::string> out;
    for (std::size_t i = 0; i < update.size(); ++i) {
      EXPECT_FALSE(update.changes(i)->empty());
      EXPECT_TRUE(out.insert(update.device(i).value).second) << "told twice";
    }
    return out;
  }

  WorldBuilder builder;
  policy::World& world = builder.world();
};

TEST_F(EngineTest, ASessionConcernsItsDeviceAndWhatItReaches) {
  Engine engine(world, kNow);
  builder.session("s", "clerk", "clerk");
  EXPECT_EQ(affected(engine.advance({.sessions = {SessionId{"s"}}}, kNow)),
            (std::set<std::string>{"clerk", "wiki"}));
  world.sessions.clear();
  EXPECT_EQ(affected(engine.advance({.sessions = {SessionId{"s"}}}, kNow)),
            (std::set<std::string>{"clerk", "wiki"}));
  EXPECT_EQ(engine.state(DeviceId{"wiki"}), policy::compile_node(world, DeviceId{"wiki"}, kNow));
}

TEST_F(EngineTest, AFactConcernsOnlyThoseWhomItDecidesFor) {
  builder.session("s", "trader", "trader");
  Engine engine(world, kNow);
  world.devices.at(DeviceId{"trader"}).checks->insert("configuration");
  EXPECT_TRUE(affected(engine.advance({.devices = {DeviceId{"trader"}}}, kNow)).empty());
  world.devices.at(DeviceId{"trader"}).checks->clear();
  EXPECT_EQ(affected(engine.advance({.devices = {DeviceId{"trader"}}}, kNow)),
            (std::set<std::string>{"ledger-1", "ledger-2", "trader"}));
}

TEST_F(EngineTest, NodesThatDifferInNothingShareTheirChanges) {
  Engine engine(world, kNow);
  builder.session("s", "trader", "trader");
  const auto update = engine.advance({.sessions = {SessionId{"s"}}}, kNow);
  std::set<const policy::NodeDelta*> ledgers;
  for (std::size_t i = 0; i < update.size(); ++i)
    if (update.device(i).value.starts_with("ledger")) ledgers.insert(update.changes(i).get());
  EXPECT_EQ(ledgers.size(), 1u);
}

TEST_F(EngineTest, WhatTimeEndsIsFoundWithoutBeingNamed) {
  builder.session("s", "clerk", "clerk", kNow + minutes(5));
  Engine engine(world, kNow);
  EXPECT_EQ(engine.next_change_at(), kNow + minutes(5));
  EXPECT_EQ(engine.advance({}, kNow + minutes(4)).size(), 0u);
  world.sessions.clear();  // the fold drops sessions that are over
  EXPECT_EQ(affected(engine.advance({}, kNow + minutes(5))), (std::set<std::string>{"clerk", "wiki"}));
  EXPECT_EQ(engine.next_change_at(), kNever);
}

TEST_F(EngineTest, ARuleConcernsOnlyThoseItSelects) {
  builder.session("s", "clerk", "clerk");
  builder.session("t", "trader", "trader");
  Engine engine(world, kNow);
  builder.policy(std::string(kPolicy) +
                 "[[allow]]\nname = \"more\"\nfrom = { users = [\"trader\"] }\nto = [\"wiki tcp/80\"]\n");
  EXPECT_EQ(affected(engine.advance({.policy = true}, kNow)), (std::set<std::string>{"trader", "wiki"}));
}

// P3: they may be whom it names.
TEST_F(EngineTest, AForbidConcernsWhoeverHasNoName) {
  builder.user("clerk").name.clear();
  builder.session("s", "clerk", "clerk");
  world.sessions.change(SessionId{"s"}, [](policy::Session& session) { session.claims = {"corp:staff"}; });
  const std::string staff =
      "[groups]\nstaff = { claims = [\"corp:staff\"] }\nlost = { claims = [\"corp:lost\"]";
  const std::string rules = R"( }
[segments.wiki]
members = ["tag:wiki"]
[[allow]]
name = "staff-reads"
from = { groups = ["staff"] }
to = ["wiki tcp/443"]
)";
  const std::string forbid =
      "[[forbid]]\nname = \"never\"\nfrom = { groups = [\"lost\"] }\nto = [\"wiki tcp/443\"]\n";
  builder.policy(staff + rules);
  Engine engine(world, kNow);
  const auto reads = [&] {
    return engine.decide(SessionId{"s"}, DeviceId{"wiki"}, policy::kTcp, 443).accept;
  };
  builder.policy(staff + rules + forbid);
  engine.advance({.policy = true}, kNow);
  EXPECT_TRUE(reads()) << "the group names nobody";
  builder.policy(staff + ", users = [\"somebody\"]" + rules + forbid);
  engine.advance({.policy = true}, kNow);
  EXPECT_FALSE(reads());
  builder.policy(staff + ", users = [\"somebody\"]" + rules);
  engine.advance({.policy = true}, kNow);
  EXPECT_TRUE(reads());
}

TEST_F(EngineTest, DecidesWithoutReasons) {
  builder.session("s", "trader", "trader");
  Engine engine(world, kNow);
  const auto ask = [&](const policy::PrincipalRef& who, const char* target, std::uint16_t port) {
    return engine.decide(who, DeviceId{target}, policy::kTcp, port);
  };
  EXPECT_TRUE(ask(SessionId{"s"}, "ledger-1", 5432).accept);
  EXPECT_EQ(ask(SessionId{"s"}, "ledger-1", 5432).deadline, kNow + minutes(15));
  EXPECT_FALSE(ask(SessionId{"s"}, "ledger-1", 5433).accept);
  EXPECT_FALSE(ask(DeviceId{"trader"}, "ledger-1", 5432).accept);
  EXPECT_FALSE(ask(SessionId{"unknown"}, "ledger-1", 5432).accept);
  EXPECT_FALSE(ask(SessionId{"s"}, "unknown", 5432).accept);
}

}  // namespace engine_test
}  // namespace cordon::test
