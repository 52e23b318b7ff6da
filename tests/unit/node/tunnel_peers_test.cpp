#include "node/agent/tunnel_peers.h"

#include <gtest/gtest.h>

#include "tests/unit/node/agent_fakes.h"

namespace cordon::node {
namespace tunnel_peers_test {

WireguardKey key(std::uint8_t n) {
  WireguardKey out{};
  out[0] = n;
  return out;
}

constexpr BootNs kSecond = 1'000'000'000;

/// A tunnel in which nothing was heard of a peer unless the test says so.
class TunnelPeersTest : public testing::Test {
 protected:
  TunnelPeersTest() {
    for (std::uint8_t n = 0; n < 20; ++n) tunnel.silent.insert(key(n));
    states[ledger] = {.public_key = key(1), .allowed_ips = {ip}};
    EXPECT_FALSE(peers.begin(ledger)) << "it is yet to come";
    EXPECT_TRUE(peers.set(states));
  }
  void offer(std::uint8_t next) {
    states[ledger].next_key = key(next);
    EXPECT_TRUE(peers.set(states));
  }
  void look(BootNs at) { EXPECT_TRUE(peers.look(states, at)); }
  /// "1: 100.64.0.3; 2:" with every peer's key and what it may send.
  std::string held() const {
    std::string out;
    for (const Peer& peer : tunnel.held) {
      out += fmt::format("{}{}:", out.empty() ? "" : "; ", peer.public_key[0]);
      for (const Prefix& prefix : peer.allowed_ips) out += " " + prefix.address.to_string();
    }
    return out;
  }

