// DATAPATH.md, "Order of decision", one packet at a time. Each reason of ebpf/abi.h has a case in these
// tests: main.cpp fails when one was never met.

#include "tests/bpf/fixture.h"

namespace cordon::test {
namespace verdict_test {

class VerdictTest : public FamilyTest {};
CORDON_BOTH_FAMILIES(VerdictTest);

TEST_P(VerdictTest, NothingPassesWithoutAState) {  // I1
  EXPECT_EQ(in(tcp(to_server(5432), kSyn)), dropped("no state"));
  EXPECT_EQ(out(tcp(to_server(5432), kSyn)), dropped("no state"));
}

TEST_P(VerdictTest, GrantedFlowPassesBothWaysAndIsCounted) {
  write();
  EXPECT_EQ(in(tcp(to_server(5432), kSyn)), accepted(1));
  EXPECT_EQ(out(tcp(to_server(5432).reversed(), kSyn | kAck)), accepted(1));
  EXPECT_EQ(in(tcp(to_server(5432), kAck)), accepted(1));
  EXPECT_EQ(in(udp(to_server(53))), accepted(2));
  EXPECT_EQ(out(udp(to_server(53).reversed())), accepted(2));
}

TEST_P(VerdictTest, OtherPortsPrincipalsAndDirectionsAreDenied) {
  write();
  EXPECT_EQ(in(tcp(to_server(5433), kSyn)), dropped("no grant"));
  EXPECT_EQ(in(udp(to_server(5432))), dropped("no grant"));
  Flow other = to_server(5432);
  other.source = address(GetParam().other);
  EXPECT_EQ(in(tcp(other, kSyn)), dropped("no grant"));
  EXPECT_EQ(out(tcp(to_server(5432), kSyn)), dropped("no grant"));  // granted for ingress only
}

TEST_P(VerdictTest, StrangersAndUnknownTargetsAreDropped) {
  write();
  Flow stranger = to_server(5432);
  stranger.source = address(GetParam().stranger);
  EXPECT_EQ(in(tcp(stranger, kSyn)), dropped("unknown principal"));
  Flow nowhere = to_server(5432);
  nowhere.destination = address(GetParam().stranger);
  EXPECT_EQ(in(tcp(nowhere, kSyn)), dropped("unknown target"));
}

TEST_P(VerdictTest, UdpAnswerWithoutItsFlowIsDropped) {
  write();
  EXPECT_EQ(out(udp(to_server(53).reversed())), dropped("unknown target"));
}

TEST_P(VerdictTest, TcpSegmentIsDecidedOnTheReversedTuple) {
  write();
  // The flow was never seen here, as after an eviction: an answer of the server's is known by its client's
  // grant.
  EXPECT_EQ(out(tcp(to_server(5432).reversed(), kAck)), accepted(1));
  EXPECT_EQ(in(tcp(to_server(5432), kAck)), accepted(1));
  // A bare SYN is a beginning, never an answer; nor is anything an answer that the client may not ask.
  EXPECT_EQ(out(tcp(to_server(5432, 40001).reversed(), kSyn)), dropped("unknown target"));
  EXPECT_EQ(out(tcp(to_server(5433).reversed(), kAck)), dropped("unknown target"));
}

TEST_P(VerdictTest, EchoReplyBelongsToItsRequestByIdentifier) {
  write();
  EXPECT_EQ(in(echo_request(client(), server(), 7)), accepted(3));
  EXPECT_EQ(out(echo_reply(server(), client(), 7)), accepted(3));
  EXPECT_EQ(out(echo_reply(server(), client(), 8)), dropped("unknown target"));
}

TEST_P(VerdictTest, SctpAndProtocolsWithoutPorts) {
  add_grant({.protocol = policy::kSctp, .port = 9, .rule = 4});
  add_grant({.protocol = 47, .port_bits = 0, .rule = 5});
  write();
  EXPECT_EQ(in(sctp(to_server(9))), accepted(4));
  EXPECT_EQ(out(sctp(to_server(9).reversed())), accepted(4));
  EXPECT_EQ(in(sctp(to_server(10))), dropped("no grant"));
  EXPECT_EQ(in(ip(client(), server(), 47, Packet(8))), accepted(5));
  EXPECT_EQ(in(ip(client(), server(), 50, Packet(8))), dropped("no grant"));
}

TEST_P(VerdictTest, RangesAnyPortAndAnyProtocolInOrder) {
  add_grant({.port = 8000, .port_bits = 10, .rule = 6});  // 8000-8063
  add_grant({.port_bits = 0, .rule = 7});
  add_grant({.protocol = 0, .port_bits = 0, .rule = 8});
  add_grant({.port = 22, .rule = 9, .deny = true});
  write();
  EXPECT_EQ(in(tcp(to_server(5432), kSyn)), accepted(1));
  EXPECT_EQ(in(tcp(to_server(8000), kSyn)), accepted(6));
  EXPECT_EQ(in(tcp(to_server(8063), kSyn)), accepted(6));
  EXPECT_EQ(in(tcp(to_server(8064), kSyn)), accepted(7));
  EXPECT_EQ(in(udp(to_server(8000))), accepted(8));
  EXPECT_EQ(in(tcp(to_server(22), kSyn)), dropped("forbidden"));
}

TEST_P(VerdictTest, WhatEndedStaysEndedWhereAWiderGrantGoesOn) {
  auto deadlines = never();
  deadlines[1] = kNow - Seconds(1);
  add_principal(GetParam().client, 1, deadlines);
  add_grant({.port = 443, .rule = 6, .slot = 1});
  write();
  EXPECT_EQ(in(tcp(to_server(443), kSyn)), dropped("grant expired"));
  add_grant({.port_bits = 0, .rule = 7});
  update();
  EXPECT_EQ(in(tcp(to_server(443), kSyn)), dropped("grant expired"));
  EXPECT_EQ(in(tcp(to_server(444), kSyn)), accepted(7));
}

TEST_P(VerdictTest, PrincipalPastEveryDeadline) {
  std::array<Timestamp, policy::kDeadlineSlots> past;
  past.fill(kNow - Seconds(1));
  add_principal(GetParam().client, 1, past);
  write();
  EXPECT_EQ(in(tcp(to_server(5432), kSyn)), dropped("principal expired"));
}

TEST_P(VerdictTest, IsolatedPrincipalHoldsNothing) {
  principal(GetParam().client).isolated = true;
  write();
  EXPECT_EQ(in(tcp(to_server(5432), kSyn)), dropped("principal isolated"));
}

TEST_P(VerdictTest, IsolatedHostIsReachedByRespondersOnly) {
  settings().isolated = true;
  add_grant({.port = 22, .rule = 4, .responder = true});
  write();
  EXPECT_EQ(in(tcp(to_server(5432), kSyn)), dropped("host isolated"));
  EXPECT_EQ(in(tcp(to_server(22), kSyn)), accepted(4));
  EXPECT_EQ(out(tcp(to_server(22).reversed(), kSyn | kAck)), accepted(4));
}

TEST_P(VerdictTest, NodeLeaseEndsEverything) {  // I5
  settings().node_lease = Seconds(0);
  write();
  EXPECT_EQ(in(tcp(to_server(5432), kSyn)), dropped("node lease over"));
}

TEST_P(VerdictTest, OwnerOfTheSocketMustBeTheSessions) {
  add_grant({.port = 5432, .direction = policy::Direction::egress, .rule = 1});
  principal(GetParam().client).check_owner = true;
  principal(GetParam().client).uid = 1000;
  write();
  // BPF_PROG_TEST_RUN's socket belongs to uid 0.
  EXPECT_EQ(out(tcp(to_server(5432), kSyn)), dropped("wrong owner"));
  principal(GetParam().client).uid = 0;
  update();
  EXPECT_EQ(out(tcp(to_server(5432), kSyn)), accepted(1));
}

TEST_P(VerdictTest, ForwardedPacketsMayNotLeaveInOurName) {
  add_grant({.port = 5432, .direction = policy::Direction::egress, .rule = 1});
  write();
  EXPECT_EQ(run("overlay_out", tcp(to_server(5432), kSyn), 1), dropped("forwarded"));
  // Not as a part of a flow either: a container that masquerades is not the device.
  EXPECT_EQ(out(tcp(to_server(5432), kSyn)), accepted(1));
  EXPECT_EQ(run("overlay_out", tcp(to_server(5432), kAck), 1), dropped("forwarded"));
}

TEST_P(VerdictTest, AGatewaysSubnetAnswersAndBeginsNothing) {
  const bool v4 = client().is_v4();
  const Address behind = address(v4 ? "10.1.2.3" : "2001:db8:1::3");
  const Prefix subnet = Prefix::of(behind, v4 ? 24 : 64);
  state_.entries[policy::TargetKey{subnet}] = policy::TargetValue{.id = TargetId(5)};
  add_grant({.target = 5, .protocol = policy::kUdp, .port = 161, .rule = 4});
  add_grant({.target = 5, .port = 22, .rule = 5});
  write();
  const Flow snmp{client(), behind, 40000, 161}, ssh{client(), behind, 40000, 22};
  EXPECT_EQ(in(udp(snmp)), accepted(4));
  EXPECT_EQ(run("overlay_out", udp(snmp.reversed()), 1), accepted(4));
  EXPECT_EQ(in(tcp(ssh, kSyn)), accepted(5));
  EXPECT_EQ(run("overlay_out", tcp(ssh.reversed(), kSyn | kAck), 1), accepted(5));
  forget_flows();
  EXPECT_EQ(run("overlay_out", tcp(ssh.reversed(), kAck), 1), accepted(5));
  EXPECT_EQ(run("overlay_out", udp(snmp.reversed()), 1), dropped("unknown principal"));
  forget_flows();
  EXPECT_EQ(run("overlay_out", tcp(ssh.reversed(), kSyn), 1), dropped("unknown principal"));
  // The longest prefix says which target it is.
  add_target(v4 ? "10.1.2.4" : "2001:db8:1::4", 6);
  update();
  Flow other = ssh;
  other.destination = address(v4 ? "10.1.2.4" : "2001:db8:1::4");
  EXPECT_EQ(in(tcp(other, kSyn)), dropped("no grant"));
}

TEST_P(VerdictTest, ObservedTargetIsReportedNotDropped) {
  add_target(GetParam().server, 1, true);
  write();
  EXPECT_EQ(in(tcp(to_server(9999), kSyn)), passed("observed"));
  EXPECT_EQ(in(tcp(to_server(9999), kAck)), passed("observed"));
  EXPECT_EQ(in(tcp(to_server(5432), kSyn)), accepted(1));
  Flow stranger = to_server(5432);
  stranger.source = address(GetParam().stranger);
  EXPECT_EQ(in(tcp(stranger, kSyn)), dropped("unknown principal"));
}

TEST_P(VerdictTest, EveryCutOfAPacketIsMalformed) {
  write();
  const Packet whole = tcp(to_server(5432), kSyn);
  for (std::size_t size = 14; size < whole.size(); ++size)
    EXPECT_EQ(in(Packet(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))),
              dropped("malformed packet"));
}

TEST_P(VerdictTest, HeadersThatLieAreMalformed) {
  write();
  Packet offset = tcp(to_server(5432), kSyn);
  offset[offset.size() - 8] = 0x40;  // a TCP header of 16 bytes
  EXPECT_EQ(in(offset), dropped("malformed packet"));
  offset[offset.size() - 8] = 0xf0;  // of 60, past the packet's end
  EXPECT_EQ(in(offset), dropped("malformed packet"));
  const std::uint8_t other_icmp = client().is_v4() ? policy::kIcmpv6 : policy::kIcmp;
  EXPECT_EQ(in(ip(client(), server(), other_icmp, Packet(8))), dropped("malformed packet"));
}

TEST_P(VerdictTest, OtherVersionsAreNoIp) {
  write();
  Packet packet = tcp(to_server(5432), kSyn);
  packet[0] = 0x75;
  EXPECT_EQ(in(packet), dropped("not ip"));
}

class SixTest : public VerdictTest {};
INSTANTIATE_TEST_SUITE_P(Families, SixTest, testing::Values(kV6));

TEST_P(SixTest, MappedAddressInAnIpv6HeaderIsNobody) {
  add_principal(kV4.client, 1);
  write();
  Packet packet = tcp(to_server(5432), kSyn);
  const Address mapped = address(kV4.client);
  std::copy(mapped.bytes.begin(), mapped.bytes.end(), packet.begin() + 8);
  EXPECT_EQ(in(packet), dropped("malformed packet"));
}

class FourTest : public FamilyTest {
 protected:
  FourTest() : FamilyTest({"overlay_in", "overlay_in_eth"}) {}
};
INSTANTIATE_TEST_SUITE_P(Families, FourTest, testing::Values(kV4));

TEST_P(FourTest, OptionsMoveTheLayerFourHeader) {
  write();
  Packet packet = tcp(to_server(5432), kSyn);
  packet[0] = 0x46;
  packet[3] = static_cast<std::uint8_t>(packet.size() + 4);
  packet.insert(packet.begin() + 20, {1, 1, 1, 1});
  EXPECT_EQ(in(packet), accepted(1));
  packet[0] = 0x44;
  EXPECT_EQ(in(packet), dropped("malformed packet"));
}

TEST_P(FourTest, ProtocolZeroIsNone) {
  add_grant({.protocol = 0, .port_bits = 0, .rule = 9});
  write();
  EXPECT_EQ(in(ip(client(), server(), 0, Packet(8))), dropped("malformed packet"));
}

TEST_P(FourTest, EthernetProgramsReadBehindTheLinkHeader) {
  write();
  EXPECT_EQ(run("overlay_in_eth", ethernet(tcp(to_server(5432), kSyn))), accepted(1));
  EXPECT_EQ(run("overlay_in_eth", ethernet(tcp(to_server(5433), kSyn))), dropped("no grant"));
  Packet arp = ethernet(Packet(28));
  arp[13] = 6;
  EXPECT_EQ(run("overlay_in_eth", arp), passed());
  arp[12] = 0x88, arp[13] = 0xcc;
  EXPECT_EQ(run("overlay_in_eth", arp), dropped("not ip"));
}

}  // namespace verdict_test
}  // namespace cordon::test
