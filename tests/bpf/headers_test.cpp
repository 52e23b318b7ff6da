// IPv6 extension headers at the overlay (RFC 8200), and what none of them may do.

#include "tests/bpf/fixture.h"

namespace cordon::test {
namespace headers_test {

constexpr std::uint8_t kHopByHop = 0, kRouting = 43, kFragment = 44, kAuthentication = 51, kDestination = 60;

class HeadersTest : public FamilyTest {
 protected:
  Packet request() const { return udp(to_server(53)); }
};
INSTANTIATE_TEST_SUITE_P(Families, HeadersTest, testing::Values(kV6));

TEST_P(HeadersTest, ThePortBehindThemIsWhatCounts) {
  write();
  for (std::uint8_t header : {kHopByHop, kRouting, kDestination, kFragment}) {
    EXPECT_EQ(in(with_extension(request(), header)), accepted(2)) << int{header};
    EXPECT_EQ(in(with_extension(udp(to_server(54)), header)), dropped("no grant")) << int{header};
    EXPECT_EQ(in(with_extension(tcp(to_server(5432), kSyn), header)), accepted(1)) << int{header};
    EXPECT_EQ(in(with_extension(echo_request(client(), server(), 7), header)), accepted(3)) << int{header};
  }
  // AH counts its length in fours, less two.
  EXPECT_EQ(in(with_header(request(), kAuthentication, {1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1})), accepted(2));
  EXPECT_EQ(in(with_header(request(), kAuthentication, {2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1})),
            dropped("malformed packet"));
}

TEST_P(HeadersTest, LongHeadersAndChainsOfEight) {
  write();
  Packet body(8 * 16 - 1, 0);
  body[0] = 15;
  EXPECT_EQ(in(with_header(tcp(to_server(5432), kSyn), kDestination, body)), accepted(1));
  Packet chain = request();
  for (int i = 0; i < 8; ++i) {
    chain = with_extension(chain, kDestination);
    EXPECT_EQ(in(chain), accepted(2)) << i;
  }
  EXPECT_EQ(in(with_extension(chain, kDestination)), dropped("extension header"));
}

TEST_P(HeadersTest, OnesThatMoveTheDestinationOrAreNobodys) {
  write();
  for (std::uint8_t type : {0, 2, 4})
    EXPECT_EQ(in(with_header(request(), kRouting, {0, type, 1, 0, 0, 0, 0})), dropped("extension header"));
  for (std::uint8_t header : {135, 139, 140})
    EXPECT_EQ(in(with_extension(request(), header)), dropped("extension header"));
  // Hop-by-hop comes first or not at all.
  EXPECT_EQ(in(with_extension(with_extension(request(), kHopByHop), kDestination)),
            dropped("extension header"));
  EXPECT_EQ(in(with_extension(with_extension(request(), kDestination), kHopByHop)), accepted(2));
}

TEST_P(HeadersTest, EveryCutIsMalformed) {
  write();
  const Packet whole = with_extension(with_extension(tcp(to_server(5432), kSyn), kDestination), kRouting);
  ASSERT_EQ(in(whole), accepted(1));
  for (std::size_t size = 14; size < whole.size(); ++size) {
    Packet part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(in(part), dropped("malformed packet")) << size;
    if (size < 40) continue;
    part[5] = static_cast<std::uint8_t>(size - 40);  // and one whose own account is as short
    EXPECT_FALSE(in(part).accept) << size;
  }
}

TEST_P(HeadersTest, APayloadlessPacketIsAProtocolWithoutPorts) {
  write();
  Packet none = ip(client(), server(), 59, {});
  EXPECT_EQ(in(none), dropped("no grant"));
  add_grant({.protocol = 0, .port_bits = 0, .rule = 9});
  update();
  EXPECT_EQ(in(none), accepted(9));
}

TEST_P(HeadersTest, FragmentsBehindAndBeforeOtherHeaders) {
  write();
  const Packet whole = with_extension(udp(to_server(53), 64), kDestination);
  EXPECT_EQ(in(fragment(whole, 0, 48, 5)), accepted(2));
  EXPECT_EQ(in(fragment(whole, 40, 16, 5)), dropped("fragment"));
  EXPECT_EQ(in(fragment(whole, 48, 16, 5)), accepted(2));
  EXPECT_EQ(in(with_extension(fragment(whole, 64, 16, 5), kHopByHop)), accepted(2));
  // Fragments of fragments are nobody's.
  EXPECT_EQ(in(with_extension(fragment(udp(to_server(53), 64), 0, 48, 6), kFragment, 1)),
            dropped("malformed packet"));
}

}  // namespace headers_test
}  // namespace cordon::test
