#include "policy/capacity.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/support/world_builder.h"

namespace cordon::policy {
namespace capacity_test {

using test::kNow;
using test::WorldBuilder;

constexpr const char* kPolicy = R"(
[groups.staff]
users = ["a@acme.example", "b@acme.example"]
[segments.db]
members = ["tag:db"]
[segments.db.services]
sql = ["tcp/5432", "tcp/8001-8003"]
[[allow]]
name = "staff"
from = { groups = ["staff"] }
to = ["db/sql"]
)";

class CapacityTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* id : {"db-1", "db-2", "db-3"}) world.device(id, {"db"});
    world.device("laptop");
    world.session("s-a", "a@acme.example", "laptop");
    world.session("s-b", "b@acme.example", "laptop");
    world.policy(kPolicy);
  }
  WorldBuilder world;
};

// I11.
TEST_F(CapacityTest, CountsWhatEachNodeNeeds) {
  const auto needs = node_needs(world.world(), kNow);
  // tcp/5432 and tcp/8001 are exact, 8002-8003 is a prefix; each principal has two addresses, so has each
  // target, and the overlay's two prefixes are known everywhere.
  EXPECT_EQ(needs.at(DeviceId("db-1")),
            (NodeNeeds{.principals = 6, .targets = 4, .grants = 2, .grant_ranges = 1, .rule_counters = 1}));
  EXPECT_EQ(needs.at(DeviceId("laptop")),
            (NodeNeeds{.principals = 6, .targets = 10, .grants = 2, .grant_ranges = 1, .rule_counters = 1}));
}

/// A rule for each port, and one that forbids some of them: it lets nothing through, so nothing counts for
/// it.
std::string rules_of_ports(int count) {
  std::string text = "[groups.staff]\nusers = [\"a@acme.example\"]\n[segments.db]\nmembers = [\"tag:db\"]\n";
  for (int i = 0; i < count; ++i)
    text += fmt::format(
        "[[allow]]\nname = \"p{0}\"\nfrom = {{ groups = [\"staff\"] }}\nto = [\"db tcp/{0}\"]\n", 1000 + i);
  return text +
         "[[allow]]\nname = \"web\"\nfrom = { groups = [\"staff\"] }\nto = [\"db any\"]\n"
         "[[forbid]]\nname = \"not-ssh\"\nfrom = { groups = [\"staff\"] }\nto = [\"db tcp/22\"]\n";
}

// I11.
TEST_F(CapacityTest, RulesThatLetSomethingThroughAreCounted) {
  world.policy(rules_of_ports(3));
  const auto needs = node_needs(world.world(), kNow);
  EXPECT_EQ(needs.at(DeviceId("db-1")).rule_counters, 4u);
  EXPECT_EQ(needs.at(DeviceId("db-1")).grants, 5u) << "the forbid has an entry";
  EXPECT_EQ(needs.at(DeviceId("laptop")).rule_counters, 4u) << "in both directions the same";
  const auto small = MapSizes::of({{"rule_counters", 3}});
  const auto found = fit(world.world(), world.world(), {{DeviceId("laptop"), small}}, kNow);
  ASSERT_EQ(found.never.size(), 1u);
  EXPECT_TRUE(found.turning.empty());
  EXPECT_EQ(in_words(found.never[0]),
            "node laptop: 4 rules that count, its map holds 3; raise [filter.maps] rule_counters in its "
            "node.toml or let fewer rules reach it and those who are on it");
}

// I11.
TEST_F(CapacityTest, TellsWhatDoesNotFitWithTheNumbers) {
  EXPECT_TRUE(fit(world.world(), world.world(), {}, kNow).never.empty());
  const auto small = MapSizes::of({{"targets", 9}, {"principals", 5}, {"flows", 1}});
  const auto found = fit(world.world(), world.world(), {{DeviceId("laptop"), small}}, kNow);
  EXPECT_TRUE(found.turning.empty()) << "they are refused";
  ASSERT_EQ(found.never.size(), 2u);
  EXPECT_EQ(in_words(found.never[0]),
            "node laptop: 6 principals, its map holds 5; raise [filter.maps] principals in its node.toml or "
            "let fewer reach it");
  EXPECT_EQ(in_words(found.never[1]),
            "node laptop: 10 targets, its map holds 9; raise [filter.maps] targets in its node.toml or let "
            "those who are on it reach fewer devices");
  EXPECT_EQ(
      in_words(Overflow{.node = DeviceId("ledger"), .map = "targets", .needed = 70'000, .holds = 65'536}),
      "node ledger: 70,000 targets, its map holds 65,536; raise [filter.maps] targets in its node.toml "
      "or let those who are on it reach fewer devices");
}

// I10.
TEST_F(CapacityTest, WhatFitsOnlyWithoutTheStateBeforeIsTold) {
  world.policy(rules_of_ports(3));
  const World next = with_policy(world.world(), test::policy_of({{"next.toml", rules_of_ports(4)}}));
  EXPECT_EQ(node_needs(next, kNow).at(DeviceId("db-1")).grants, 6u);
  // A class is named by what it holds: the one before stays until the other is in force, 5 + 6.
  const std::map<DeviceId, MapSizes> tight{{DeviceId("db-1"), MapSizes::of({{"grants", 10}})},
                                           {DeviceId("db-2"), MapSizes::of({{"grants", 11}})},
                                           {DeviceId("db-3"), MapSizes::of({{"rule_counters", 5}})}};
  const Fit found = fit(world.world(), next, tight, kNow);
  EXPECT_TRUE(found.never.empty());
  ASSERT_EQ(found.turning.size(), 1u);
  EXPECT_EQ(
      turning_in_words(found.turning[0]),
      "node db-1: while it turns, 11 grants stand beside each other, its map holds 10: flows are dropped "
      "for some milliseconds; set grants = 11 in [filter.maps] of its node.toml");
  EXPECT_TRUE(fit(next, next, tight, kNow).turning.empty()) << "what stays needs no room";
}

TEST_F(CapacityTest, APolicyThatIsNotInForceIsCountedAsItWillBe) {
  const auto next = test::policy_of({{"next.toml", "[segments.db]\nmembers = [\"tag:db\"]\n"}});
  const World then = with_policy(world.world(), next);
  EXPECT_EQ(node_needs(then, kNow).at(DeviceId("laptop")), (NodeNeeds{.principals = 6, .targets = 4}));
}

}  // namespace capacity_test
}  // namespace cordon::policy
