// What people are told that they may reach: what their node's grants say, in the words of the policy.

#include "controller/distribution/reach.h"

#include <gtest/gtest.h>

#include "controller/distribution/granted.h"
#include "policy/compile.h"
#include "tests/support/world_builder.h"

namespace cordon::controller {
namespace distribution_reach_test {

using namespace test;
using policy::Access;
using policy::GrantKey;
using policy::GrantValue;

GrantKey key(std::uint8_t protocol, std::uint16_t port = 0, std::uint8_t bits = 0) {
  return {.direction = policy::Direction::egress,
          .class_id = ClassId(1),
          .target = TargetId(1),
          .protocol = protocol,
          .port_bits = bits,
          .port = port};
}

std::vector<std::string> texts(const std::vector<Granted::Stretch>& stretches) {
  std::vector<std::string> all;
  for (const auto& stretch : stretches) all.push_back(policy::to_string(stretch.access));
  return all;
}

TEST(Granted, ARangeIsTheSumOfItsPrefixesLessWhatIsDenied) {
  const GrantValue allow{.rule = RuleId(1), .lease_s = 60}, deny{.rule = RuleId(2), .deny = true};
  Granted granted;
  granted.add(key(6, 8000, 10), allow);  // 8000-8063
  granted.add(key(6, 8064, 11), allow);  // 8064-8095
  granted.add(key(6, 8010, 16), deny);
  const Access web{.protocol = policy::kTcp, .ports = {8000, 8099}};
  EXPECT_EQ(texts(granted.allowed(web)), (std::vector<std::string>{"tcp/8000-8009", "tcp/8011-8095"}));
  EXPECT_TRUE(granted.allowed({.protocol = policy::kUdp, .ports = {8000, 8099}}).empty());
  EXPECT_TRUE(granted.allowed({}).empty()) << "no grant of any protocol";
}

TEST(Granted, AnyTakesInWhatNothingNarrowerDenies) {
  const GrantValue allow{.rule = RuleId(1), .lease_s = 60}, deny{.rule = RuleId(2), .deny = true};
  Granted granted;
  granted.add(key(0), allow);
  granted.add(key(6, 22, 16), deny);
  EXPECT_EQ(texts(granted.allowed({})), (std::vector<std::string>{"any"}));
  ASSERT_EQ(granted.but().size(), 1u);
  EXPECT_EQ(policy::to_string(granted.but().front()), "tcp/22");
  EXPECT_EQ(texts(granted.allowed({.protocol = policy::kTcp, .ports = {20, 25}})),
            (std::vector<std::string>{"tcp/20-21", "tcp/23-25"}));
  EXPECT_EQ(texts(granted.allowed({.protocol = policy::kUdp, .ports = {53, 53}})),
            (std::vector<std::string>{"udp/53"}));
}

TEST(Reach, IsWhatTheOracleAllowsPortByPort) {
  WorldBuilder builder;
  builder.policy(R"(
[segments.settlement]
members = ["tag:settlement"]
services = { web = ["tcp/8000-8099"], probe = ["tcp/9000-9001", "udp/53"], hidden = ["tcp/7000"] }
[segments.other]
members = ["tag:other"]
[[allow]]
name = "web"
from = { users = ["ann"] }
to = ["settlement/web", "settlement/probe", "settlement tcp/22-23"]
[[allow]]
name = "all-of-other"
from = { users = ["ann"] }
to = ["other any"]
[[forbid]]
name = "not-these"
from = { users = ["ann"] }
to = ["settlement tcp/8080", "settlement tcp/9000", "settlement tcp/22", "other tcp/22"]
)");
  builder.device("ledger", {"settlement"});
  builder.device("printer", {"other"});
  builder.device("laptop");
  builder.session("s-1", "ann", "laptop");
  const policy::World& world = builder.world();
  const policy::PrincipalRef ann = SessionId("s-1");
  const auto state = policy::compile_node(world, DeviceId("laptop"), kNow);
  std::vector<std::string> told;
  for (const ReachEntry& entry : reach_of(world, state, ann, kNow, 1000)) {
    told.push_back(entry.target.value + " " + entry.service + " " + entry.access + " by " + entry.rule);
    EXPECT_EQ(entry.deadline, kNow + std::chrono::hours(8)) << told.back();
  }
  EXPECT_EQ(told,
            (std::vector<std::string>{
                "ledger settlement/probe tcp/9001 by web", "ledger settlement/probe udp/53 by web",
                "ledger settlement/web tcp/8000-8079 by web", "ledger settlement/web tcp/8081-8099 by web",
                "ledger settlement tcp/23 by web", "printer other any but tcp/22 by all-of-other"}));
  for (const std::uint16_t port : {22, 23, 7000, 8079, 8080, 8081, 8100, 9000, 9001}) {
    const auto verdict = policy::evaluate(world, {ann, DeviceId("ledger"), policy::kTcp, port}, kNow).verdict;
    EXPECT_EQ(verdict == policy::Verdict::allow, port == 23 || port == 8079 || port == 8081 || port == 9001)
        << port;
  }
  EXPECT_EQ(reach_of(world, state, ann, kNow, 2).size(), 2u) << "no more than is asked for";
  EXPECT_TRUE(reach_of(world, state, ann, kNow + std::chrono::hours(9), 1000).empty()) << "its time is over";
}

TEST(Reach, NamesWhatIsBehindAGatewayAndNotTheGateway) {
  WorldBuilder builder;
  builder.policy(R"(
[segments.print]
members = ["tag:print"]
services = { jobs = ["tcp/9100"] }
[segments.gate]
members = ["tag:gate"]
services = { ssh = ["tcp/22"] }
[[allow]]
name = "prints"
from = { users = ["ann"] }
to = ["print/jobs"]
[[allow]]
name = "admin"
from = { users = ["root"] }
to = ["gate/ssh"]
)");
  builder.device("gw-1", {"gate"});
  builder.device("laptop");
  builder.behind("printer", "gw-1", {"192.168.7.20/32", "2001:db8:7::/64"}, {"print"});
  builder.session("s-1", "ann", "laptop");
  const auto state = policy::compile_node(builder.world(), DeviceId("laptop"), kNow);
  const auto told = reach_of(builder.world(), state, SessionId("s-1"), kNow, 1000);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told.front().target, DeviceId("printer"));
  EXPECT_EQ(told.front().service, "print/jobs");
  EXPECT_EQ(told.front().prefixes, builder.world().devices.at(DeviceId("printer")).prefixes);
}

}  // namespace distribution_reach_test
}  // namespace cordon::controller
