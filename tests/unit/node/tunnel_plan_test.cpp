#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <unistd.h>

#include <map>
#include <set>

#include "node/tunnel/choice.h"
#include "node/tunnel/plan.h"
#include "node/tunnel/process.h"

namespace cordon::node::wireguard {
namespace tunnel_plan_test {

WireguardKey key(std::uint8_t n) {
  WireguardKey out{};
  out[0] = n;
  return out;
}
const WireguardKey kParking = key(255);

Prefix ip(unsigned n) {
  return Prefix::host(Address::from_v4(0x64400000u + n));
}
Endpoint endpoint(std::uint16_t port) {
  return {Address::from_v4(0xc6336401), port};
}

PeerState held(std::uint8_t n, std::vector<Prefix> ips, std::optional<Endpoint> at = {}) {
  return {.public_key = key(n), .endpoint = at, .allowed_ips = std::move(ips), .keepalive_s = 25};
}
Peer wanted(std::uint8_t n, std::vector<Prefix> ips, std::optional<Endpoint> at = {}) {
  return {.public_key = key(n), .allowed_ips = std::move(ips), .endpoint = at, .keepalive_s = 25};
}

TEST(PlanPeers, EqualPeersAreNotTouched) {
  const auto plan = plan_peers({held(1, {ip(1), ip(2)}, endpoint(9))}, {wanted(1, {ip(2), ip(1)})}, kParking);
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->empty());
}

TEST(PlanPeers, NewPeerIsWrittenWhole) {
  const auto plan = plan_peers({}, {wanted(1, {ip(1)}, endpoint(9))}, kParking);
  ASSERT_TRUE(plan);
  EXPECT_EQ(
      *plan,
      (std::vector<PeerChange>{
          {.public_key = key(1), .endpoint = endpoint(9), .keepalive_s = 25, .add_allowed_ips = {ip(1)}}}));
}

TEST(PlanPeers, EndpointIsKeptUnlessOneIsGivenAndDiffers) {
  const std::vector<PeerState> now{held(1, {ip(1)}, endpoint(9))};
  EXPECT_TRUE(plan_peers(now, {wanted(1, {ip(1)}, endpoint(9))}, kParking)->empty());
  const auto moved = plan_peers(now, {wanted(1, {ip(1)}, endpoint(10))}, kParking);
  EXPECT_EQ(*moved,
            (std::vector<PeerChange>{{.public_key = key(1), .update_only = true, .endpoint = endpoint(10)}}));
}

TEST(PlanPeers, MovedAllowedIpIsTakenOverBeforeItsPeerGoes) {
  const auto plan = plan_peers({held(1, {ip(1)})}, {wanted(2, {ip(1)})}, kParking);
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->size(), 2u);
  EXPECT_EQ((*plan)[0].public_key, key(2));
  EXPECT_EQ((*plan)[1], (PeerChange{.public_key = key(1), .remove = true}));
}

TEST(PlanPeers, LoneAllowedIpIsDroppedWithoutTouchingTheRest) {
  const auto plan = plan_peers({held(1, {ip(1), ip(2)})}, {wanted(1, {ip(1)})}, kParking);
  ASSERT_TRUE(plan);
  EXPECT_EQ(*plan, (std::vector<PeerChange>{{.public_key = kParking, .add_allowed_ips = {ip(2)}},
                                            {.public_key = kParking, .remove = true}}));
}

TEST(PlanPeers, WantedTwiceIsRefused) {
  EXPECT_EQ(plan_peers({}, {wanted(1, {}), wanted(1, {})}, kParking).error().code, ErrorCode::conflict);
  EXPECT_EQ(plan_peers({}, {wanted(1, {ip(1)}), wanted(2, {ip(1)})}, kParking).error().code,
            ErrorCode::conflict);
}

/// What WireGuard does with a change, and a watch on each step.
struct Model {
  std::map<WireguardKey, Peer> peers;
  std::map<Prefix, WireguardKey> owner;

  void apply(const PeerChange& change) {
    if (change.update_only && !peers.contains(change.public_key)) return;
    if (change.remove) {
      peers.erase(change.public_key);
      std::erase_if(owner, [&](const auto& entry) { return entry.second == change.public_key; });
      return;
    }
    auto [it, added] =
        peers.try_emplace(change.public_key, Peer{.public_key = change.public_key, .keepalive_s = 0});
    if (change.endpoint) it->second.endpoint = change.endpoint;
    if (change.keepalive_s) it->second.keepalive_s = *change.keepalive_s;
    if (change.preshared_key) it->second.preshared_key = *change.preshared_key;
    for (const Prefix& prefix : change.add_allowed_ips) owner[prefix] = change.public_key;
  }

