// Subnets behind gateways (docs/DATAPATH.md, "Gateways"): what is routed, told and refused, in which order.

#include "node/agent/gateways.h"

#include <filesystem>
#include <fstream>

#include "node/agent/applier.h"
#include "node/agent/reach.h"
#include "node/agent/state_file.h"
#include "tests/support/agent_rig.h"

namespace cordon::node {
namespace gateways_test {

using std::chrono::milliseconds;
using test::address;
using test::base_state;
using test::FakeLink;

Prefix prefix(std::string_view text) {
  return Prefix::parse(text).value();
}
Prefix own(std::string_view text, unsigned length) {
  return {address(text), static_cast<std::uint8_t>((address(text).is_v4() ? 96 : 0) + length)};
}
const std::vector<std::string_view> kSubnets{"192.0.2.0/24", "2001:db8:1::/64"};

/// The device, and ledger as a gateway before both subnets, which are targets.
policy::NodeState with_gateway(const std::vector<std::string_view>& subnets = kSubnets) {
  policy::NodeState state = base_state();
  auto& ledger = std::get<policy::PeerValue>(state.entries.at(policy::PeerKey{DeviceId{"ledger"}}));
  for (const auto text : subnets) {
    ledger.allowed_ips.push_back(prefix(text));
    state.entries[policy::TargetKey{prefix(text)}] = policy::TargetValue{.id = TargetId{8}};
  }
  std::ranges::sort(ledger.allowed_ips);
  return state;
}

Gateways look(const policy::NodeState& state, const Surroundings& host = {}) {
  return gateways_of(overlay_of(state), host);
}

TEST(GatewaysTest, ASubnetBehindAPeerIsRouted) {
  EXPECT_FALSE(has_gateways(overlay_of(base_state())));
  EXPECT_EQ(look(base_state()), Gateways{});
  EXPECT_TRUE(has_gateways(overlay_of(with_gateway())));
  const Gateways found = look(with_gateway(), {.networks = {own("203.0.113.7", 24)}});
  EXPECT_EQ(found.subnets.routed, (std::vector{prefix("192.0.2.0/24"), prefix("2001:db8:1::/64")}));
  EXPECT_TRUE(found.subnets.behind.empty());
  EXPECT_TRUE(found.alarms.empty());
}

// I9: the overlay takes no host away from what it stands on.
TEST(GatewaysTest, ASubnetThatHoldsWhatThisHostStandsOnIsNotRouted) {
  struct Case {
    Surroundings host;
    const char* names;
  };
  const Case cases[] = {
      {{.controllers = {Endpoint::parse("192.0.2.1:7443").value()}}, "the controller 192.0.2.1"},
      {{.networks = {own("192.0.2.77", 25)}}, "this host's own 192.0.2.77/25"},
      {{.networks = {own("192.0.0.1", 16)}}, "this host's own 192.0.0.1/16"},
      {{.declared = {prefix("192.0.2.128/25")}}, "192.0.2.128/25, which is behind this host"},
  };
  for (const Case& each : cases) {
    const Gateways found = look(with_gateway(), each.host);
    EXPECT_EQ(found.subnets.routed, std::vector{prefix("2001:db8:1::/64")}) << each.names;
    ASSERT_EQ(found.alarms.size(), 1u) << each.names;
    for (const char* part : {"192.0.2.0/24", "\"ledger\"", each.names})
      EXPECT_NE(found.alarms.front().find(part), std::string::npos) << found.alarms.front();
  }
  const Surroundings elsewhere{.declared = {prefix("198.51.100.0/24")},
                               .networks = {own("198.51.100.1", 24), own("2001:db8:2::1", 64)},
                               .controllers = {Endpoint::parse("203.0.113.1:7443").value()},
                               .peers = {Endpoint::parse("[2001:db8:2::9]:51820").value()}};
  EXPECT_EQ(look(with_gateway(), elsewhere).subnets.routed.size(), 2u);
}

// A peer says where it is: it may not have its peers' packets leave in clear.
TEST(GatewaysTest, APeersPlaceInASubnetCostsThatPeerAlone) {
  const Gateways found = look(with_gateway(), {.peers = {Endpoint::parse("192.0.2.66:51820").value()}});
  EXPECT_EQ(found.subnets, look(with_gateway()).subnets);
  ASSERT_EQ(found.alarms.size(), 1u);
  for (const char* part : {"192.0.2.66:51820", "192.0.2.0/24", "\"ledger\""})
    EXPECT_NE(found.alarms.front().find(part), std::string::npos) << found.alarms.front();
}

TEST(GatewaysTest, ATargetThatNothingLeadsToIsAnAlarmWithItsMend) {
  policy::NodeState state = base_state();
  state.entries[policy::TargetKey{prefix("192.0.2.0/25")}] = policy::TargetValue{.id = TargetId{8}};
  const Gateways undeclared = look(state);
  ASSERT_EQ(undeclared.alarms.size(), 1u);
  for (const char* part : {"192.0.2.0/25", "[gateway]", "node.toml"})
    EXPECT_NE(undeclared.alarms.front().find(part), std::string::npos) << undeclared.alarms.front();
  EXPECT_EQ(look(state, {.declared = {prefix("192.0.2.128/25")}}).alarms.size(), 1u);
  const Gateways declared = look(state, {.declared = {prefix("192.0.2.0/24")}});
  EXPECT_TRUE(declared.alarms.empty());
  EXPECT_EQ(declared.subnets.behind, std::vector{prefix("192.0.2.0/24")});
  EXPECT_TRUE(declared.subnets.routed.empty());
}

TEST(GatewaysTest, TheGatewaysOwnPlacesAreItsAddressesAndItsNetworksFirstAndLast) {
  const Surroundings host{.declared = {prefix("192.0.2.0/24"), prefix("2001:db8:1::/64")},
                          .networks = {own("192.0.2.1", 24), own("2001:db8:1::1", 64), own("203.0.113.7", 24),
                                       own("192.0.2.99", 32)}};
  std::vector<Prefix> expected;
  for (const char* text :
       {"192.0.2.0", "192.0.2.1", "192.0.2.99", "192.0.2.255", "2001:db8:1::", "2001:db8:1::1"})
    expected.push_back(Prefix::host(address(text)));
  std::ranges::sort(expected);
  EXPECT_EQ(look(base_state(), host).subnets.own, expected);
}

TEST(GatewaysTest, TheKernelForwardsOrItIsSaid) {
  const test::TemporaryDirectory sysctls;
  const auto write = [&](const char* file, const char* value) {
    std::filesystem::create_directories((sysctls.path() / file).parent_path());
    std::ofstream(sysctls.path() / file) << value << "\n";
  };
  const std::vector<Prefix> v4{prefix("192.0.2.0/24")}, v6{prefix("2001:db8:1::/64")};
  const auto problems = [&](const std::vector<Prefix>& declared) {
    return forwarding_problems(declared, "cdn-cordon", sysctls.path());
  };
  write("ipv4/conf/default/forwarding", "0");
  write("ipv6/conf/all/forwarding", "0");
  EXPECT_TRUE(problems({}).empty()) << "no gateway needs to";
  ASSERT_EQ(problems(v4).size(), 1u);
  EXPECT_NE(problems(v4).front().find("net.ipv4.ip_forward"), std::string::npos);
  ASSERT_EQ(problems(v6).size(), 1u);
  EXPECT_NE(problems(v6).front().find("net.ipv6.conf.all.forwarding"), std::string::npos);
  write("ipv4/conf/default/forwarding", "1");
  write("ipv6/conf/all/forwarding", "1");
  EXPECT_TRUE(problems(v4).empty());
  EXPECT_TRUE(problems(v6).empty());
  write("ipv4/conf/cdn-cordon/forwarding", "0");
  EXPECT_EQ(problems(v4).size(), 1u) << "the interface itself, once it is there";
}

TEST(GatewaysTest, WithoutAControllerWhatIsBehindIsToldByItsPlace) {
  policy::NodeState state = with_gateway({"192.0.2.0/24"});
  state.entries[policy::TargetKey{prefix("192.0.2.0/24")}] = policy::TargetValue{.id = TargetId{3}};
  const auto reach = reach_of(state, address("100.64.0.2"), [](Seconds) { return kNever; });
  std::set<std::string> targets;
  for (const ReachEntry& entry : reach) targets.insert(entry.target);
  EXPECT_EQ(targets, (std::set<std::string>{"ledger", "192.0.2.0/24 behind ledger"}));
}

// ---- the applier ----

class GatewaysApplied : public ::testing::Test {
 protected:
  void replace(const policy::NodeState& state) {
    steps.clear();
    held = state;
    ASSERT_TRUE(applier.replace(state, {}, false));
  }
  void update(const policy::NodeState& state) {
    steps.clear();
    ASSERT_TRUE(applier.update(held, policy::difference(held, state), {}, false));
    held = state;
  }
  /// The steps of routes and rules, in order.
  std::vector<std::string> ways() const {
    std::vector<std::string> out;
    for (const std::string& step : steps)
      if (step.starts_with("network.people") || step.starts_with("network.routes") ||
          step.starts_with("filter.subnets"))
        out.push_back(step.substr(0, step.find(' ')));
    return out;
  }
  bool routes(std::string_view to) const {
    return std::ranges::any_of(network.routes, [&](const Route& r) { return r.destination == prefix(to); });
  }

