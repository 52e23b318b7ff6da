// Golden bytes: what iproute2 6.1.0 sent, and what Linux 6.18 answered, seen by
//   unshare -n; ip link add d-g0 type veth peer name d-g1; strace -e trace=sendmsg,recvmsg -e write=3 -e
//   read=3 COMMAND
// with the COMMAND that stands above each. Sequence numbers and pids (bytes 8 to 15) are put to 0.

#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "node/netlink/diag_messages.h"
#include "node/netlink/generic.h"
#include "node/netlink/message.h"
#include "node/netlink/route_messages.h"
#include "node/netlink/socket.h"

namespace cordon::node::netlink {
namespace netlink_messages_test {

std::string built(const Message& message) {
  return to_hex(message.finish(0));
}

/// The payloads of a captured datagram.
std::vector<Bytes> payloads(std::string_view hex) {
  const Bytes bytes = *from_hex(hex);
  std::vector<Bytes> out;
  const auto messages = split(bytes);
  EXPECT_TRUE(messages);
  if (!messages) return out;
  for (const auto& message : *messages) out.emplace_back(message.payload.begin(), message.payload.end());
  return out;
}

Prefix prefix(std::string_view text) {
  return *Prefix::parse(text);
}
Address address(std::string_view text) {
  return *Address::parse(text);
}

TEST(NetlinkGolden, SetUpWithMtu) {
  // ip link set dev d-g0 mtu 1340 up
  EXPECT_EQ(built(link_set_up(3, 1340)),
            "28000000100005000000000000000000"
            "00000000030000000100000001000000"
            "080004003c050000");
}

TEST(NetlinkGolden, DeleteLink) {
  // ip link del d-g0
  EXPECT_EQ(built(link_delete(3)),
            "20000000110005000000000000000000"
            "00000000030000000000000000000000");
}

TEST(NetlinkGolden, AddDeprecatedV4Address) {
  // ip addr change 100.64.0.7/32 dev d-g0 preferred_lft 0 noprefixroute
  // (flags NLM_F_REPLACE | NLM_F_CREATE, which ip's "add" has as EXCL | CREATE)
  EXPECT_EQ(built(address_put(3, {prefix("100.64.0.7/32"), true})),
            "44000000140005050000000000000000"
            "02200000030000000800020064400007"
            "08000800000200000800010064400007"
            "1400060000000000ffffffff0000000000000000");
}

TEST(NetlinkGolden, AddV6AddressWithoutDad) {
  // ip -6 addr change fd12::7/128 dev d-g0 nodad noprefixroute; ours says "for ever" in IFA_CACHEINFO as well
  EXPECT_EQ(built(address_put(3, {prefix("fd12::7/128"), false})),
            "5c000000140005050000000000000000"
            "0a80020003000000"
            "14000200fd120000000000000000000000000007"
            "0800080002020000"
            "14000100fd120000000000000000000000000007"
            "14000600ffffffffffffffff0000000000000000");
}

TEST(NetlinkGolden, RemoveAddress) {
  // ip addr del 100.64.0.7/32 dev d-g0
  EXPECT_EQ(built(address_remove(3, prefix("100.64.0.7/32"))),
            "28000000150005000000000000000000"
            "02200000030000000800020064400007"
            "0800010064400007");
}

TEST(NetlinkGolden, AddRoutes) {
  // ip route add 100.64.0.0/10 dev d-g0 proto 0xcd src 100.64.0.8
  EXPECT_EQ(built(route_put(3, {prefix("100.64.0.0/10"), address("100.64.0.8")}, false)),
            "34000000180005060000000000000000"
            "020a0000fecdfd010000000008000100"
            "6440000008000700644000080800040003000000");
  // ip -6 route add fd12::/48 dev d-g0 proto 0xcd src fd12::7
  EXPECT_EQ(built(route_put(3, {prefix("fd12::/48"), address("fd12::7")}, false)),
            "4c000000180005060000000000000000"
            "0a300000fecd000100000000"
            "14000100fd120000000000000000000000000000"
            "14000700fd120000000000000000000000000007"
            "0800040003000000");
}

TEST(NetlinkGolden, LastRoutes) {
  // ip route add unreachable 100.64.0.0/10 proto 0xcd metric 4294901761
  EXPECT_EQ(built(unreachable_put(prefix("100.64.0.0/10"), 4294901761u)),
            "2c000000180005060000000000000000"
            "020a0000fecd00070000000008000100"
            "6440000008000600"
            "0100ffff");
  // ip -6 route del unreachable fd12::/48 proto 0xcd metric 4294901761
  EXPECT_EQ(built(unreachable_remove(prefix("fd12::/48"), 4294901761u)),
            "38000000190005000000000000000000"
            "0a300000fecd00070000000014000100"
            "fd120000000000000000000000000000"
            "080006000100ffff");
}

TEST(NetlinkGolden, AskForRoute) {
  // ip route get 100.64.0.9, without RTM_F_LOOKUP_TABLE in rtm_flags and with NLM_F_ACK
  EXPECT_EQ(built(route_get(address("100.64.0.9"))),
            "240000001a0005000000000000000000"
            "02200000000000000000000008000100"
            "64400009");
}

TEST(NetlinkParse, AddressesAsTheKernelListsThem) {
  // ip addr show dev d-g0
  const auto listed = payloads(
      "50000000140022000000000000000000"
      "0220a000030000000800010064400007080002006440000709000300642d67300000000008000800a002000014000600"
      "ffffffffffffffffa0820200a0820200"
      "48000000140022000000000000000000"
      "0a8082000300000014000100fd12000000000000000000000000000714000600ffffffffffffffffa1820200a1820200"
      "0800080082020000"
      "50000000140022000000000000000000"
      "0a40c0fd0300000014000100fe8000000000000074d059fffe855c2814000600ffffffffffffffff9e8202009e820200"
      "08000800c000000005000b0003000000");
  ASSERT_EQ(listed.size(), 3u);
  const auto first = parse_address(listed[0]), second = parse_address(listed[1]),
             third = parse_address(listed[2]);
  ASSERT_TRUE(first && second && third);
  EXPECT_EQ(first->ifindex, 3u);
  EXPECT_EQ(first->address, (OwnAddress{prefix("100.64.0.7/32"), true}));
  EXPECT_FALSE(first->link_local);
  EXPECT_EQ(second->address, (OwnAddress{prefix("fd12::7/128"), false}));
  EXPECT_TRUE(third->link_local);
  EXPECT_EQ(third->address.prefix.length(), 64u);
}

TEST(NetlinkParse, RoutesAsTheKernelListsThem) {
  // ip route show
  const auto v4 = payloads(
      "3c000000180022000000000000000000"
      "020a0000fecdfd010000000008000f00fe000000080001006440000008000700644000080800040003000000");
  const auto one = parse_route(v4.at(0));
  ASSERT_TRUE(one);
  EXPECT_EQ(one->route, (Route{prefix("100.64.0.0/10"), address("100.64.0.8")}));
  EXPECT_EQ(one->table, 254u);
  EXPECT_EQ(one->protocol, kRouteProtocol);
  EXPECT_EQ(one->ifindex, 3u);
  EXPECT_FALSE(one->mtu_bytes);
  // ip -6 route show proto 0xcd
  const auto v6 = payloads(
      "88000000180022000000000000000000"
      "0a300000fecd00010000000008000f00fe00000014000100fd12000000000000000000000000000014000700fd120000"
      "0000000000000000000000070800060000040000080004000300000024000c0000000000000000000000000000000000"
      "000000000000000000000000000000000500140000000000");
  const auto two = parse_route(v6.at(0));
  ASSERT_TRUE(two);
  EXPECT_EQ(two->route, (Route{prefix("fd12::/48"), address("fd12::7")}));
}

TEST(NetlinkParse, RefusalWithTheKernelsWords) {
  // ip link add d-x type nosuch: ip's request in full stands before the extended ack's text
  const Bytes bytes = *from_hex(
      "64000000020000020000000000000000a1ffffff38000000100005060000000000000000"
      "0000000000000000000000000000000008000300642d7800100012000a0001006e6f737563680000"
      "18000100556e6b6e6f776e20646576696365207479706500");
  const auto list = split(bytes);
  ASSERT_TRUE(list);
  const auto refusal = parse_refusal(list->at(0));
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->number, EOPNOTSUPP);
  EXPECT_EQ(refusal->text, "Unknown device type");
  const Error error = to_error(*refusal, "making the WireGuard interface 'd-x'");
  EXPECT_EQ(error.code, ErrorCode::unavailable);
  EXPECT_EQ(error.message(),
            "making the WireGuard interface 'd-x': Operation not supported (kernel: Unknown device type)");
}

TEST(NetlinkParse, EveryPrefixFailsCleanly) {
  const auto whole = payloads(
      "50000000140022000000000000000000"
      "0220a000030000000800010064400007080002006440000709000300642d67300000000008000800a002000014000600"
      "ffffffffffffffffa0820200a0820200");
  const Bytes& payload = whole.at(0);
  for (std::size_t length = 0; length < payload.size(); ++length) {
    // No crash and no read behind the end; what parses has a sound prefix.
    const auto parsed = parse_address(ByteView(payload).first(length));
    if (parsed) {
      EXPECT_LE(parsed->address.prefix.length(), 32u);
    }
    (void)parse_route(ByteView(payload).first(length));
    (void)parse_link(ByteView(payload).first(length));
    (void)parse_family(ByteView(payload).first(length));
    (void)parse_diag(ByteView(payload).first(length), 6);
  }
  EXPECT_FALSE(split(*from_hex("50000000140022000000000000000000")));
  EXPECT_FALSE(split(*from_hex("0f000000140022000000000000000000")));
  EXPECT_FALSE(Attributes::parse(*from_hex("0300010000")));
  EXPECT_FALSE(Attributes::parse(*from_hex("08000100ff")));
}

TEST(NetlinkMessage, RewindTakesBackWhatCameAfter) {
  Message message(RTM_NEWLINK, NLM_F_REQUEST);
  message.put_header(ifinfomsg{});
  const std::string before = built(message);
  const auto mark = message.mark();
  const auto nest = message.begin_nest(IFLA_LINKINFO);
  message.put_text(IFLA_INFO_KIND, "wireguard");
  message.end_nest(nest);
  EXPECT_NE(built(message), before);
  message.rewind(mark);
  EXPECT_EQ(built(message), before);
}

TEST(NetlinkMessage, NestsReadBack) {
  const Bytes bytes = link_create("d-w", "wireguard").finish(7);
  const auto messages = split(bytes);
  ASSERT_TRUE(messages);
  EXPECT_EQ(messages->at(0).sequence, 7u);
  const auto link = parse_link(messages->at(0).payload);
  ASSERT_TRUE(link);
  EXPECT_EQ(link->link.name, "d-w");
  EXPECT_EQ(link->kind, "wireguard");
}

}  // namespace netlink_messages_test
}  // namespace cordon::node::netlink