  const DeviceId ledger{"ledger"};
  const Prefix ip = Prefix::host(*Address::parse("100.64.0.3"));
  test::Steps steps;
  test::FakeTunnel tunnel{steps};
  TunnelPeers peers{tunnel};
  TunnelPeers::States states;
};

TEST_F(TunnelPeersTest, ANextKeyIsASecondPeerThatMaySendNothingAndTalksToNobody) {
  EXPECT_FALSE(peers.restless(states));
  offer(2);
  EXPECT_EQ(held(), "1: 100.64.0.3; 2:");
  EXPECT_EQ(tunnel.held[1].keepalive_s, 0);
  EXPECT_EQ(tunnel.held[1].successor_of, key(1)) << "it is reached where the other one is";
  EXPECT_TRUE(peers.restless(states));
  look(kSecond);
  EXPECT_EQ(held(), "1: 100.64.0.3; 2:") << "nothing was heard of it";
}

TEST_F(TunnelPeersTest, TheFirstPacketMovesTheAllowedIpsAndTheOldKeyStaysASecond) {
  offer(2);
  tunnel.silent.erase(key(2));
  look(kSecond);
  EXPECT_EQ(held(), "2: 100.64.0.3; 1:");
  EXPECT_EQ(tunnel.held[0].keepalive_s, 25);
  EXPECT_EQ(tunnel.held[1].keepalive_s, 0);
  EXPECT_EQ(peers.key_of(ledger, states[ledger]), key(2));
  look(kSecond);
  look(2 * kSecond - 1);
  EXPECT_EQ(held(), "2: 100.64.0.3; 1:");
  look(2 * kSecond);
  EXPECT_EQ(held(), "2: 100.64.0.3");
  EXPECT_FALSE(peers.restless(states));
  // The controller's word comes after, and changes nothing.
  const std::size_t told = steps.size();
  states[ledger] = {.public_key = key(2), .allowed_ips = {ip}};
  EXPECT_TRUE(peers.set(states));
  EXPECT_EQ(held(), "2: 100.64.0.3");
  EXPECT_EQ(steps.size(), told + 1);
}

TEST_F(TunnelPeersTest, WithoutAHandshakeTheControllerIsFollowed) {
  offer(2);
  states[ledger] = {.public_key = key(2), .allowed_ips = {ip}};
  EXPECT_TRUE(peers.set(states));
  EXPECT_EQ(held(), "2: 100.64.0.3; 1:") << "what is on its way under the old key";
  EXPECT_EQ(tunnel.held[0].successor_of, key(1));
  EXPECT_TRUE(peers.restless(states));
  look(kSecond);
  look(2 * kSecond);
  EXPECT_EQ(held(), "2: 100.64.0.3");
}

TEST_F(TunnelPeersTest, AnOfferThatIsTakenBackOrReplacedLeavesNothing) {
  offer(2);
  offer(3);
  EXPECT_EQ(held(), "1: 100.64.0.3; 3:");
  states[ledger].next_key.reset();
  EXPECT_TRUE(peers.set(states));
  EXPECT_EQ(held(), "1: 100.64.0.3");
  EXPECT_FALSE(peers.restless(states));
}

TEST_F(TunnelPeersTest, ASecondTurnWithinASecondKeepsEachOldKeyItsTime) {
  offer(2);
  tunnel.silent.erase(key(2));
  look(kSecond);
  look(kSecond);
  states[ledger] = {.public_key = key(2), .allowed_ips = {ip}, .next_key = key(3)};
  EXPECT_TRUE(peers.set(states));
  EXPECT_EQ(held(), "2: 100.64.0.3; 3:; 1:");
  tunnel.silent.erase(key(3));
  look(kSecond + kSecond / 2);
  EXPECT_EQ(held(), "3: 100.64.0.3; 1:; 2:");
  look(kSecond + kSecond / 2);
  look(2 * kSecond);
  EXPECT_EQ(held(), "3: 100.64.0.3; 2:");
  look(kSecond * 5 / 2);
  EXPECT_EQ(held(), "3: 100.64.0.3");
}

TEST_F(TunnelPeersTest, ADaemonThatStartsInTheMidstSeesThatThePeerTurned) {
  states[ledger].next_key = key(2);
  tunnel.held.push_back({.public_key = key(2), .allowed_ips = {ip}});
  tunnel.silent.erase(key(2));
  TunnelPeers fresh(tunnel);
  EXPECT_TRUE(fresh.set(states));
  EXPECT_EQ(held(), "2: 100.64.0.3");
}

TEST_F(TunnelPeersTest, APeerThatGoesTakesItsOldKeyAlong) {
  offer(2);
  tunnel.silent.erase(key(2));
  look(kSecond);
  states.clear();
  EXPECT_TRUE(peers.set(states));
  EXPECT_EQ(held(), "");
  EXPECT_FALSE(peers.restless(states));
}

TEST_F(TunnelPeersTest, WhatTheTunnelRefusesIsTriedAgain) {
  offer(2);
  tunnel.silent.erase(key(2));
  tunnel.broken = true;
  EXPECT_FALSE(peers.look(states, kSecond));
  EXPECT_EQ(held(), "1: 100.64.0.3; 2:");
  tunnel.broken = false;
  EXPECT_TRUE(peers.set(states));
  EXPECT_EQ(held(), "2: 100.64.0.3; 1:");
}

TEST_F(TunnelPeersTest, EachKeyHasItsOwnPresharedKey) {
  peers.use_preshared({{key(1), key(11)}, {key(2), key(12)}});
  offer(2);
  EXPECT_EQ(tunnel.held[0].preshared_key, key(11));
  EXPECT_EQ(tunnel.held[1].preshared_key, key(12));
  tunnel.silent.erase(key(2));
  look(kSecond);
  EXPECT_EQ(tunnel.held[0].preshared_key, key(12));
  EXPECT_EQ(tunnel.held[1].preshared_key, key(11));
}

TEST_F(TunnelPeersTest, ANewPeerIsQuietUntilItHoldsUs) {
  const DeviceId web("web");
  EXPECT_EQ(tunnel.held[0].keepalive_s, 25) << "with this one we were to begin before it came";
  states[web] = {.public_key = key(4), .allowed_ips = {}};
  EXPECT_TRUE(peers.set(states));
  EXPECT_EQ(tunnel.held[1].keepalive_s, std::nullopt);
  EXPECT_TRUE(peers.restless(states));
  EXPECT_TRUE(peers.begin(web));
  EXPECT_TRUE(peers.set(states));
  EXPECT_EQ(tunnel.held[1].keepalive_s, 25);
  EXPECT_FALSE(peers.restless(states));
  EXPECT_FALSE(peers.begin(web)) << "once";
  // One that went and comes again is new again.
  states.erase(web);
  EXPECT_TRUE(peers.set(states));
  states[web] = {.public_key = key(4), .allowed_ips = {}};
  EXPECT_TRUE(peers.set(states));
  EXPECT_EQ(tunnel.held[1].keepalive_s, std::nullopt);
}

TEST_F(TunnelPeersTest, WithoutTheControllersWordAPeerIsQuietForASecondOrTwo) {
  const DeviceId web("web"), clerk("clerk");
  WireguardKey late{};
  late[0] = 0xff;
  states = {{clerk, {.public_key = key(0), .allowed_ips = {}}},
            {web, {.public_key = late, .allowed_ips = {}}}};
  EXPECT_TRUE(peers.set(states));
  look(7 * kSecond);  // its time begins with the first look
  look(8 * kSecond - 1);
  EXPECT_EQ(tunnel.held[0].keepalive_s, std::nullopt);
  look(8 * kSecond);
  EXPECT_EQ(tunnel.held[0].keepalive_s, 25);
  EXPECT_EQ(tunnel.held[1].keepalive_s, std::nullopt) << "the two ends of a pair have different times";
  look(9 * kSecond);
  EXPECT_EQ(tunnel.held[1].keepalive_s, 25);
  EXPECT_FALSE(peers.restless(states));
}

TEST_F(TunnelPeersTest, ATunnelMadeAnewBeginsWithAllThatKnewUs) {
  peers.forget();
  states[DeviceId("web")] = {.public_key = key(4), .allowed_ips = {}};
  EXPECT_TRUE(peers.set(states));
  for (const Peer& peer : tunnel.held) EXPECT_EQ(peer.keepalive_s, 25);
  states[DeviceId("zebra")] = {.public_key = key(5), .allowed_ips = {}};
  EXPECT_TRUE(peers.set(states));
  EXPECT_EQ(tunnel.held[2].keepalive_s, std::nullopt) << "this one is new";
}

TEST_F(TunnelPeersTest, HintsAreToldOnceAndAgainToATunnelMadeAnew) {
  const Endpoint at = *Endpoint::parse("198.51.100.10:51820");
  peers.hint(ledger, at);
  EXPECT_TRUE(peers.set(states));
  EXPECT_EQ(tunnel.held[0].endpoint, at);
  EXPECT_TRUE(peers.set(states));
  EXPECT_FALSE(tunnel.held[0].endpoint) << "it may know better since";
  peers.forget();
  EXPECT_TRUE(peers.set(states));
  EXPECT_EQ(tunnel.held[0].endpoint, at);
}

}  // namespace tunnel_peers_test
}  // namespace cordon::node
