// What stands behind gateways: who is told of it, who reaches it, what an isolation of either end means.

#include <gtest/gtest.h>

#include <algorithm>

#include "policy/capacity.h"
#include "policy/compile.h"
#include "policy/engine.h"
#include "policy/evaluate.h"
#include "policy/explain.h"
#include "policy/plan.h"
#include "tests/support/world_builder.h"

namespace cordon::test {
namespace behind_test {

using policy::Direction;
using policy::NodeState;
using policy::Verdict;

constexpr const char* kPolicy = R"(
[groups]
staff      = { users = ["clerk"] }
responders = { users = ["oncall"] }
[segments.print]
members  = ["tag:print"]
underlay = "closed"
[segments.print.services]
jobs = ["tcp/9100"]
[segments.plant]
members = ["device:plant"]
[segments.plant.services]
panel = ["tcp/80"]
[segments.gate]
members = ["tag:gate"]
[segments.gate.services]
ssh = ["tcp/22"]
[[allow]]
name = "staff-prints"
from = { groups = ["staff"] }
to   = ["print/jobs"]
[[allow]]
name = "staff-watches"
from = { groups = ["staff"] }
to   = ["plant/panel"]
[[allow]]
name = "printers-print"
from = { segments = ["print"] }
to   = ["print/jobs"]
[[allow]]
name = "oncall"
from = { groups = ["responders"] }
to   = ["print/*", "plant/*", "gate/*"]
responders = true
)";

class Behind : public testing::Test {
 protected:
  Behind() {
    builder.policy(kPolicy);
    for (const char* id : {"gw-1", "gw-2"}) builder.device(id, {"gate"});
    builder.device("laptop");
    builder.device("other");
    builder.session("s-clerk", "clerk", "laptop");
    builder.session("s-oncall", "oncall", "other");
    builder.behind("printer", "gw-1", {"192.168.7.20/32", "2001:db8:7::20/128"}, {"print"});
    builder.behind("plant", "gw-1", {"10.20.0.0/16"});
    builder.behind("attic", "gw-2", {"192.168.7.21/32"}, {"print"});
  }

  static Address address(const char* text) { return Address::parse(text).value(); }
  static Prefix prefix(const char* text) { return Prefix::parse(text).value(); }
  policy::Device& device(const char* id) { return world.devices.at(DeviceId{id}); }
  NodeState state(const char* id) {
    settle(world);
    return policy::compile_node(world, DeviceId{id}, kNow);
  }
  Address clerk() { return world.sessions.at(SessionId{"s-clerk"}).addresses.v4; }
  Address oncall() { return world.sessions.at(SessionId{"s-oncall"}).addresses.v4; }

  /// Both ends alike.
  bool reaches(const char* node, const char* gateway, const Address& source, const char* target,
               std::uint16_t port) {
    const bool out =
        policy::look_up(state(node), Direction::egress, source, address(target), policy::kTcp, port, kNow)
            .accept;
    const bool in =
        policy::look_up(state(gateway), Direction::ingress, source, address(target), policy::kTcp, port, kNow)
            .accept;
    EXPECT_EQ(out, in) << target << ":" << port;
    return out && in;
  }
  policy::Decision decide(const char* session, const char* target, std::uint16_t port) {
    return policy::evaluate(
        world,
        {.principal = SessionId{session}, .target = DeviceId{target}, .protocol = policy::kTcp, .port = port},
        kNow);
  }

