#include "node/agent/cut_sockets.h"

#include <gtest/gtest.h>

#include "tests/unit/node/agent_states.h"

namespace cordon::node {
namespace cut_sockets_test {

const Timestamp kNow{std::chrono::sys_days{std::chrono::year{2026} / 11 / 21}};

HostSocket socket(std::uint8_t protocol, std::string_view local, std::string_view remote) {
  return {.protocol = protocol,
          .local = Endpoint::parse(local).value(),
          .remote = Endpoint::parse(remote).value()};
}

/// base_state() with a target of its own: ledger (100.64.0.3) reaches tcp/443 here.
policy::NodeState state() {
  policy::NodeState out = test::base_state();
  policy::PrincipalValue peer;
  peer.class_id = ClassId{78};
  out.entries[policy::PrincipalKey{test::address("100.64.0.3")}] = peer;
  out.entries[policy::TargetKey{Prefix::host(test::address("100.64.0.2"))}] =
      policy::TargetValue{.id = TargetId{2}};
  out.entries[policy::GrantKey{.direction = policy::Direction::ingress,
                               .class_id = ClassId{78},
                               .target = TargetId{2},
                               .protocol = policy::kTcp,
                               .port_bits = 16,
                               .port = 443}] = policy::GrantValue{.rule = RuleId{9}, .lease_s = 600};
  return out;
}

bool is_cut(const HostSocket& which, const policy::NodeState& state,
            const std::vector<HostSocket>& others = {}) {
  auto all = others;
  all.push_back(which);
  const auto cut =
      cut_sockets(all, own_ends(all), state, kNow, {Endpoint::parse("198.51.100.1:7443").value()});
  return std::ranges::any_of(
      cut, [&](const HostSocket& each) { return each.local == which.local && each.remote == which.remote; });
}

const HostSocket kOut = socket(policy::kTcp, "100.64.0.2:40000", "100.64.0.3:5432");
const HostSocket kIn = socket(policy::kTcp, "100.64.0.2:443", "100.64.0.3:40000");

TEST(CutSockets, WhatIsGrantedEitherWayStays) {
  EXPECT_FALSE(is_cut(kOut, state()));
  EXPECT_FALSE(is_cut(kIn, state()));
  EXPECT_TRUE(is_cut(socket(policy::kTcp, "100.64.0.2:40000", "100.64.0.3:5433"), state()));
  EXPECT_TRUE(is_cut(socket(policy::kTcp, "100.64.0.2:444", "100.64.0.3:40000"), state()));
  EXPECT_FALSE(is_cut(kOut, policy::NodeState{})) << "nothing is known yet";
}

TEST(CutSockets, ASessionThatEndsLeavesNoneBehind) {
  const HostSocket udp = socket(policy::kUdp, "100.64.1.1:40000", "100.64.0.3:53");
  const HostSocket local = socket(policy::kUdp, "[fd12:3456:789a::1:1]:40000", "[fd12:3456:789a::2]:53");
  policy::NodeState with = state();
  with.entries[policy::LocalSessionKey{SessionId{"s-1"}}] = test::session();
  for (const HostSocket& each : {udp, local}) {
    EXPECT_FALSE(is_cut(each, with)) << "a datagram socket may ask others too: its packets are judged";
    EXPECT_TRUE(is_cut(each, state()));
  }
  EXPECT_FALSE(is_cut(socket(policy::kUdp, "100.64.0.2:40000", "100.64.0.3:53"), state()))
      << "the device's stay";
}

TEST(CutSockets, ARevokedGrantEndsTheFlowAtBothEnds) {
  policy::NodeState revoked = state();
  std::erase_if(revoked.entries,
                [](const auto& entry) { return std::holds_alternative<policy::GrantKey>(entry.first); });
  EXPECT_TRUE(is_cut(kOut, revoked));
  EXPECT_TRUE(is_cut(kIn, revoked));
}

TEST(CutSockets, APersonWhoIsGoneAndOneWhoseTimeIsOver) {
  policy::NodeState gone = state();
  gone.entries.erase(policy::PrincipalKey{test::address("100.64.0.3")});
  EXPECT_TRUE(is_cut(kIn, gone));
  EXPECT_FALSE(is_cut(kOut, gone)) << "others lose nothing";
  policy::NodeState over = state();
  std::get<policy::PrincipalValue>(over.entries.at(policy::PrincipalKey{test::address("100.64.0.3")}))
      .deadlines.fill(kNow - Seconds(1));
  EXPECT_TRUE(is_cut(kIn, over));
}

TEST(CutSockets, WhatATargetOnlyObservesStaysAsItsPacketsDo) {
  const auto observing = [](std::string_view target) {
    policy::NodeState out = state();
    std::get<policy::TargetValue>(out.entries.at(policy::TargetKey{Prefix::host(test::address(target))}))
        .observe = true;
    return out;
  };
  const HostSocket in = socket(policy::kTcp, "100.64.0.2:444", "100.64.0.3:40000");
  const HostSocket out = socket(policy::kTcp, "100.64.0.2:40000", "100.64.0.3:5433");
  for (const HostSocket& each : {in, out}) EXPECT_TRUE(is_cut(each, state()));
  EXPECT_FALSE(is_cut(in, observing("100.64.0.2"))) << "no grant, and nothing is dropped for that";
  EXPECT_FALSE(is_cut(out, observing("100.64.0.3")));
  policy::NodeState gone = observing("100.64.0.2");
  gone.entries.erase(policy::PrincipalKey{test::address("100.64.0.3")});
  EXPECT_TRUE(is_cut(in, gone)) << "unknown principals are dropped in every mode";
  policy::NodeState over = observing("100.64.0.2");
  std::get<policy::PrincipalValue>(over.entries.at(policy::PrincipalKey{test::address("100.64.0.3")}))
      .deadlines.fill(kNow - Seconds(1));
  EXPECT_TRUE(is_cut(in, over)) << "so are passed deadlines";
}

TEST(CutSockets, TheUnderlayIsOnlyTouchedWhileIsolated) {
  const HostSocket ssh = socket(policy::kTcp, "198.51.100.10:22", "203.0.113.5:40000");
  const HostSocket dns = socket(policy::kUdp, "198.51.100.10:40000", "203.0.113.53:53");
  const HostSocket udp = socket(policy::kUdp, "100.64.0.2:40000", "100.64.0.3:53");
  for (const HostSocket& each : {ssh, dns, udp}) EXPECT_FALSE(is_cut(each, state()));
  policy::NodeState isolated = state();
  std::get<policy::SettingsValue>(isolated.entries.at(policy::SettingsKey{})).isolated = true;
  for (const HostSocket& each : {ssh, dns, udp}) EXPECT_TRUE(is_cut(each, isolated));
}

TEST(CutSockets, AnIsolatedHostKeepsItsOwnAndItsController) {
  policy::NodeState isolated = state();
  std::get<policy::SettingsValue>(isolated.entries.at(policy::SettingsKey{})).isolated = true;
  EXPECT_FALSE(is_cut(socket(policy::kTcp, "198.51.100.10:40000", "198.51.100.1:7443"), isolated));
  EXPECT_TRUE(is_cut(socket(policy::kTcp, "198.51.100.10:40000", "198.51.100.1:8443"), isolated));
  EXPECT_TRUE(is_cut(socket(policy::kUdp, "198.51.100.10:40000", "198.51.100.1:7443"), isolated));
  EXPECT_FALSE(is_cut(socket(policy::kUdp, "198.51.100.10:68", "198.51.100.254:67"), isolated));
  EXPECT_FALSE(is_cut(socket(policy::kTcp, "127.0.0.1:40000", "127.0.0.1:5432"), isolated));
  EXPECT_FALSE(is_cut(socket(policy::kUdp, "127.0.0.1:40000", "127.0.0.53:53"), isolated));
  EXPECT_FALSE(is_cut(socket(policy::kTcp, "[::1]:40000", "[::1]:5432"), isolated));
  // From one address of this host to another: the other end is here too.
  const HostSocket there = socket(policy::kTcp, "198.51.100.10:40000", "192.0.2.10:5432");
  const HostSocket back = socket(policy::kTcp, "192.0.2.10:5432", "198.51.100.10:40000");
  EXPECT_FALSE(is_cut(there, isolated, {back}));
  EXPECT_TRUE(is_cut(there, isolated));
}

}  // namespace cut_sockets_test
}  // namespace cordon::node
