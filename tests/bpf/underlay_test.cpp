// The underlay guard (DATAPATH.md, "The underlay"; I13). Addresses here are of the underlay.

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
  state_.entries.erase(state_.entries.lower_bound(policy::GuardKey{.protocol = 0, .ports = {0, 0}}),
                       state_.entries.end());
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
}

}  // namespace underlay_test
}  // namespace cordon::test
