// ICMP and ICMPv6 errors: tied to the flow that their quoted packet names. And what a kernel says by itself.

#include "tests/bpf/fixture.h"

namespace cordon::test {
namespace icmp_error_test {

class IcmpErrorTest : public FamilyTest {
 protected:
  bool v4() const { return client().is_v4(); }
  std::vector<std::uint8_t> flow_errors() const {
    return v4() ? std::vector<std::uint8_t>{3, 11, 12} : std::vector<std::uint8_t>{1, 2, 3, 4};
  }
  /// From the server's node about a packet of the client's, and back.
  Packet about(const Packet& packet, std::uint8_t type = 3) const {
    return icmp_error(server(), client(), type, 4, packet);
  }
};
CORDON_BOTH_FAMILIES(IcmpErrorTest);

TEST_P(IcmpErrorTest, ErrorsPassWithTheirFlowAndAreCountedWithIt) {
  write();
  for (const auto& [packet, rule] :
       {std::pair(udp(to_server(53)), 2u), std::pair(tcp(to_server(5432), kSyn), 1u),
        std::pair(echo_request(client(), server(), 7), 3u)})
    for (std::uint8_t type : flow_errors()) {
      forget_flows();
      EXPECT_EQ(out(about(packet, type)), dropped("icmp error"));
      ASSERT_EQ(in(packet), accepted(rule));
      EXPECT_EQ(out(about(packet, type)), accepted(rule));
    }
}

TEST_P(IcmpErrorTest, TheBeginnerMayComplainOfAnswersToo) {
  write();
  const Flow flow = to_server(53);
  ASSERT_EQ(in(udp(flow)), accepted(2));
  EXPECT_EQ(in(icmp_error(client(), server(), flow_errors()[0], 3, udp(flow.reversed()))), accepted(2));
}

TEST_P(IcmpErrorTest, NobodyElseSpeaksForAFlow) {
  write();
  ASSERT_EQ(in(udp(to_server(53))), accepted(2));
  const Address router = address(v4() ? "10.9.9.9" : "2001:db8::9");
  for (const Address& who : {router, address(GetParam().other), address(GetParam().stranger), client()})
    for (std::uint8_t type : flow_errors())
      EXPECT_EQ(out(icmp_error(who, client(), type, 4, udp(to_server(53)))), dropped("icmp error"));
  EXPECT_EQ(out(about(udp(to_server(53)))), accepted(2));
}

TEST_P(IcmpErrorTest, WhoIsBehindTheSameGatewayMaySpeakForAFlowAndTheGatewayToo) {
  const Address printer = address(v4() ? "192.0.2.9" : "2001:db8:2::9"),
                router = address(v4() ? "10.9.9.9" : "2001:db8::9"), gateway = address(GetParam().stranger);
  add_target(printer.to_string(), 7);
  add_grant({.target = 7, .port = 631, .rule = 4});
  principal(GetParam().other).isolated = true;
  write();
  const Flow flow{client(), printer, 40000, 631};
  ASSERT_EQ(in(tcp(flow, kSyn)), accepted(4));
  for (const Address& who : {printer, router, gateway, server()})
    EXPECT_EQ(out(icmp_error(who, client(), flow_errors()[0], 4, tcp(flow, kAck))), accepted(4));
  EXPECT_EQ(out(icmp_error(address(GetParam().other), client(), flow_errors()[0], 4, tcp(flow, kAck))),
            dropped("icmp error"))
      << "isolated";
  principal(GetParam().other).isolated = false;
  principal(GetParam().other).deadlines.fill(kNow - Seconds(1));
  update();
  EXPECT_EQ(out(icmp_error(address(GetParam().other), client(), flow_errors()[0], 4, tcp(flow, kAck))),
            dropped("icmp error"))
      << "over";
}

TEST_P(IcmpErrorTest, OtherTypesNeverPass) {
  write();
  ASSERT_EQ(in(udp(to_server(53))), accepted(2));
  const auto types = v4() ? std::vector<std::uint8_t>{4, 5} : std::vector<std::uint8_t>{0, 5, 127, 137};
  for (std::uint8_t type : types) EXPECT_EQ(out(about(udp(to_server(53)), type)), dropped("icmp error"));
}

TEST_P(IcmpErrorTest, TheQuotedPacketsSourceIsTheErrorsDestination) {
  write();
  ASSERT_EQ(in(udp(to_server(53))), accepted(2));
  Flow other = to_server(53);
  other.source = address(GetParam().other);
  EXPECT_EQ(out(icmp_error(server(), client(), flow_errors()[0], 3, udp(other))), dropped("icmp error"));
  EXPECT_EQ(out(icmp_error(server(), address(GetParam().other), flow_errors()[0], 3, udp(to_server(53)))),
            dropped("icmp error"));
}

TEST_P(IcmpErrorTest, TheQuotedPacketPassedTheOtherHook) {
  write();
  ASSERT_EQ(in(udp(to_server(53))), accepted(2));
  EXPECT_EQ(in(about(udp(to_server(53)))), dropped("icmp error"));
}

TEST_P(IcmpErrorTest, NotAboutOtherPortsProtocolsOrErrors) {
  write();
  ASSERT_EQ(in(udp(to_server(53))), accepted(2));
  EXPECT_EQ(out(about(udp(to_server(53, 40001)))), dropped("icmp error"));
  EXPECT_EQ(out(about(udp(to_server(54)))), dropped("icmp error"));
  EXPECT_EQ(out(about(tcp(to_server(53), kAck))), dropped("icmp error"));
  EXPECT_EQ(out(about(about(udp(to_server(53))))), dropped("icmp error"));
}

TEST_P(IcmpErrorTest, EveryCutOfAQuoteIsDropped) {
  write();
  ASSERT_EQ(in(udp(to_server(53))), accepted(2));
  const Packet whole = udp(to_server(53));
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_EQ(out(about(Packet(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)))),
              dropped("icmp error"));
}

TEST_P(IcmpErrorTest, ALaterFragmentQuotedSaysNothing) {
  write();
  const Packet whole = udp(to_server(53), 64);
  ASSERT_EQ(in(fragment(whole, 0, 40, 7)), accepted(2));
  EXPECT_EQ(out(about(fragment(whole, 0, 40, 7))), accepted(2));
  EXPECT_EQ(out(about(fragment(whole, 40, 32, 7))), dropped("icmp error"));
}

TEST_P(IcmpErrorTest, ACutFlowsErrorsAreCutAndOthersLoseNothing) {  // I3
  write();
  ASSERT_EQ(in(udp(to_server(53))), accepted(2));
  ASSERT_EQ(in(tcp(to_server(5432), kSyn)), accepted(1));
  ASSERT_EQ(state_.entries.erase(policy::GrantKey{
                .class_id = ClassId(1), .target = TargetId(1), .protocol = policy::kUdp, .port = 53}),
            1u);
  EXPECT_TRUE(update().epoch_raised);
  EXPECT_EQ(out(about(udp(to_server(53)), flow_errors()[0])), dropped("icmp error"));
  EXPECT_EQ(out(about(tcp(to_server(5432), kSyn), flow_errors()[0])), accepted(1));
}

TEST_P(IcmpErrorTest, QuotedExtensionHeadersAreReadToo) {
  if (v4()) return;
  write();
  ASSERT_EQ(in(udp(to_server(53))), accepted(2));
  EXPECT_EQ(out(about(with_extension(udp(to_server(53)), 60), 2)), accepted(2));
}

TEST_P(IcmpErrorTest, AResetWithoutASocketBelongsToItsFlow) {
  add_grant({.port = 5432, .direction = policy::Direction::egress, .rule = 1});
  principal(GetParam().client).check_owner = true;
  principal(GetParam().client).uid = 0;  // whom BPF_PROG_TEST_RUN's socket belongs to
  write();
  ASSERT_EQ(out(tcp(to_server(5432), kSyn)), accepted(1));
  principal(GetParam().client).uid = 1000;
  update();
  // The kernel's own reset comes from nobody's socket.
  EXPECT_EQ(out(tcp(to_server(5432), kRst)), accepted(1));
  forget_flows();
  EXPECT_EQ(out(tcp(to_server(5432), kRst)), dropped("wrong owner"));
}

}  // namespace icmp_error_test
}  // namespace cordon::test
