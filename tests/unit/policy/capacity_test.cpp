#include "policy/capacity.h"

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
            (NodeNeeds{.principals = 6, .targets = 4, .grants = 2, .grant_ranges = 1}));
  EXPECT_EQ(needs.at(DeviceId("laptop")),
            (NodeNeeds{.principals = 6, .targets = 10, .grants = 2, .grant_ranges = 1}));
}

// I11.
TEST_F(CapacityTest, TellsWhatDoesNotFitWithTheNumbers) {
  EXPECT_TRUE(overflows(world.world(), {}, kNow).empty());
  const auto small = MapSizes::of({{"targets", 9}, {"principals", 5}, {"flows", 1}});
  const auto found = overflows(world.world(), {{DeviceId("laptop"), small}}, kNow);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(in_words(found[0]),
            "node laptop: 6 principals, its map holds 5; raise [filter.maps] principals in its node.toml or "
            "let fewer reach it");
  EXPECT_EQ(in_words(found[1]),
            "node laptop: 10 targets, its map holds 9; raise [filter.maps] targets in its node.toml or let "
            "those who are on it reach fewer devices");
  EXPECT_EQ(
      in_words(Overflow{.node = DeviceId("ledger"), .map = "targets", .needed = 70'000, .holds = 65'536}),
      "node ledger: 70,000 targets, its map holds 65,536; raise [filter.maps] targets in its node.toml "
      "or let those who are on it reach fewer devices");
}

TEST_F(CapacityTest, APolicyThatIsNotInForceIsCountedAsItWillBe) {
  const auto next = test::policy_of({{"next.toml", "[segments.db]\nmembers = [\"tag:db\"]\n"}});
  const World then = with_policy(world.world(), next);
  EXPECT_EQ(node_needs(then, kNow).at(DeviceId("laptop")), (NodeNeeds{.principals = 6, .targets = 4}));
}

}  // namespace capacity_test
}  // namespace cordon::policy
