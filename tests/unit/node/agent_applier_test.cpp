// What goes on around a state: looks amid a large write, and a restart while no controller speaks.

#include <gtest/gtest.h>

#include "node/agent/applier.h"
#include "tests/unit/node/agent_fakes.h"
#include "tests/unit/node/agent_states.h"

namespace cordon::node {
namespace agent_applier_test {

using test::address;
using test::base_state;

constexpr BootNs kSecondNs = 1'000'000'000;

Prefix prefix(std::string_view text) {
  return Prefix::parse(text).value();
}

/// An address of this host's own, in a network of 24 bits.
Prefix own(std::string_view text) {
  return {address(text), 96 + 24};
}

/// Ledger is a gateway before 192.0.2.0/24.
policy::NodeState with_gateway() {
  policy::NodeState state = base_state();
  auto& ledger = std::get<policy::PeerValue>(state.entries.at(policy::PeerKey{DeviceId{"ledger"}}));
  ledger.allowed_ips.push_back(prefix("192.0.2.0/24"));
  return state;
}

class ApplierTest : public ::testing::Test {
 protected:
  bool routes(std::string_view to) const {
    return std::ranges::any_of(network.routes, [&](const Route& r) { return r.destination == prefix(to); });
  }
  std::vector<Prefix> ways_to(std::uint8_t key) const {
    WireguardKey wanted;
    wanted.fill(key);
    for (const Peer& peer : tunnel.held)
      if (peer.public_key == wanted) return peer.allowed_ips;
    return {};
  }
  bool only_reads_tunnel() const {
    return std::ranges::none_of(steps, [](const auto& step) { return step.starts_with("tunnel."); });
  }

