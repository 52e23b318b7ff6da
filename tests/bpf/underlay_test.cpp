// The underlay guard (DATAPATH.md, "The underlay"; I13). Addresses here are of the underlay.

#include <bpf/bpf.h>

#include <functional>

#include "tests/bpf/fixture.h"

namespace cordon::test {
namespace underlay_test {

constexpr Hosts kUnderlay4{"v4", "203.0.113.20", "", "203.0.113.10", ""};
constexpr Hosts kUnderlay6{"v6", "2001:db8::20", "", "2001:db8::10", ""};

inline Verdict counted() {
  return passed("underlay observed");
}

class UnderlayTest : public FilterTest, public testing::WithParamInterface<Hosts> {
 protected:
  UnderlayTest() : FilterTest(kGuardPrograms) {
    settings().underlay = policy::Underlay::guard;
    guard(policy::kTcp, {443, 443});
    guard(policy::kTcp, {8000, 8099});
    guard(policy::kUdp, {443, 443});
  }
  void guard(std::uint8_t protocol, policy::PortRange ports, bool count_only = false) {
    state_.entries[policy::GuardKey{.protocol = protocol, .ports = ports}] =
        policy::GuardValue{.count_only = count_only};
  }
  Flow from_outside(std::uint16_t port, std::uint16_t from = 40000) const {
    return {address(GetParam().client), address(GetParam().server), from, port};
  }
  void no_guards() {
    state_.entries.erase(state_.entries.lower_bound(policy::GuardKey{.protocol = 0, .ports = {0, 0}}),
                         state_.entries.end());
  }
  /// Changes what is remembered of every flow.
  void each_flow(const std::function<std::uint32_t(std::uint32_t)>& change) {
    const int fd = filter_->objects().map("underlay_flows");
    cordon_flow_key key{}, next{};
    for (int error = bpf_map_get_next_key(fd, nullptr, &next); error == 0;
         error = bpf_map_get_next_key(fd, &key, &next)) {
      key = next;
      std::uint32_t begun = 0;
      ASSERT_EQ(bpf_map_lookup_elem(fd, &key, &begun), 0);
      begun = change(begun);
      ASSERT_EQ(bpf_map_update_elem(fd, &key, &begun, BPF_EXIST), 0);
    }
  }
  /// As if all flows' last packets had been so long ago.
  void fall_silent(std::uint32_t seconds) {
    each_flow([&](std::uint32_t begun) { return begun - seconds * CORDON_BEGUN_SECOND; });
  }
  Verdict arrives(const Packet& packet) { return run("guard_in", packet); }
  Verdict leaves(const Packet& packet) { return run("guard_out", packet); }
};
INSTANTIATE_TEST_SUITE_P(Families, UnderlayTest, testing::Values(kUnderlay4, kUnderlay6),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(UnderlayTest, ServicePortsAreClosedAndOthersOpen) {
  write();
  EXPECT_EQ(arrives(tcp(from_outside(443), kSyn)), dropped("underlay"));
  EXPECT_EQ(arrives(tcp(from_outside(443), kAck)), dropped("underlay"));
  EXPECT_EQ(arrives(udp(from_outside(443))), dropped("underlay"));
  for (std::uint16_t port : {8000, 8050, 8099})
    EXPECT_EQ(arrives(tcp(from_outside(port), kSyn)), dropped("underlay"));
  for (std::uint16_t port : {22, 444, 7999, 8100})
    EXPECT_EQ(arrives(tcp(from_outside(port), kSyn)), passed());
  EXPECT_EQ(arrives(udp(from_outside(8000))), passed());
}

TEST_P(UnderlayTest, NothingIsGuardedWithoutASegment) {
  no_guards();
  write();
  EXPECT_EQ(arrives(tcp(from_outside(443), kSyn)), passed());
}

TEST_P(UnderlayTest, AnswersToWhatThisHostBeganPass) {
  guard(0, {0, 65535});  // everything of this host
  write();
  const Flow ours = from_outside(40000, 443).reversed();
  EXPECT_EQ(arrives(tcp(ours.reversed(), kSyn | kAck)), dropped("underlay"));
  EXPECT_EQ(leaves(tcp(ours, kSyn)), passed());
  EXPECT_EQ(arrives(tcp(ours.reversed(), kSyn | kAck)), passed());
  const Flow dns = from_outside(40001, 53).reversed();
  EXPECT_EQ(leaves(udp(dns)), passed());
  EXPECT_EQ(arrives(udp(dns.reversed())), passed());
}

TEST_P(UnderlayTest, AnAnswerToTheOutsideIsNoBeginning) {
  write();
  // Came in before the port was guarded, and was answered.
  EXPECT_EQ(arrives(udp(from_outside(9000))), passed());
  EXPECT_EQ(leaves(udp(from_outside(9000).reversed())), passed());
  EXPECT_EQ(leaves(tcp(from_outside(9001).reversed(), kSyn | kAck)), passed());
  guard(policy::kUdp, {9000, 9000});
  guard(policy::kTcp, {9001, 9001});
  update();
  EXPECT_EQ(arrives(udp(from_outside(9000))), dropped("underlay"));
  EXPECT_EQ(arrives(tcp(from_outside(9001), kAck)), dropped("underlay"));
}

TEST_P(UnderlayTest, OpenCountsWhatGuardWouldDrop) {
  guard(policy::kTcp, {5432, 5432}, true);
  write();
  EXPECT_EQ(arrives(tcp(from_outside(5432), kSyn)), counted());
  EXPECT_EQ(arrives(tcp(from_outside(443), kSyn)), dropped("underlay"));
}

TEST_P(UnderlayTest, StricterWinsWhereGuardsOverlap) {
  guard(policy::kTcp, {8050, 8200}, true);
  write();
  EXPECT_EQ(arrives(tcp(from_outside(8060), kSyn)), dropped("underlay"));
  EXPECT_EQ(arrives(tcp(from_outside(8150), kSyn)), counted());
}

TEST_P(UnderlayTest, ClosedPassesAnswersOnly) {
  settings().underlay = policy::Underlay::closed;
  write();
  EXPECT_EQ(arrives(tcp(from_outside(22), kSyn)), dropped("underlay"));
  const Flow ours = from_outside(40000, 443).reversed();
  EXPECT_EQ(leaves(tcp(ours, kSyn)), passed());
  EXPECT_EQ(arrives(tcp(ours.reversed(), kSyn | kAck)), passed());
}

TEST_P(UnderlayTest, WireguardAndPlumbingAlwaysPass) {
  settings().underlay = policy::Underlay::closed;
  write();
  EXPECT_EQ(arrives(udp(from_outside(51820))), passed());
  const Address outside = address(GetParam().client), here = address(GetParam().server);
  if (here.is_v4()) {
    EXPECT_EQ(arrives(udp(from_outside(68, 67))), passed());
    EXPECT_EQ(arrives(icmp(outside, here, 3, 4, 0)), passed());
    EXPECT_EQ(arrives(icmp(outside, here, 8, 0, 1)), dropped("underlay"));
  } else {
    EXPECT_EQ(arrives(udp(from_outside(546, 547))), passed());
    for (std::uint8_t type : {2, 130, 133, 134, 135, 136, 143})
      EXPECT_EQ(arrives(icmp(outside, here, type, 0, 0)), passed());
    EXPECT_EQ(arrives(with_extension(icmp(outside, here, 130, 0, 0), 0)),
              passed());  // MLD comes behind hop-by-hop
    EXPECT_EQ(arrives(icmp(outside, here, 128, 0, 1)), dropped("underlay"));
  }
}

TEST_P(UnderlayTest, HeadersCannotHideAPort) {
  write();
  const Packet packet = udp(from_outside(443), 64);
  EXPECT_EQ(arrives(fragment(packet, 0, 40, 1)), dropped("underlay"));  // a first fragment shows its port
  EXPECT_EQ(arrives(fragment(packet, 40, 40, 1)), passed());  // a later one comes to nothing without it
  if (packet[0] >> 4 == 6) {
    for (std::uint8_t header : {0, 43, 60})
      EXPECT_EQ(arrives(with_extension(packet, header)), dropped("underlay"));
    Packet chain = packet;
    for (int i = 0; i < 9; ++i) chain = with_extension(chain, 60);
    EXPECT_EQ(arrives(chain), dropped("extension header"));
  }
  const Packet short_one = tcp(from_outside(443), kSyn);
  EXPECT_EQ(arrives(Packet(short_one.begin(), short_one.end() - 8)), dropped("malformed packet"));
}

TEST_P(UnderlayTest, ClosedPassesFragmentsOfWhatPassed) {
  settings().underlay = policy::Underlay::closed;
  write();
  const Flow ours = from_outside(40000, 53).reversed();
  EXPECT_EQ(leaves(udp(ours)), passed());
  const Packet answer = udp(ours.reversed(), 64);
  EXPECT_EQ(arrives(fragment(answer, 40, 16, 7)), dropped("fragment"));
  EXPECT_EQ(arrives(fragment(answer, 0, 40, 7)), passed());
  EXPECT_EQ(arrives(fragment(answer, 32, 16, 7)), dropped("fragment"));  // inside the first
  EXPECT_EQ(arrives(fragment(answer, 40, 16, 7)), passed());
  EXPECT_EQ(arrives(fragment(answer, 56, 16, 7)), passed());
  EXPECT_EQ(arrives(fragment(answer, 40, 16, 8)), dropped("fragment"));
  const Packet stranger = udp(from_outside(9), 64);
  EXPECT_EQ(arrives(fragment(stranger, 0, 40, 9)), dropped("underlay"));
  EXPECT_EQ(arrives(fragment(stranger, 40, 16, 9)), dropped("fragment"));
}

TEST_P(UnderlayTest, ClosedPassesAnswersToOurPings) {
  settings().underlay = policy::Underlay::closed;
  write();
  const Address outside = address(GetParam().client), here = address(GetParam().server);
  EXPECT_EQ(arrives(echo_reply(outside, here, 7)), dropped("underlay"));
  EXPECT_EQ(leaves(echo_request(here, outside, 7)), passed());
  EXPECT_EQ(arrives(echo_reply(outside, here, 7)), passed());
  EXPECT_EQ(arrives(echo_reply(outside, here, 8)), dropped("underlay"));
  EXPECT_EQ(arrives(echo_request(outside, here, 7)), dropped("underlay"));
}

TEST_P(UnderlayTest, EthernetProgramsPassWhatIsNoIp) {
  write();
  EXPECT_EQ(run("guard_in_eth", ethernet(tcp(from_outside(443), kSyn))), dropped("underlay"));
  Packet eapol = ethernet(Packet(28));
  eapol[12] = 0x88, eapol[13] = 0x8e;
  EXPECT_EQ(run("guard_in_eth", eapol), passed());
}

// A tag in the frame is a second one: the host took the first off before.
TEST_P(UnderlayTest, ATagOfNoVlanHidesNothing) {
  const Packet frame = ethernet(tcp(from_outside(443), kSyn));
  const auto expect = [&](const Verdict& hidden) {
    for (std::uint16_t type : {0x8100, 0x88a8}) {
      EXPECT_EQ(run("guard_in_eth", tagged(frame, 0, type)), hidden);
      EXPECT_EQ(run("guard_in_eth", tagged(frame, 0xe000, type)), hidden) << "priority 7";
      EXPECT_EQ(run("guard_in_eth", tagged(tagged(frame, 0), 0, type)), hidden);
      EXPECT_EQ(run("guard_in_eth", tagged(frame, 5, type)), passed()) << "VLAN 5's interface has its own";
    }
    Packet cut = tagged(frame, 0);
    cut.resize(15);
    EXPECT_EQ(run("guard_in_eth", cut), hidden);
  };
  write();
  expect(dropped("malformed packet"));
  settings().underlay = policy::Underlay::closed;
  update();
  expect(dropped("malformed packet"));
  settings().isolated = true;
  update();
  expect(dropped("malformed packet"));
  settings().isolated = false;
  settings().underlay = policy::Underlay::open;
  no_guards();
  guard(policy::kTcp, {443, 443}, true);
  update();
  expect(dropped("malformed packet"));
  no_guards();
  update();
  expect(dropped("malformed packet"));
}

TEST_P(UnderlayTest, WhereNothingIsEnforcedNothingIsDropped) {
  no_guards();
  guard(policy::kTcp, {443, 443}, true);
  write();
  const Packet whole = tcp(from_outside(443), kSyn);
  EXPECT_EQ(arrives(whole), counted());
  EXPECT_EQ(arrives(tcp(from_outside(22), kSyn)), passed());
  EXPECT_EQ(arrives(Packet(whole.begin(), whole.end() - 8)), counted());
  EXPECT_EQ(arrives(fragment(udp(from_outside(443), 64), 40, 40, 1)), passed());
  if (whole[0] >> 4 != 6) return;
  EXPECT_EQ(arrives(with_header(whole, 43, Packet{0, 4, 1, 0, 0, 0, 0})), counted()) << "segment routing";
  EXPECT_EQ(arrives(with_extension(whole, 135)), counted()) << "mobility";
}

TEST_P(UnderlayTest, AJumboIsAsLongAsItIs) {
  write();
  for (const auto& [port, verdict] : {std::pair{443, dropped("underlay")}, std::pair{22, passed()}}) {
    Packet jumbo = tcp(from_outside(static_cast<std::uint16_t>(port)), kAck);
    const int length_at = jumbo[0] >> 4 == 6 ? 4 : 2;
    jumbo[length_at] = jumbo[length_at + 1] = 0;
    EXPECT_EQ(run("guard_in", jumbo, 0, 1400), verdict);
    EXPECT_EQ(run("guard_in", jumbo), dropped("malformed packet")) << "no wire has such";
    if (jumbo[0] >> 4 != 6) continue;
    Packet with_option = with_header(jumbo, 0, Packet{0, 0xc2, 4, 0, 1, 0x11, 0x70});
    with_option[4] = with_option[5] = 0;
    EXPECT_EQ(run("guard_in", with_option, 0, 1400), verdict);
  }
}

TEST_P(UnderlayTest, ClosedPassesErrorsAboutOurFlows) {
  settings().underlay = policy::Underlay::closed;
  write();
  const Address here = address(GetParam().server);
  const Address router = address(here.is_v4() ? "198.51.100.77" : "2001:db8:77::1");
  const Flow dns = from_outside(40000, 53).reversed(), web = from_outside(40001, 443).reversed();
  const auto types = here.is_v4() ? std::vector<std::uint8_t>{3, 11, 12} : std::vector<std::uint8_t>{1, 3, 4};
  const auto about = [&](const Packet& packet, std::uint8_t type) {
    return arrives(icmp_error(router, here, type, here.is_v4() && type == 3 ? 3 : 0, packet));
  };
  for (std::uint8_t type : types) {
    EXPECT_EQ(about(udp(dns), type), dropped("underlay"));
    EXPECT_EQ(about(tcp(web, kSyn), type), dropped("underlay"));
  }
  EXPECT_EQ(leaves(udp(dns)), passed());
  EXPECT_EQ(leaves(tcp(web, kSyn)), passed());
  for (std::uint8_t type : types) {
    EXPECT_EQ(about(udp(dns), type), passed());
    EXPECT_EQ(about(tcp(web, kSyn), type), passed());
    EXPECT_EQ(about(udp(dns.reversed()), type), dropped("underlay")) << "not what this host sent";
    EXPECT_EQ(about(udp(from_outside(40000, 54).reversed()), type), dropped("underlay"));
  }
  EXPECT_EQ(about(udp(dns), 5), dropped("underlay")) << "a redirect, or nothing known";
}

TEST_P(UnderlayTest, OneDatagramOpensNothingForEver) {
  settings().underlay = policy::Underlay::closed;
  write();
  const Flow dns = from_outside(40000, 53).reversed();
  EXPECT_EQ(leaves(udp(dns)), passed());
  fall_silent(299);
  EXPECT_EQ(arrives(udp(dns.reversed())), passed());
  fall_silent(299);
  EXPECT_EQ(arrives(udp(dns.reversed())), passed()) << "what is in use stays";
  fall_silent(302);
  EXPECT_EQ(arrives(udp(dns.reversed())), dropped("underlay"));
  EXPECT_EQ(leaves(udp(dns)), passed());
  EXPECT_EQ(arrives(udp(dns.reversed())), passed());
}

TEST_P(UnderlayTest, AConnectionMayBeSilentForADayOnceAnswered) {
  settings().underlay = policy::Underlay::closed;
  write();
  const Flow ours = from_outside(40000, 443).reversed();
  EXPECT_EQ(leaves(tcp(ours, kSyn)), passed());
  fall_silent(302);
  EXPECT_EQ(arrives(tcp(ours.reversed(), kSyn | kAck)), dropped("underlay"));
  EXPECT_EQ(leaves(tcp(ours, kSyn)), passed());
  EXPECT_EQ(arrives(tcp(ours.reversed(), kSyn | kAck)), passed());
  fall_silent(86'390);
  EXPECT_EQ(arrives(tcp(ours.reversed(), kAck)), passed());
  fall_silent(86'402);
  EXPECT_EQ(arrives(tcp(ours.reversed(), kAck)), dropped("underlay"));
}

TEST_P(UnderlayTest, WhatCameFromOutsideIsForgottenToo) {
  write();
  EXPECT_EQ(arrives(udp(from_outside(9000))), passed());
  fall_silent(302);
  EXPECT_EQ(leaves(udp(from_outside(9000).reversed())), passed());
  guard(policy::kUdp, {9000, 9000});
  update();
  EXPECT_EQ(arrives(udp(from_outside(9000))), passed()) << "this host began, long after";
}

TEST_P(UnderlayTest, FlowsThatAFormerVersionKeptWithoutATimeHold) {
  settings().underlay = policy::Underlay::closed;
  write();
  const Flow dns = from_outside(40000, 53).reversed();
  EXPECT_EQ(leaves(udp(dns)), passed());
  each_flow([](std::uint32_t) { return 1u; });
  EXPECT_EQ(arrives(udp(dns.reversed())), passed());
  fall_silent(302);
  EXPECT_EQ(arrives(udp(dns.reversed())), dropped("underlay")) << "now it has one";
}

// A node that refuses a state says so; then what was open before is all that is open.
TEST_P(UnderlayTest, AStateThatCannotBeWrittenLoosensNothing) {
  settings().underlay = policy::Underlay::closed;
  write();
  const policy::NodeState closed = state_;
  const auto refused = [&] {
    for (std::uint16_t port = 1; port <= 5000; ++port) add_grant({.port = port});  // of 4,096
    EXPECT_FALSE(filter_->update(written_, policy::difference(written_, state_), base(), false));
    EXPECT_FALSE(filter_->replace(state_, base()));
  };
  no_guards();
  settings().underlay = policy::Underlay::open;
  refused();
  EXPECT_EQ(arrives(tcp(from_outside(22), kSyn)), dropped("underlay"));
  state_ = closed;
  settings().isolated = true;
  write();
  settings().isolated = false;
  refused();
  EXPECT_EQ(arrives(tcp(from_outside(22), kSyn)), dropped("host isolated"));
  state_ = closed;
  no_guards();
  settings().underlay = policy::Underlay::open;
  write();
  EXPECT_EQ(arrives(tcp(from_outside(22), kSyn)), passed()) << "one that can be written does";
  state_ = closed;
  refused();
  EXPECT_EQ(arrives(tcp(from_outside(22), kSyn)), dropped("underlay")) << "what is stricter holds at once";
}

TEST_F(FilterTest, AllowedSourcesAndControllersPassTheGuard) {
  settings().underlay = policy::Underlay::closed;
  write();
  const Address here = address("203.0.113.10");
  EXPECT_EQ(run("guard_in", tcp({address("192.0.2.7"), here, 40000, 22}, kSyn)), passed());
  EXPECT_EQ(run("guard_in", tcp({address("198.51.100.1"), here, 7443, 40000}, kAck)), passed());
  EXPECT_EQ(run("guard_in", tcp({address("198.51.100.1"), here, 7444, 40000}, kAck)), dropped("underlay"));
  // A controller never begins, and speaks TCP only.
  EXPECT_EQ(run("guard_in", tcp({address("198.51.100.1"), here, 7443, 22}, kSyn)), dropped("underlay"));
  EXPECT_EQ(run("guard_in", udp({address("198.51.100.1"), here, 7443, 53})), dropped("underlay"));
  ASSERT_TRUE(filter_->set_controllers({Endpoint{address("198.51.100.2"), 443}}));
  EXPECT_EQ(run("guard_in", tcp({address("198.51.100.1"), here, 7443, 40001}, kAck)), dropped("underlay"));
  EXPECT_EQ(run("guard_in", tcp({address("198.51.100.2"), here, 443, 40001}, kAck)), passed());
  EXPECT_EQ(run("guard_in", tcp({address("192.0.2.7"), here, 40000, 22}, kSyn)), passed())
      << "node.toml's stay";
}

TEST_F(FilterTest, ControllersAtOneAddressOpenNothingElse) {
  settings().underlay = policy::Underlay::closed;
  const Address here = address("203.0.113.10"), there = address("198.51.100.1");
  ASSERT_TRUE(filter_->set_controllers({Endpoint{there, 7443}, Endpoint{there, 7444}}));
  write();
  for (const std::uint16_t port : {7443, 7444}) {
    EXPECT_EQ(run("guard_in", tcp({there, here, port, 40000}, kAck)), passed());
    EXPECT_EQ(run("guard_in", tcp({there, here, port, 22}, kSyn)), dropped("underlay"));
    EXPECT_EQ(run("guard_in", udp({there, here, port, 53})), dropped("underlay"));
  }
  EXPECT_EQ(run("guard_in", tcp({there, here, 443, 40000}, kAck)), dropped("underlay"));
  EXPECT_EQ(run("guard_in", tcp({there, here, 40000, 443}, kSyn)), dropped("underlay"));
  EXPECT_EQ(run("guard_in", udp({there, here, 40000, 443})), dropped("underlay"));
}

// A former version kept controllers among the allowed sources.
TEST_F(FilterTest, ARowOfAControllerAmongTheAllowedPassesNothing) {
  settings().underlay = policy::Underlay::closed;
  write();
  cordon_target_key key{.prefix_bits = 128, .address = {}};
  const cordon_address there = node::to_abi(address("198.51.100.9"));
  std::memcpy(key.address, &there, sizeof key.address);
  const cordon_allow former{.source_port = 7443, .pad = 0};
  ASSERT_EQ(bpf_map_update_elem(filter_->objects().map("underlay_allow"), &key, &former, BPF_ANY), 0);
  const Flow flow{address("198.51.100.9"), address("203.0.113.10"), 7443, 40000};
  EXPECT_EQ(run("guard_in", tcp(flow, kAck)), dropped("underlay"));
  EXPECT_EQ(run("guard_in", udp(flow)), dropped("underlay"));
}

}  // namespace underlay_test
}  // namespace cordon::test