  test::Steps steps;
  test::FakeFilter filter{steps};
  test::FakeTunnel tunnel{steps};
  test::FakeNetwork network{steps};
  Applier applier{filter, tunnel, network, {{1000, 60000}}};
  policy::NodeState held;
};

TEST_F(GatewaysApplied, PeopleLoseTheWayBeforeTheDeviceGetsOneAndGetItBackAfter) {
  replace(base_state());
  update(with_gateway());
  EXPECT_EQ(ways(), (std::vector<std::string>{"network.people", "network.routes", "filter.subnets"}));
  EXPECT_EQ(network.people.behind, (std::vector{prefix("192.0.2.0/24"), prefix("2001:db8:1::/64")}));
  const std::vector<Route> expected{{prefix("100.64.0.0/10"), address("100.64.0.2")},
                                    {prefix("fd12:3456:789a::/48"), address("fd12:3456:789a::2")},
                                    {prefix("192.0.2.0/24"), address("100.64.0.2")},
                                    {prefix("2001:db8:1::/64"), address("fd12:3456:789a::2")}};
  EXPECT_EQ(network.routes, expected);
  EXPECT_EQ(filter.subnets.routed, network.people.behind);
  update(base_state());
  EXPECT_EQ(ways(), (std::vector<std::string>{"network.routes", "network.people", "filter.subnets"}));
  EXPECT_TRUE(network.people.behind.empty());
  EXPECT_FALSE(routes("192.0.2.0/24"));
  EXPECT_TRUE(filter.subnets.routed.empty());
}

TEST_F(GatewaysApplied, ASubnetThatMovesToAnotherGatewayStaysRouted) {
  replace(with_gateway());
  policy::NodeState moved = base_state();
  moved.entries[policy::PeerKey{DeviceId{"web"}}] = test::peer(2, {"100.64.0.9"});
  auto& web = std::get<policy::PeerValue>(moved.entries.at(policy::PeerKey{DeviceId{"web"}}));
  for (const auto text : kSubnets) {
    web.allowed_ips.push_back(prefix(text));
    moved.entries[policy::TargetKey{prefix(text)}] = policy::TargetValue{.id = TargetId{9}};
  }
  update(moved);
  EXPECT_TRUE(ways().empty()) << "neither route nor rule changes";
  EXPECT_EQ(filter.subnets.routed.size(), 2u);
}

TEST_F(GatewaysApplied, WhatThisHostStandsOnIsFollowed) {
  replace(with_gateway());
  ASSERT_TRUE(routes("192.0.2.0/24"));
  EXPECT_TRUE(applier.gateway_alarms().empty());
  // The laptop comes into a network of the same addresses.
  network.networks = {own("192.0.2.40", 24)};
  steps.clear();
  const auto told = applier.keep_network();
  ASSERT_TRUE(told);
  EXPECT_TRUE(told->empty()) << "our own change is nobody else's: " << told->front();
  EXPECT_FALSE(routes("192.0.2.0/24"));
  EXPECT_TRUE(routes("2001:db8:1::/64"));
  EXPECT_EQ(filter.subnets.routed, std::vector{prefix("2001:db8:1::/64")});
  EXPECT_EQ(network.people.behind, filter.subnets.routed);
  EXPECT_EQ(applier.gateway_alarms().size(), 1u);
  network.networks.clear();
  ASSERT_TRUE(applier.keep_network());
  EXPECT_TRUE(routes("192.0.2.0/24"));
  EXPECT_TRUE(applier.gateway_alarms().empty());
  // A controller; a peer's place withdraws nothing.
  ASSERT_TRUE(applier.set_controllers({Endpoint::parse("192.0.2.1:7443").value()}));
  EXPECT_FALSE(routes("192.0.2.0/24"));
  ASSERT_TRUE(applier.set_controllers({}));
  EXPECT_TRUE(routes("192.0.2.0/24"));
  ASSERT_TRUE(
      applier.set_endpoint_hints({{DeviceId{"ledger"}, Endpoint::parse("[2001:db8:1::7]:51820").value()}}));
  EXPECT_TRUE(routes("2001:db8:1::/64"));
  EXPECT_EQ(applier.gateway_alarms().size(), 1u);
}

TEST_F(GatewaysApplied, AStateThatFailsLeavesTheWaysAsTheyWere) {
  replace(base_state());
  filter.fail_at = "filter.update";
  const auto failed = applier.update(held, policy::difference(held, with_gateway()), {}, false);
  EXPECT_FALSE(failed);
  EXPECT_FALSE(routes("192.0.2.0/24"));
  EXPECT_TRUE(network.people.behind.empty());
}

// ---- the agent ----

class GatewaysTold : public test::AgentRig {};

TEST_F(GatewaysTold, ADeclaredGatewaySaysSoAndAnotherIsAskedToBeOneInVain) {
  enrolled();
  policy::NodeState state = base_state();
  state.entries[policy::TargetKey{prefix("192.0.2.0/24")}] = policy::TargetValue{.id = TargetId{8}};
  state.entries[policy::TargetKey{prefix("198.51.100.0/24")}] = policy::TargetValue{.id = TargetId{9}};
  config.gateway_subnets = {prefix("192.0.2.0/24")};
  network.networks = {own("192.0.2.1", 24)};
  std::atomic<unsigned> alarms = 0;
  serve([&](FakeLink& link) {
    if (!welcome(link)) return;
    send_state(link, state, 1, 2);
    while (const auto message = link.read()) {
      unsigned told = 0;
      for (const std::string& alarm : message->heartbeat().alarms())
        told += alarm.find("198.51.100.0/24 is to be behind this host") != std::string::npos;
      alarms = std::max(alarms.load(), told);
    }
  });
  run_agent();
  EXPECT_EQ(filter.subnets.behind, config.gateway_subnets) << "before any controller spoke";
  EXPECT_EQ(filter.subnets.own.size(), 3u);
  EXPECT_TRUE(until([&] { return alarms.load() == 1; }));
  finish();
  ASSERT_EQ(last_hello.gateway_subnets_size(), 1);
  EXPECT_EQ(wire::decode_prefix(last_hello.gateway_subnets(0)).value(), prefix("192.0.2.0/24"));
}

TEST_F(GatewaysTold, AWayThatTookTheControllerAwayGoesAtARestart) {
  enrolled();
  ASSERT_TRUE(
      save_state(store.directory() / "state.bin", {.revision = Revision{1}, .state = with_gateway()}));
  // What the former daemon left: the tunnel, and the routes of when the controller was elsewhere.
  tunnel.held = {Peer{}};
  network.routes = overlay_routes(overlay_of(with_gateway()), {prefix("192.0.2.0/24")});
  config.controllers = {Endpoint::parse("192.0.2.10:7443").value()};
  serve([](FakeLink&) {});  // no controller speaks
  run_agent();
  EXPECT_EQ(network.routes, overlay_routes(overlay_of(with_gateway()), {prefix("2001:db8:1::/64")}));
  EXPECT_EQ(std::ranges::count_if(steps, [](const auto& step) { return step.starts_with("tunnel.peers"); }),
            0)
      << "a peer that is taken away costs its keys";
  finish();
}

}  // namespace gateways_test
}  // namespace cordon::node