  test::Steps steps;
  test::FakeFilter filter{steps};
  test::FakeTunnel tunnel{steps};
  test::FakeNetwork network{steps};
  Applier applier{filter, tunnel, network, {{1000, 60000}}, {prefix("198.51.100.0/24")}};
};

TEST_F(ApplierTest, ALookAtPeersAmidAWriteKeepsThePeersOfBothStates) {
  const policy::NodeState first = base_state();
  ASSERT_TRUE(applier.replace(first, {}, false));
  policy::NodeState second = first;
  second.entries[policy::PeerKey{DeviceId{"ledger"}}] = test::peer(1, {});
  second.entries[policy::PeerKey{DeviceId{"web"}}] = test::peer(2, {"100.64.0.3"});
  ASSERT_TRUE(applier.begin_replace(second, {}, false));
  EXPECT_TRUE(applier.restless());
  steps.clear();
  ASSERT_TRUE(applier.look_at_peers(1 * kSecondNs));
  ASSERT_TRUE(applier.look_at_peers(10 * kSecondNs));  // the quiet ones begin
  EXPECT_FALSE(only_reads_tunnel()) << "else this shows nothing";
  EXPECT_EQ(tunnel.held.size(), 2u);
  EXPECT_TRUE(ways_to(1).empty()) << "an allowed-IP that moved stays there";
  EXPECT_EQ(ways_to(2).size(), 1u);
  ASSERT_TRUE(applier.end_replace(second, applier.write_replace(second, {}, false)));
  EXPECT_EQ(tunnel.held.size(), 2u);
  EXPECT_EQ(ways_to(2).size(), 1u);
}

TEST_F(ApplierTest, ALookAmidTheFirstWriteTakesNoPeerAway) {
  ASSERT_TRUE(applier.begin_replace(base_state(), {}, false));
  ASSERT_TRUE(applier.look_at_peers(1 * kSecondNs));
  ASSERT_TRUE(applier.look_at_peers(10 * kSecondNs));
  EXPECT_EQ(tunnel.held.size(), 1u);
  ASSERT_TRUE(applier.end_replace(base_state(), applier.write_replace(base_state(), {}, false)));
  EXPECT_EQ(tunnel.held.size(), 1u);
}

TEST_F(ApplierTest, ALookAfterAFirstWriteThatFailedTakesNoPeerAway) {
  filter.fail_at = "filter.replace";
  EXPECT_FALSE(applier.replace(base_state(), {}, false));
  ASSERT_TRUE(applier.look_at_peers(1 * kSecondNs));
  ASSERT_TRUE(applier.look_at_peers(10 * kSecondNs));
  EXPECT_EQ(tunnel.held.size(), 1u);
}

TEST_F(ApplierTest, ARouteThatTheFormerDaemonLeftAndThatIsWrongNowGoesWithoutAController) {
  const auto overlay = overlay_of(with_gateway());
  {
    Applier former(filter, tunnel, network, {{1000, 60000}});
    ASSERT_TRUE(former.restore(overlay));
  }
  ASSERT_TRUE(routes("192.0.2.0/24"));
  steps.clear();
  ASSERT_TRUE(applier.set_controllers({Endpoint::parse("192.0.2.10:7443").value()}));
  ASSERT_TRUE(applier.guard_subnets(overlay));
  ASSERT_TRUE(applier.lead_as_guarded());
  EXPECT_FALSE(routes("192.0.2.0/24"));
  EXPECT_TRUE(routes("100.64.0.0/10"));
  EXPECT_TRUE(network.people.behind.empty());
  EXPECT_TRUE(only_reads_tunnel());
  // People keep their rule until the device's route is gone.
  const auto route =
      std::ranges::find_if(steps, [](const auto& s) { return s.starts_with("network.routes"); });
  EXPECT_NE(std::find(steps.begin(), route, "network.people"), route);
  EXPECT_NE(std::find(route, steps.end(), "network.people"), steps.end());
  // And what changes later is followed, with no controller yet.
  ASSERT_TRUE(applier.set_controllers({}));
  EXPECT_TRUE(routes("192.0.2.0/24"));
  network.networks = {own("192.0.2.40")};
  ASSERT_TRUE(applier.keep_network());
  EXPECT_FALSE(routes("192.0.2.0/24"));
  EXPECT_TRUE(only_reads_tunnel());
}

TEST_F(ApplierTest, WhatIsRightIsLeftAsItIsForItMayBeNewerThanTheDisk) {
  ASSERT_TRUE(applier.guard_subnets(overlay_of(with_gateway())));
  steps.clear();
  ASSERT_TRUE(applier.lead_as_guarded());
  EXPECT_EQ(std::ranges::count_if(steps, [](const auto& s) { return s.starts_with("network."); }), 0);
  network.networks = {own("192.0.2.40")};
  ASSERT_TRUE(applier.follow_gateways());
  EXPECT_NE(std::ranges::find_if(steps, [](const auto& s) { return s.starts_with("network.routes"); }),
            steps.end())
      << "what has to go later goes";
}

TEST_F(ApplierTest, RoutesThatCouldNotBeSetAreTriedAgain) {
  ASSERT_TRUE(applier.set_controllers({Endpoint::parse("192.0.2.10:7443").value()}));
  ASSERT_TRUE(applier.guard_subnets(overlay_of(with_gateway())));
  network.routes_broken = true;
  EXPECT_FALSE(applier.lead_as_guarded());
  network.routes_broken = false;
  ASSERT_TRUE(applier.follow_gateways());
  EXPECT_FALSE(network.routes.empty());
  EXPECT_FALSE(routes("192.0.2.0/24"));
}

TEST_F(ApplierTest, AGatewaysNewAddressIsItsOwnBeforeAnyControllerSpeaks) {
  network.networks = {own("198.51.100.1")};
  ASSERT_TRUE(applier.guard_subnets(overlay_of(base_state())));
  ASSERT_EQ(filter.subnets.own.size(), 3u);
  network.networks = {own("198.51.100.77")};
  steps.clear();
  ASSERT_TRUE(applier.keep_network());
  EXPECT_NE(std::ranges::find(filter.subnets.own, Prefix::host(address("198.51.100.77"))),
            filter.subnets.own.end());
  EXPECT_EQ(steps, test::Steps{"filter.subnets"}) << "tunnel and routes are nobody's yet";
}

TEST_F(ApplierTest, AGatewaysNewAddressIsItsOwnAmidAWrite) {
  network.networks = {own("198.51.100.1")};
  ASSERT_TRUE(applier.replace(with_gateway(), {}, false));
  ASSERT_TRUE(applier.begin_replace(base_state(), {}, false));
  network.networks = {own("198.51.100.77")};
  steps.clear();
  ASSERT_TRUE(applier.follow_own_places());
  EXPECT_NE(std::ranges::find(filter.subnets.own, Prefix::host(address("198.51.100.77"))),
            filter.subnets.own.end());
  EXPECT_EQ(filter.subnets.routed, std::vector{prefix("192.0.2.0/24")}) << "as its routes, which stay";
  EXPECT_EQ(steps, test::Steps{"filter.subnets"});
}

TEST_F(ApplierTest, AGatewaysNewAddressIsItsOwnWhereRoutesFail) {
  ASSERT_TRUE(applier.replace(with_gateway(), {}, false));
  network.routes_broken = true;
  network.networks = {own("198.51.100.77"), own("192.0.2.40")};
  EXPECT_FALSE(applier.follow_gateways());
  EXPECT_NE(std::ranges::find(filter.subnets.own, Prefix::host(address("198.51.100.77"))),
            filter.subnets.own.end());
}

}  // namespace agent_applier_test
}  // namespace cordon::node