  std::vector<PeerState> states() const {
    std::vector<PeerState> out;
    for (const auto& [public_key, peer] : peers) {
      PeerState state{
          .public_key = public_key, .endpoint = peer.endpoint, .keepalive_s = peer.keepalive_s.value_or(0)};
      state.preshared_key = peer.preshared_key;
      for (const auto& [prefix, of] : owner) {
        if (of == public_key) state.allowed_ips.push_back(prefix);
      }
      out.push_back(state);
    }
    return out;
  }
};

std::vector<Peer> random_peers() {
  std::vector<Peer> out;
  std::map<unsigned, std::size_t> taken;
  for (std::uint8_t n = 1; n <= 6; ++n) {
    if (!*rc::gen::arbitrary<bool>()) continue;
    Peer peer = wanted(n, {});
    if (*rc::gen::arbitrary<bool>()) peer.endpoint = endpoint(*rc::gen::inRange<std::uint16_t>(1, 4));
    peer.keepalive_s = *rc::gen::element<std::uint16_t>(0, 25);
    peer.preshared_key = key(*rc::gen::element<std::uint8_t>(0, 7, 8));
    out.push_back(peer);
  }
  if (out.empty()) return out;
  for (unsigned n = 1; n <= 8; ++n) {
    const auto at = *rc::gen::inRange<std::size_t>(0, out.size() + 1);
    if (at < out.size()) out[at].allowed_ips.push_back(ip(n));
  }
  return out;
}

TEST(PlanPeers, EndsAsWantedAndNothingWantedBeforeAndAfterIsEverMissing) {
  rc::check([] {
    Model model;
    const auto first = random_peers(), second = random_peers();
    const auto fill = plan_peers({}, first, kParking);
    RC_ASSERT(fill.has_value());
    for (const auto& change : *fill) model.apply(change);
    const auto before = model.owner;
    const auto plan = plan_peers(model.states(), second, kParking);
    RC_ASSERT(plan.has_value());
    std::map<Prefix, WireguardKey> after;
    for (const auto& peer : second) {
      for (const auto& prefix : peer.allowed_ips) after[prefix] = peer.public_key;
    }
    for (const auto& change : *plan) {
      model.apply(change);
      for (const auto& [prefix, owner] : after) {
        if (!before.contains(prefix)) continue;
        RC_ASSERT(model.owner.contains(prefix));
        RC_ASSERT(model.owner[prefix] == owner || model.owner[prefix] == before.at(prefix));
      }
    }
    RC_ASSERT(model.owner == after);
    RC_ASSERT(model.peers.size() == second.size());
    RC_ASSERT(plan_peers(model.states(), second, kParking)->empty());
  });
}

TEST(PlanPeers, AKeepaliveThatNobodySaysIsLeftAndOffInANewPeer) {
  Peer quiet = wanted(1, {ip(1)}), fresh = wanted(2, {ip(2)});
  quiet.keepalive_s.reset();
  fresh.keepalive_s.reset();
  const auto changes = plan_peers({held(1, {ip(1)})}, {quiet, fresh}, kParking);
  ASSERT_TRUE(changes);
  EXPECT_EQ(*changes, (std::vector<PeerChange>{{.public_key = key(2), .add_allowed_ips = {ip(2)}}}));
}

TEST(PlanPeers, PresharedKeysAreSetWhereTheyDifferAndTakenAway) {
  auto with = held(1, {ip(1)});
  with.preshared_key = key(7);
  auto same = wanted(1, {ip(1)});
  same.preshared_key = key(7);
  EXPECT_TRUE(plan_peers({with}, {same}, kParking)->empty());
  EXPECT_EQ(*plan_peers({with}, {wanted(1, {ip(1)})}, kParking),
            (std::vector<PeerChange>{{.public_key = key(1), .update_only = true, .preshared_key = key(0)}}));
  EXPECT_EQ(*plan_peers({held(1, {ip(1)})}, {same}, kParking),
            (std::vector<PeerChange>{{.public_key = key(1), .update_only = true, .preshared_key = key(7)}}));
}

TEST(PlanPeers, ASuccessorTakesTheEndpointOverAndItsAllowedIpsMoveAtOnce) {
  auto next = wanted(2, {});
  next.keepalive_s = 0;
  next.successor_of = key(1);
  const auto added = plan_peers({held(1, {ip(1)}, endpoint(9))}, {wanted(1, {ip(1)}), next}, kParking);
  EXPECT_EQ(*added, (std::vector<PeerChange>{{.public_key = key(2), .endpoint = endpoint(9)}}));
  // It is the peer now: its endpoint may be another meanwhile, and stays.
  auto heard = held(2, {}, endpoint(10));
  heard.keepalive_s = 0;
  auto old = wanted(1, {});
  old.keepalive_s = 0;
  auto turned = wanted(2, {ip(1)});
  turned.successor_of = key(1);
  const auto moved = plan_peers({held(1, {ip(1)}, endpoint(9)), heard}, {turned, old}, kParking);
  EXPECT_EQ(*moved,
            (std::vector<PeerChange>{
                {.public_key = key(2), .update_only = true, .keepalive_s = 25, .add_allowed_ips = {ip(1)}},
                {.public_key = key(1), .update_only = true, .keepalive_s = 0}}));
}

