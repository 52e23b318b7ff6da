// The kernel's WireGuard protocol in memory; tests/vm has it with a real kernel.

#include <gtest/gtest.h>
#include <linux/wireguard.h>

#include "node/tunnel/netlink_messages.h"
#include "node/tunnel/plan.h"

namespace cordon::node::wireguard {
namespace tunnel_netlink_test {

WireguardKey key(std::uint8_t n) {
  WireguardKey out;
  out.fill(n);
  return out;
}

/// The kernel lists a device in the attributes in which it takes one: what was built is read back as a dump.
DeviceState read_back(const std::vector<netlink::Message>& messages) {
  DeviceState state;
  for (const auto& message : messages) {
    const Bytes bytes = message.finish(0);
    const auto list = netlink::split(bytes);
    EXPECT_TRUE(list);
    Bytes payload(list->at(0).payload.begin(), list->at(0).payload.end());
    payload[0] = WG_CMD_GET_DEVICE;
    const auto merged = merge_netlink_get(state, payload);
    EXPECT_TRUE(merged) << merged.error().message();
  }
  return state;
}

TEST(WireguardNetlink, SetByteForByte) {
  // Checked by hand against linux/wireguard.h: genlmsghdr, ifindex, private key, port, mark, one peer.
  const auto messages = netlink_set(0x1e, 5,
                                    {.private_key = key(0x48),
                                     .listen_port = 51820,
                                     .firewall_mark = 7,
                                     .peers = {{.public_key = key(1),
                                                .endpoint = *Endpoint::parse("198.51.100.2:51820"),
                                                .keepalive_s = 25,
                                                .add_allowed_ips = {*Prefix::parse("100.64.0.2")}}}});
  ASSERT_EQ(messages.size(), 1u);
  std::string key_one, key_private;
  for (int i = 0; i < 32; ++i) {
    key_one += "01";
    key_private += "48";
  }
  EXPECT_EQ(to_hex(messages[0].finish(0)),
            "b80000001e0005000000000000000000"  // length, type, REQUEST | ACK
            "01010000"                          // WG_CMD_SET_DEVICE, version 1
            "0800010005000000"                  // WGDEVICE_A_IFINDEX
            "24000300" +
                key_private +       // WGDEVICE_A_PRIVATE_KEY
                "060006006cca0000"  // WGDEVICE_A_LISTEN_PORT
                "0800070007000000"  // WGDEVICE_A_FWMARK
                "68000880"          // WGDEVICE_A_PEERS, nested
                "64000080"          // the first
                "24000100" +
                key_one +                   // WGPEER_A_PUBLIC_KEY
                "140004000200ca6cc6336402"  // WGPEER_A_ENDPOINT: AF_INET, port and address in network order
                "0000000000000000"          //
                "0600050019000000"          // WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL
                "20000980"                  // WGPEER_A_ALLOWEDIPS, nested
                "1c000080"                  // the first
                "0600010002000000"          // WGALLOWEDIP_A_FAMILY
                "0800020064400002"          // WGALLOWEDIP_A_IPADDR
                "0500030020000000");        // WGALLOWEDIP_A_CIDR_MASK
}

TEST(WireguardNetlink, ATurnByteForByte) {
  // Checked by hand against linux/wireguard.h: the key, then one peer twice: preshared key and no keepalive,
  // then the keepalive that begins.
  const auto turn = plan_turn({{.public_key = key(1), .keepalive_s = 25}}, key(0x48), {{key(1), key(7)}});
  const auto messages = netlink_set(0x1e, 5, turn);
  ASSERT_EQ(messages.size(), 1u);
  const auto times = [](const char* byte) {
    std::string out;
    for (int i = 0; i < 32; ++i) out += byte;
    return out;
  };
  EXPECT_EQ(to_hex(messages[0].finish(0)),
            "d80000001e0005000000000000000000"  // length, type, REQUEST | ACK
            "01010000"                          // WG_CMD_SET_DEVICE, version 1
            "0800010005000000"                  // WGDEVICE_A_IFINDEX
            "24000300" +
                times("48") +  // WGDEVICE_A_PRIVATE_KEY
                "98000880"     // WGDEVICE_A_PEERS, nested
                "5c000080"     // the first
                "24000100" +
                times("01") +       // WGPEER_A_PUBLIC_KEY
                "0800030004000000"  // WGPEER_A_FLAGS: UPDATE_ONLY
                "24000200" +
                times("07") +       // WGPEER_A_PRESHARED_KEY
                "0600050000000000"  // WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL: off
                "38000080"          // the second
                "24000100" +
                times("01") +
                "0800030004000000"    // UPDATE_ONLY
                "0600050019000000");  // and on again: 25 s
}

TEST(WireguardNetlink, PresharedKeysAreReadBack) {
  const auto messages = netlink_set(0x1e, 5, {.peers = {{.public_key = key(1), .preshared_key = key(7)}}});
  const auto state = read_back(messages);
  ASSERT_EQ(state.peers.size(), 1u);
  EXPECT_EQ(state.peers[0].preshared_key, key(7));
}

TEST(WireguardNetlink, LargeSetsAreSplitAndReadBackWhole) {
  DeviceChange change;
  for (unsigned peer = 0; peer < 300; ++peer) {
    PeerChange one{.public_key = key(static_cast<std::uint8_t>(peer)), .keepalive_s = 25};
    one.public_key[1] = static_cast<std::uint8_t>(peer >> 8);
    if (peer % 3 == 0)
      one.endpoint = Endpoint{*Address::parse("2001:db8::1"), static_cast<std::uint16_t>(peer + 1)};
    for (unsigned ip = 0; ip < (peer == 7 ? 3000u : 2u); ++ip) {
      one.add_allowed_ips.push_back(ip % 2 ? Prefix::host(Address::from_v4(0x64400000u + peer * 4096 + ip))
                                           : Prefix::of(*Address::parse("fd12::1"), 64 + ip % 60));
    }
    change.peers.push_back(one);
  }
  constexpr std::size_t kLimit = 4096;
  const auto messages = netlink_set(0x1e, 5, change, kLimit);
  EXPECT_GT(messages.size(), 20u);
  for (const auto& message : messages) EXPECT_LE(message.finish(0).size(), kLimit + 64);
  const auto state = read_back(messages);
  ASSERT_EQ(state.peers.size(), change.peers.size());
  for (std::size_t i = 0; i < state.peers.size(); ++i) {
    EXPECT_EQ(state.peers[i].public_key, change.peers[i].public_key);
    EXPECT_EQ(state.peers[i].allowed_ips, change.peers[i].add_allowed_ips);
    EXPECT_EQ(state.peers[i].endpoint, change.peers[i].endpoint);
    EXPECT_EQ(state.peers[i].keepalive_s, 25);
  }
}

TEST(WireguardNetlink, EveryPrefixFailsCleanly) {
  const auto messages = netlink_set(0x1e, 5,
                                    {.listen_port = 1,
                                     .peers = {{.public_key = key(1),
                                                .endpoint = *Endpoint::parse("[2001:db8::1]:5"),
                                                .add_allowed_ips = {*Prefix::parse("fd12::/48")}}}});
  const Bytes bytes = messages.at(0).finish(0);
  Bytes payload(bytes.begin() + 16, bytes.end());
  payload[0] = WG_CMD_GET_DEVICE;
  for (std::size_t length = 0; length < payload.size(); ++length) {
    DeviceState state;
    (void)merge_netlink_get(state, ByteView(payload).first(length));
  }
  DeviceState state;
  EXPECT_TRUE(merge_netlink_get(state, payload));
  EXPECT_FALSE(merge_netlink_get(state, ByteView(payload).first(payload.size() - 1)));
}

}  // namespace tunnel_netlink_test
}  // namespace cordon::node::wireguard
