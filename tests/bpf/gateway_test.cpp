// Gateways (docs/DATAPATH.md, "Gateways"): what is forwarded, at the overlay and at the interface to what is
// behind, and what the hooks say of addresses outside the overlay.

#include <bpf/bpf.h>

#include <cerrno>

#include "tests/bpf/people_fixture.h"

namespace cordon::test {
namespace gateway_test {

constexpr unsigned kCameFrom = 1;  // the interface of a forwarded packet

/// The node stands before a printer in a subnet: its udp/161 is granted by rule 4, its tcp/22 by rule 5.
class GatewayTest : public FamilyTest {
 protected:
  GatewayTest() : FamilyTest({"overlay_in", "overlay_out", "sweep", "guard_in", "guard_out"}) {
    state_.entries[policy::TargetKey{subnet()}] = policy::TargetValue{.id = TargetId(5)};
    settings().v4 = address(kV4.server);
    settings().v6 = address(kV6.server);
    add_principal(GetParam().server, 3);  // the gateway itself
    add_grant({.target = 5, .protocol = policy::kUdp, .port = 161, .rule = 4});
    add_grant({.target = 5, .port = 22, .rule = 5});
    declare({subnet()});
  }
  void declare(std::vector<Prefix> behind, std::vector<Prefix> own = {}) {
    EXPECT_TRUE(filter_->set_subnets({.behind = std::move(behind), .own = std::move(own), .routed = {}}));
  }
  bool v4() const { return client().is_v4(); }
  Address behind(unsigned host) const {
    return address((v4() ? "10.1.2." : "2001:db8:1::") + std::to_string(host));
  }
  Address printer() const { return behind(3); }
  Prefix subnet() const { return Prefix::of(printer(), v4() ? 24 : 64); }
  Flow ssh() const { return {client(), printer(), 40000, 22}; }
  Flow snmp() const { return {client(), printer(), 40000, 161}; }
  /// From what is behind, forwarded into the overlay.
  Verdict forwarded(const Packet& packet) { return run("overlay_out", packet, kCameFrom); }
  /// As if the filter were attached to the interface that those packets came from.
  void stand_at_overlay() {
    const int fd = filter_->objects().map("host");
    const __u32 zero = 0;
    cordon_host host{};
    ASSERT_EQ(bpf_map_lookup_elem(fd, &zero, &host), 0);
    host.overlay_ifindex = kCameFrom;
    ASSERT_EQ(bpf_map_update_elem(fd, &zero, &host, BPF_ANY), 0);
  }
  /// What the interface to what is behind says of it.
  Verdict leaves(const Packet& packet) { return run("guard_out", packet, kCameFrom); }
  Verdict arrives(const Packet& packet) { return run("guard_in", packet); }
  void expect_runs() {
    EXPECT_EQ(in(tcp(ssh(), kAck)), accepted(5));
    EXPECT_EQ(forwarded(tcp(ssh().reversed(), kAck)), accepted(5));
    EXPECT_EQ(in(udp(snmp())), accepted(4));
    EXPECT_EQ(forwarded(udp(snmp().reversed())), accepted(4));
  }
  void expect_cut() {
    EXPECT_FALSE(forwarded(tcp(ssh().reversed(), kAck)).accept);
    EXPECT_FALSE(in(tcp(ssh(), kAck)).accept);
    EXPECT_FALSE(in(udp(snmp())).accept);
    EXPECT_FALSE(forwarded(udp(snmp().reversed())).accept);
  }
};
CORDON_BOTH_FAMILIES(GatewayTest);

TEST_P(GatewayTest, OnlyADeclaredGatewayForwards) {
  declare({});
  write();
  EXPECT_EQ(in(tcp(ssh(), kSyn)), dropped("unknown target"));
  EXPECT_EQ(in(udp(snmp())), dropped("unknown target"));
  EXPECT_EQ(forwarded(tcp(ssh().reversed(), kAck)), dropped("unknown principal")) << "no answer to a client";
  declare({Prefix::of(behind(3), v4() ? 32 : 128)});
  EXPECT_EQ(in(tcp(ssh(), kSyn)), accepted(5)) << "the printer alone";
  Flow next = ssh();
  next.destination = behind(4);
  EXPECT_EQ(in(tcp(next, kSyn)), dropped("unknown target"));
  EXPECT_EQ(in(tcp(to_server(5432), kSyn)), accepted(1)) << "the overlay's is nobody's subnet";
}

TEST_P(GatewayTest, AnObservingTargetIsForwardedByNobodyElseEither) {
  state_.entries[policy::TargetKey{subnet()}] = policy::TargetValue{.id = TargetId(5), .observe = true};
  write();
  EXPECT_EQ(in(tcp({client(), printer(), 40000, 80}, kSyn)), passed("observed"));
  forget_flows();
  declare({});
  EXPECT_EQ(in(tcp({client(), printer(), 40000, 80}, kSyn)), dropped("unknown target"));
}

TEST_P(GatewayTest, WhatIsNoLongerBehindIsCutAtTheNextPacket) {
  write();
  EXPECT_EQ(in(tcp(ssh(), kSyn)), accepted(5));
  EXPECT_EQ(forwarded(tcp(ssh().reversed(), kSyn | kAck)), accepted(5));
  expect_runs();
  declare({});
  expect_cut();
  EXPECT_EQ(in(tcp(to_server(5432), kSyn)), accepted(1));
}

TEST_P(GatewayTest, TheGatewaysOwnPlaceThereIsNobodysTarget) {
  declare({subnet()}, {Prefix::host(behind(1))});
  write();
  Flow own = ssh();
  own.destination = behind(1);
  EXPECT_EQ(in(tcp(own, kSyn)), dropped("unknown target")) << "its own sshd was granted to nobody";
  EXPECT_EQ(in(tcp(ssh(), kSyn)), accepted(5));
  EXPECT_EQ(in(udp(snmp())), accepted(4));
  declare({subnet()}, {Prefix::host(behind(1)), Prefix::host(printer())});  // an address that comes
  expect_cut();
  declare({subnet()}, {Prefix::host(behind(1))});
  EXPECT_EQ(in(tcp(ssh(), kSyn)), accepted(5));
}

TEST_P(GatewayTest, AnIsolatedGatewayForwardsNothing) {
  write();
  EXPECT_EQ(in(tcp(ssh(), kSyn)), accepted(5));
  expect_runs();
  add_grant({.target = 5, .port = 22, .rule = 5, .responder = true});
  add_grant({.target = 1, .port = 22, .rule = 6, .responder = true});
  settings().isolated = true;
  update();
  expect_cut();
  EXPECT_EQ(in(tcp(ssh(), kSyn)), dropped("host isolated")) << "who responds reaches the gateway alone";
  EXPECT_EQ(in(tcp(to_server(22), kSyn)), accepted(6));
  EXPECT_FALSE(leaves(tcp(ssh(), kAck)).accept) << "nor at the other side";
  EXPECT_FALSE(arrives(tcp(ssh().reversed(), kAck)).accept);
  settings().isolated = false;
  update();
  EXPECT_EQ(in(tcp(ssh(), kSyn)), accepted(5));
  expect_runs();
}

TEST_P(GatewayTest, AnIsolatedDeviceBehindItIsCutAlone) {
  state_.entries[policy::TargetKey{Prefix::host(behind(4))}] = policy::TargetValue{.id = TargetId(6)};
  add_grant({.target = 6, .port = 22, .rule = 7});
  write();
  Flow camera = ssh();
  camera.destination = behind(4);
  EXPECT_EQ(in(tcp(camera, kSyn)), accepted(7));
  EXPECT_EQ(in(tcp(ssh(), kSyn)), accepted(5));
  state_.entries.erase(policy::TargetKey{subnet()});
  ASSERT_TRUE(update().epoch_raised);
  expect_cut();
  EXPECT_EQ(forwarded(tcp(camera.reversed(), kAck)), accepted(7));
  EXPECT_EQ(in(tcp(camera, kAck)), accepted(7));
}

TEST_P(GatewayTest, WhatIsBehindBeginsNothingUnderAnyName) {
  write();
  const Address gateway = server();
  EXPECT_EQ(forwarded(tcp({printer(), client(), 22, 40000}, kSyn)), dropped("unknown principal"));
  EXPECT_EQ(forwarded(udp({printer(), client(), 161, 40000})), dropped("unknown principal"));
  EXPECT_EQ(forwarded(echo_request(printer(), client(), 7)), dropped("unknown principal"));
  // Masqueraded, a container of the gateway's too; or in another device's name.
  add_grant({.class_id = 3, .target = 1, .port = 5432, .direction = policy::Direction::egress, .rule = 8});
  update();
  for (const Address& name : {gateway, client()}) {
    EXPECT_EQ(forwarded(tcp({name, address(GetParam().other), 40000, 5432}, kSyn)), dropped("forwarded"));
    EXPECT_EQ(forwarded(udp({name, client(), 40000, 53})), dropped("forwarded"));
  }
  const auto told = events();
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told.front().reason, "unknown principal");
  EXPECT_EQ(told.front().source, printer());
}

TEST_P(GatewayTest, PathMtuIsToldOfWhatIsForwarded) {
  write();
  const std::uint8_t too_big = v4() ? 3 : 2, code = v4() ? 4 : 0;
  EXPECT_EQ(in(udp(snmp())), accepted(4));
  // By the gateway itself, and by a router behind it.
  EXPECT_EQ(out(icmp_error(server(), client(), too_big, code, udp(snmp()))), accepted(4));
  EXPECT_EQ(forwarded(icmp_error(behind(250), client(), too_big, code, udp(snmp()))), accepted(4));
  // By one on the client's side, about an answer.
  EXPECT_EQ(in(icmp_error(client(), printer(), too_big, code, udp(snmp().reversed()))), accepted(4));
  EXPECT_EQ(
      forwarded(icmp_error(behind(250), client(), too_big, code, udp({client(), printer(), 41000, 161}))),
      dropped("icmp error"));
}

TEST_P(GatewayTest, TheGuardPassesAnswersOfForwardedFlowsAndNoBeginnings) {
  state_.entries[policy::GuardKey{.protocol = 0, .ports = {0, 65535}}] = policy::GuardValue{};
  for (const auto underlay : {policy::Underlay::guard, policy::Underlay::closed}) {
    settings().underlay = underlay;
    write();
    stand_at_overlay();
    forget("underlay_flows");
    EXPECT_EQ(arrives(udp(snmp().reversed())), dropped("underlay"));
    EXPECT_EQ(leaves(tcp(ssh(), kSyn)), passed());
    EXPECT_EQ(leaves(udp(snmp())), passed());
    EXPECT_EQ(leaves(echo_request(client(), printer(), 7)), passed());
    EXPECT_EQ(arrives(tcp(ssh().reversed(), kSyn | kAck)), passed());
    EXPECT_EQ(arrives(udp(snmp().reversed())), passed());
    EXPECT_EQ(arrives(echo_reply(printer(), client(), 7)), passed());
    EXPECT_EQ(arrives(icmp_error(behind(250), client(), v4() ? 3 : 1, 1, udp(snmp()))), passed());
    EXPECT_EQ(arrives(tcp({printer(), client(), 9100, 80}, kSyn)), dropped("underlay"));
    EXPECT_EQ(arrives(udp({printer(), client(), 9100, 80})), dropped("underlay"));
    EXPECT_EQ(arrives(tcp({printer(), behind(1), 9100, 22}, kSyn)), dropped("underlay"));
  }
}

// ---- the hooks, at hosts that are no gateways and at one ----

class GatewayHooksTest : public PeopleTest {
 protected:
  void SetUp() override {
    PeopleTest::SetUp();
    if (IsSkipped()) return;
    for (const char* subnet : {"10.1.2.0/24", "2001:db8:1::/64"})
      state_.entries[policy::TargetKey{Prefix::parse(subnet).value()}] =
          policy::TargetValue{.id = TargetId(5)};
    add_grant({.class_id = 2, .target = 5, .port = 22, .direction = policy::Direction::egress, .rule = 9});
    open(true);
    shell("ip route add 10.1.2.0/24 dev ov0 && ip -6 route add 2001:db8:1::/64 dev ov0");
  }
  void tell(bool routed) {
    std::vector<Prefix> both;
    for (const char* subnet : {"10.1.2.0/24", "2001:db8:1::/64"})
      both.push_back(Prefix::parse(subnet).value());
    node::Subnets subnets;
    (routed ? subnets.routed : subnets.behind) = both;
    ASSERT_TRUE(filter_->set_subnets(subnets));
  }
  int connects(std::uint32_t uid, const char* to, std::uint16_t port) {
    return as(uid, [&] { return connect_to(SocketAddress(to, port)); });
  }
  int sends(std::uint32_t uid, const char* to, std::uint16_t port) {
    return as(uid, [&] { return send_to(SocketAddress(to, port)); });
  }
  static constexpr const char* kBehind[] = {"10.1.2.3", "2001:db8:1::3"};
};

TEST_F(GatewayHooksTest, ADenialBehindAGatewayIsToldAtOnce) {
  tell(true);
  for (const char* printer : kBehind) {
    EXPECT_EQ(connects(kAnn, printer, 22), 0) << "granted to her";
    EXPECT_EQ(connects(kAnn, printer, 23), EHOSTUNREACH);
    EXPECT_EQ(sends(kAnn, printer, 161), EHOSTUNREACH);
    EXPECT_EQ(connects(kBen, printer, 22), EHOSTUNREACH);
    EXPECT_EQ(connects(kGuest, printer, 22), EHOSTUNREACH) << "no session";
    EXPECT_EQ(connects(0, printer, 22), EHOSTUNREACH) << "the device";
  }
  EXPECT_EQ(as(kAnn, [] { return connect_to(SocketAddress("10.1.2.3", 22, true)); }), 0) << "v4-mapped";
  EXPECT_EQ(as(kBen, [] { return connect_to(SocketAddress("10.1.2.3", 22, true)); }), EHOSTUNREACH);
}

// What isn't routed into the overlay is no business of the hooks: this host's own network, say, when a state
// names the same addresses behind a gateway elsewhere; or what is behind this very host.
TEST_F(GatewayHooksTest, WhatIsNotRoutedIntoTheOverlayIsLeftAlone) {
  shell("ip route change 10.1.2.0/24 dev lo && ip -6 route change 2001:db8:1::/64 dev lo");
  for (const bool declared : {false, true}) {
    if (declared)
      tell(false);
    else
      ASSERT_TRUE(filter_->set_subnets({}));
    for (const char* printer : kBehind)
      for (const std::uint32_t uid : {kAnn, kGuest, kSystemUid, 0u}) {
        EXPECT_NE(connects(uid, printer, 23), EHOSTUNREACH) << printer << " by " << uid;
        EXPECT_NE(sends(uid, printer, 161), EHOSTUNREACH);
      }
  }
}

}  // namespace gateway_test
}  // namespace cordon::test