  WorldBuilder builder;
  policy::World& world = builder.world();
};

TEST_F(Behind, IsATargetAtItsPrefixesAndNothingElse) {
  EXPECT_TRUE(reaches("laptop", "gw-1", clerk(), "192.168.7.20", 9100));
  EXPECT_TRUE(reaches("laptop", "gw-2", clerk(), "192.168.7.21", 9100));
  EXPECT_TRUE(reaches("laptop", "gw-1", clerk(), "10.20.255.3", 80)) << "anywhere in the subnet";
  EXPECT_FALSE(reaches("laptop", "gw-1", clerk(), "10.20.255.3", 9100)) << "another segment's port";
  EXPECT_FALSE(reaches("laptop", "gw-1", clerk(), "192.168.7.20", 80));
  EXPECT_FALSE(reaches("laptop", "gw-1", clerk(), "192.168.7.22", 9100)) << "nobody's address";
  EXPECT_EQ(decide("s-clerk", "plant", 80).verdict, Verdict::allow);
  EXPECT_EQ(decide("s-clerk", "plant", 9100).verdict, Verdict::deny);
}

TEST_F(Behind, BeginsNothingAndHasNoState) {
  for (const char* id : {"printer", "plant"}) {
    const policy::Query query{.principal = DeviceId{id}, .target = DeviceId{"attic"}, .port = 9100};
    EXPECT_EQ(policy::evaluate(world, query, kNow).reason, "unknown principal")
        << "although it is in a segment that a rule lets begin";
    EXPECT_TRUE(state(id).entries.empty());
  }
  EXPECT_EQ(policy::compile(world, kNow).size(), 4u);
  EXPECT_EQ(policy::node_needs(world, kNow).size(), 4u);
  for (const auto& [key, value] : state("gw-2").entries)
    if (const auto* principal = std::get_if<policy::PrincipalKey>(&key)) {
      EXPECT_NE(principal->address, Address{}) << "no principal without an address";
    }
}

TEST_F(Behind, ItsGatewayHoldsTheTargetsTheClassesOfBothSegmentsAndItsOwnGuardsOnly) {
  const NodeState gateway = state("gw-1");
  for (const char* text : {"192.168.7.20/32", "2001:db8:7::20/128", "10.20.0.0/16"})
    EXPECT_TRUE(gateway.entries.contains(policy::TargetKey{prefix(text)})) << text;
  EXPECT_FALSE(gateway.entries.contains(policy::TargetKey{prefix("192.168.7.21/32")})) << "behind another";
  const auto& value = std::get<policy::PrincipalValue>(gateway.entries.at(policy::PrincipalKey{clerk()}));
  std::set<std::uint16_t> ports;
  for (const auto& [key, grant] : gateway.entries)
    if (const auto* k = std::get_if<policy::GrantKey>(&key))
      if (k->class_id == value.class_id && k->direction == Direction::ingress) ports.insert(k->port);
  EXPECT_EQ(ports, (std::set<std::uint16_t>{80, 9100})) << "one class for all that it enforces for";
  EXPECT_EQ(gateway.settings()->underlay, policy::Underlay::guard) << "not the printer's";
  EXPECT_FALSE(gateway.entries.contains(policy::GuardKey{policy::kTcp, {9100, 9100}}));
}

TEST_F(Behind, ASourceIsToldOfTheGatewayByThePrefixesThatItNeeds) {
  const auto peer_of = [](const NodeState& state, const char* id) -> std::optional<policy::PeerValue> {
    const auto it = state.entries.find(policy::PeerKey{DeviceId{id}});
    if (it == state.entries.end()) return std::nullopt;
    return std::get<policy::PeerValue>(it->second);
  };
  std::vector<Prefix> all{prefix("192.168.7.20/32"), prefix("2001:db8:7::20/128"), prefix("10.20.0.0/16")};
  std::ranges::sort(all);
  EXPECT_EQ(peer_of(state("laptop"), "gw-1")->allowed_ips, all) << "not the gateway's own addresses";
  EXPECT_EQ(peer_of(state("laptop"), "gw-1")->public_key, device("gw-1").wireguard_key);
  EXPECT_FALSE(peer_of(state("other"), "gw-1")) << "need to know (I6)";
  EXPECT_FALSE(peer_of(state("laptop"), "printer"));
  const auto back = peer_of(state("gw-1"), "laptop");
  ASSERT_TRUE(back);
  EXPECT_TRUE(std::ranges::find(back->allowed_ips, Prefix::host(clerk())) != back->allowed_ips.end());
}

TEST_F(Behind, IsolatedItIsAnIsolatedTarget) {
  device("printer").isolated = true;
  EXPECT_FALSE(reaches("laptop", "gw-1", clerk(), "192.168.7.20", 9100));
  EXPECT_TRUE(reaches("laptop", "gw-1", clerk(), "10.20.0.1", 80)) << "its neighbour isn't";
  EXPECT_TRUE(reaches("other", "gw-1", oncall(), "192.168.7.20", 9100)) << "responders";
  EXPECT_FALSE(state("gw-1").settings()->isolated);
}

TEST_F(Behind, AnIsolatedGatewayTakesWhatIsBehindItAlong) {
  device("gw-1").isolated = true;
  EXPECT_FALSE(reaches("laptop", "gw-1", clerk(), "192.168.7.20", 9100));
  EXPECT_FALSE(reaches("laptop", "gw-1", clerk(), "10.20.0.1", 80));
  EXPECT_TRUE(reaches("laptop", "gw-2", clerk(), "192.168.7.21", 9100));
  EXPECT_FALSE(reaches("other", "gw-1", oncall(), "10.20.0.1", 80)) << "it forwards nothing, to nobody";
  EXPECT_EQ(decide("s-oncall", "printer", 9100).reason, "the target's gateway is isolated");
  device("gw-1").isolated = false;
  EXPECT_TRUE(reaches("laptop", "gw-1", clerk(), "192.168.7.20", 9100));
}

TEST_F(Behind, APendingOrRemovedGatewayReachesNothing) {
  for (const auto gone : {policy::DeviceState::pending, policy::DeviceState::removed}) {
    device("gw-1").state = gone;
    const NodeState laptop = state("laptop");
    EXPECT_FALSE(laptop.entries.contains(policy::TargetKey{prefix("192.168.7.20/32")}));
    EXPECT_FALSE(laptop.entries.contains(policy::PeerKey{DeviceId{"gw-1"}}));
    EXPECT_EQ(decide("s-clerk", "printer", 9100).reason, "unknown target");
  }
}

TEST_F(Behind, IsFoundByAnyOfItsAddresses) {
  EXPECT_EQ(policy::find_behind(world, address("10.20.9.9"))->id, DeviceId{"plant"});
  EXPECT_EQ(policy::find_behind(world, address("10.20.0.0"))->id, DeviceId{"plant"});
  EXPECT_EQ(policy::find_behind(world, address("10.20.255.255"))->id, DeviceId{"plant"});
  EXPECT_EQ(policy::find_behind(world, address("2001:db8:7::20"))->id, DeviceId{"printer"});
  for (const char* nobodys :
       {"10.19.255.255", "10.21.0.0", "192.168.7.22", "2001:db8:7::21", "0.0.0.1", "::1"})
    EXPECT_EQ(policy::find_behind(world, address(nobodys)), nullptr) << nobodys;
  for (const char* overlapping :
       {"10.20.0.0/16", "10.0.0.0/8", "10.20.4.0/24", "192.168.7.20/31", "2001:db8::/32"})
    EXPECT_NE(policy::find_overlap(world, prefix(overlapping)), nullptr) << overlapping;
  for (const char* beside : {"10.21.0.0/16", "10.16.0.0/14", "192.168.7.22/31", "2001:db8:7::21/128"})
    EXPECT_EQ(policy::find_overlap(world, prefix(beside)), nullptr) << beside;
  policy::forget_behind(world, device("plant"));
  EXPECT_EQ(policy::find_behind(world, address("10.20.9.9")), nullptr);
}

TEST_F(Behind, AChangeConcernsItsGatewayAndWhoReachesItAndNoNodeOfItsOwn) {
  policy::Engine engine(world, kNow);
  device("printer").isolated = true;
  settle(world);
  const auto update = engine.advance({.devices = {DeviceId{"printer"}}}, kNow);
  std::set<std::string> told;
  for (std::size_t i = 0; i < update.size(); ++i) told.insert(update.device(i).value);
  EXPECT_EQ(told, (std::set<std::string>{"gw-1", "laptop", "other"}));
  EXPECT_FALSE(engine.is_active(DeviceId{"printer"}));
}

TEST_F(Behind, AnExplanationTakesItAsATargetAndNotAsOneThatAsks) {
  const auto asks =
      policy::explain(world, {.user = {}, .device = DeviceId{"printer"}, .to = "plant/panel"}, kNow);
  ASSERT_FALSE(asks);
  EXPECT_NE(asks.error().what.find("stands behind \"gw-1\" and begins nothing"), std::string::npos);
  const auto reached = policy::explain(
      world, {.user = SubjectId{"u-clerk"}, .device = DeviceId{"laptop"}, .to = "plant/panel"}, kNow);
  ASSERT_TRUE(reached) << reached.error().message();
  ASSERT_EQ(reached->answers.size(), 1u);
  EXPECT_EQ(reached->answers.front().target, DeviceId{"plant"});
  EXPECT_EQ(reached->answers.front().decision.verdict, Verdict::allow);
}

TEST_F(Behind, APlanNamesItAsATarget) {
  const auto less = policy_of(
      {{"policy.toml", std::string(kPolicy).replace(std::string(kPolicy).find("tcp/9100"), 8, "tcp/9101")}});
  const policy::Plan plan = policy::plan(world, *less, {}, kNow);
  ASSERT_FALSE(plan.entries.empty());
  std::set<std::string> targets;
  for (const auto& change : plan.entries.front().changes)
    for (const DeviceId& target : change.targets) targets.insert(target.value);
  EXPECT_EQ(targets, (std::set<std::string>{"attic", "printer"}));
  for (const auto& entry : plan.entries)
    for (const auto& who : entry.principals) EXPECT_NE(who.device.value, "printer") << "it begins nothing";
}

}  // namespace behind_test
}  // namespace cordon::test