TEST(PlanTurn, KeyAndPresharedKeysFirstThenKeepalivesThatBegin) {
  auto with = held(1, {ip(1)});
  with.preshared_key = key(7);
  auto pending = held(3, {});
  pending.keepalive_s = 0;
  const auto turn =
      plan_turn({with, held(2, {ip(2)}), pending}, key(9), {{key(2), key(8)}, {key(3), key(6)}});
  EXPECT_EQ(turn.private_key, key(9));
  EXPECT_FALSE(turn.listen_port);
  EXPECT_EQ(turn.peers,
            (std::vector<PeerChange>{
                {.public_key = key(1), .update_only = true, .preshared_key = key(0), .keepalive_s = 0},
                {.public_key = key(2), .update_only = true, .preshared_key = key(8), .keepalive_s = 0},
                {.public_key = key(3), .update_only = true, .preshared_key = key(6)},
                {.public_key = key(1), .update_only = true, .keepalive_s = 25},
                {.public_key = key(2), .update_only = true, .keepalive_s = 25}}))
      << "the pending peer has nobody to talk to yet";
}

TEST(PeerStatus, HandshakeAge) {
  DeviceState state{.peers = {held(1, {}), held(2, {}), held(3, {})}};
  state.peers[0].last_handshake = {.seconds = 100, .nanoseconds = 5};
  state.peers[1].last_handshake = {.seconds = 200, .nanoseconds = 0};
  const auto status = to_status(state, from_us(150'000'000));
  EXPECT_EQ(status[0].handshake_age, Seconds{50});
  EXPECT_EQ(status[1].handshake_age, Seconds{0});  // the clock was set back
  EXPECT_EQ(status[2].handshake_age, std::nullopt);
}

TEST(ChooseBackend, KernelWhereItCanElseUserspace) {
  const auto works = []() -> Result<bool> { return true; };
  const auto works_not = []() -> Result<bool> { return false; };
  EXPECT_EQ(choose({}, works), Backend::kernel);
  EXPECT_EQ(choose({}, works_not), Backend::userspace);
  EXPECT_EQ(choose({.wanted = Backend::kernel}, works_not).error().code, ErrorCode::unavailable);
  EXPECT_EQ(choose({.wanted = Backend::userspace}, works), Backend::userspace);
}

TEST(ChooseBackend, WhatIsPresentIsAdopted) {
  const auto never = []() -> Result<bool> { return fail(ErrorCode::internal, "asked"); };
  EXPECT_EQ(choose({.present = Backend::userspace}, never), Backend::userspace);
  EXPECT_EQ(choose({.present = Backend::kernel}, never), Backend::kernel);
  EXPECT_EQ(choose({.wanted = Backend::kernel, .present = Backend::kernel}, never), Backend::kernel);
}

TEST(ChooseBackend, KernelToUserspaceNeedsLeave) {
  const auto works_not = []() -> Result<bool> { return false; };
  const auto refused = choose({.remembered = Backend::kernel}, works_not);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  EXPECT_NE(refused.error().hint.find("allow_fallback"), std::string::npos);
  EXPECT_EQ(choose({.remembered = Backend::kernel, .allow_fallback = true}, works_not), Backend::userspace);
  EXPECT_FALSE(choose({.wanted = Backend::userspace, .present = Backend::kernel}, works_not));
}

TEST(Process, ParsesPidFilesAndStatLines) {
  EXPECT_EQ(parse_process("12 345\n"), (ProcessId{12, 345}));
  EXPECT_EQ(parse_process(to_text({77, 8})), (ProcessId{77, 8}));
  for (const char* bad : {"", "12", "1 5", "-3 5", "a 5", "12 5 6", "12 x"})
    EXPECT_FALSE(parse_process(bad)) << bad;
  EXPECT_EQ(parse_start_ticks("5 (a b) c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20"), 4242u);
  EXPECT_FALSE(parse_start_ticks("5 (x) S 1 2 3"));
  EXPECT_FALSE(parse_start_ticks(""));
}

TEST(Process, ExecThatFailsIsTold) {
  const auto started = start_detached({"/nonexistent/program"}, {});
  ASSERT_FALSE(started);
  EXPECT_NE(started.error().what.find("/nonexistent/program"), std::string::npos);
}

TEST(Process, StartedInItsOwnSessionAndEnded) {
  const auto started = start_detached({"/bin/sleep", "60"}, {"PATH=/bin"});
  ASSERT_TRUE(started) << started.error().message();
  EXPECT_TRUE(is_running(*started));
  EXPECT_EQ(getsid(started->pid), started->pid);
  EXPECT_FALSE(is_running({started->pid, started->start_ticks + 1}));  // the pid alone is not it
  stop_process(*started);
  EXPECT_FALSE(is_running(*started));
}

}  // namespace tunnel_plan_test
}  // namespace cordon::node::wireguard
