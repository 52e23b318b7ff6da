#include <fmt/format.h>
#include <gtest/gtest.h>

#include "node/tunnel/uapi.h"

namespace cordon::node::wireguard {
namespace uapi_test {

// wireguard-go 0.0.20220316 after: wg set d-w0 listen-port 4500 private-key F peer K1 allowed-ips
// 100.64.0.2/32,fd12::2/128 endpoint 198.51.100.2:51820 persistent-keepalive 25 peer K2; "get=1" by socat.
// The keys are made up.
constexpr std::string_view kGolden =
    "private_key=4844444444444444444444444444444444444444444444444444444444444444\n"
    "listen_port=4500\n"
    "fwmark=7\n"
    "public_key=0101010101010101010101010101010101010101010101010101010101010101\n"
    "preshared_key=0000000000000000000000000000000000000000000000000000000000000000\n"
    "protocol_version=1\n"
    "endpoint=198.51.100.2:51820\n"
    "last_handshake_time_sec=1700000000\n"
    "last_handshake_time_nsec=5\n"
    "tx_bytes=148\n"
    "rx_bytes=92\n"
    "persistent_keepalive_interval=25\n"
    "allowed_ip=100.64.0.2/32\n"
    "allowed_ip=fd12::2/128\n"
    "public_key=0202020202020202020202020202020202020202020202020202020202020202\n"
    "preshared_key=0000000000000000000000000000000000000000000000000000000000000000\n"
    "protocol_version=1\n"
    "endpoint=[fe80::1%eth0]:51821\n"
    "last_handshake_time_sec=0\n"
    "last_handshake_time_nsec=0\n"
    "tx_bytes=0\n"
    "rx_bytes=0\n"
    "persistent_keepalive_interval=0\n"
    "errno=0\n"
    "\n";

WireguardKey key(std::uint8_t n) {
  WireguardKey out;
  out.fill(n);
  return out;
}

TEST(Uapi, ParsesWhatWireguardGoSays) {
  const auto state = parse_uapi_get(kGolden);
  ASSERT_TRUE(state) << state.error().message();
  EXPECT_EQ(state->listen_port, 4500);
  EXPECT_EQ(state->firewall_mark, 7u);
  ASSERT_EQ(state->peers.size(), 2u);
  EXPECT_EQ(state->peers[0],
            (PeerState{.public_key = key(1),
                       .endpoint = *Endpoint::parse("198.51.100.2:51820"),
                       .allowed_ips = {*Prefix::parse("100.64.0.2"), *Prefix::parse("fd12::2")},
                       .keepalive_s = 25,
                       .last_handshake = {1700000000, 5},
                       .received_bytes = 92,
                       .sent_bytes = 148}));
  EXPECT_EQ(state->peers[1].endpoint, *Endpoint::parse("[fe80::1]:51821"));
  EXPECT_EQ(state->peers[1].last_handshake, HandshakeTime{});
}

TEST(Uapi, PresharedKeysAreReadAndNeverTold) {
  const std::string peer = fmt::format("public_key={:1>64}\n", 1);
  const auto state = parse_uapi_get(fmt::format("{}preshared_key={:a>64}\nerrno=0\n\n", peer, ""));
  ASSERT_TRUE(state) << state.error().message();
  EXPECT_EQ(state->peers.at(0).preshared_key, key(0xaa));
  const auto bad = parse_uapi_get(fmt::format("{}preshared_key={:a>63}\nerrno=0\n\n", peer, ""));
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().message().find("aaa"), std::string::npos);
}

TEST(Uapi, EveryPrefixIsRefused) {
  for (std::size_t length = 0; length < kGolden.size(); ++length) {
    const auto state = parse_uapi_get(kGolden.substr(0, length));
    ASSERT_FALSE(state) << length;
    EXPECT_EQ(state.error().code, ErrorCode::protocol);
  }
}

TEST(Uapi, RefusesWhatBreaksTheGrammar) {
  const std::string peer = fmt::format("public_key={:1>64}\n", 1);
  const std::vector<std::string> bad{
      "listen_port\n",                   // no value
      "=5\n",                            // no key
      "listen_port=65536\n",             // too large
      "listen_port=-1\n",                //
      "listen_port=5 \n",                // blanks aren't passed over
      "listen_port=5\nlisten_port=5\n",  // twice
      "allowed_ip=100.64.0.1/32\n",      // outside a peer
      "private_key=00\n",                // too short
      fmt::format("private_key={:G>64}\n", ""),
      fmt::format("public_key={:1>62}\n", 1),
      peer + peer,               // a peer twice
      peer + "listen_port=5\n",  // of the device, inside a peer
      peer + "allowed_ip=100.64.0.1/33\n",
      peer + "allowed_ip=100.64.0.1/24\n",  // host bits
      peer + "endpoint=198.51.100.2\n",
      peer + "endpoint=[fe80::1%eth0:5\n",
      peer + "rx_bytes=18446744073709551616\n",
      peer + "rx_bytes=1\nrx_bytes=1\n",
      "errno=x\n\n",
      "errno=0\nlisten_port=5\n\n",
  };
  for (const auto& lines : bad) {
    const auto state = parse_uapi_get(lines.starts_with("errno") ? lines : lines + "errno=0\n\n");
    ASSERT_FALSE(state) << lines;
    EXPECT_EQ(state.error().code, ErrorCode::protocol) << lines;
  }
  EXPECT_FALSE(parse_uapi_get("errno=0\n\nrest"));
}

TEST(Uapi, UnknownKeysArePassedOver) {
  EXPECT_TRUE(parse_uapi_get("from_the_future=1\nlisten_port=5\nerrno=0\n\n"));
}

TEST(Uapi, ErrorsNameTheLineAndNeverTheValue) {
  const std::string secret = fmt::format("{:a>63}", "");
  const auto state = parse_uapi_get(fmt::format("listen_port=5\nprivate_key={}\nerrno=0\n\n", secret));
  ASSERT_FALSE(state);
  EXPECT_NE(state.error().what.find("line 2"), std::string::npos);
  EXPECT_EQ(state.error().message().find("aaa"), std::string::npos);
}

TEST(Uapi, ErrnoOfEitherSign) {
  EXPECT_TRUE(parse_uapi_set("errno=0\n\n"));
  for (const char* reply : {"errno=-98\n\n", "errno=98\n\n"}) {
    const auto refused = parse_uapi_set(reply);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message(), "wireguard-go refused: Address already in use");
  }
  EXPECT_FALSE(parse_uapi_set("listen_port=5\nerrno=0\n\n"));
  EXPECT_FALSE(parse_uapi_set("errno=-2147483648\n\n"));
}

TEST(Uapi, BuildsASet) {
  const DeviceChange change{
      .private_key = key(0x48),
      .listen_port = 51820,
      .firewall_mark = 3,
      .peers = {{.public_key = key(1),
                 .endpoint = *Endpoint::parse("[2001:db8::1]:51820"),
                 .keepalive_s = 25,
                 .add_allowed_ips = {*Prefix::parse("100.64.0.2/32"), *Prefix::parse("fd12::/64")}},
                {.public_key = key(2), .remove = true},
                {.public_key = key(3), .update_only = true, .preshared_key = key(0x0a), .keepalive_s = 0}}};
  EXPECT_EQ(uapi_set(change),
            "set=1\n"
            "private_key=4848484848484848484848484848484848484848484848484848484848484848\n"
            "listen_port=51820\n"
            "fwmark=3\n"
            "public_key=0101010101010101010101010101010101010101010101010101010101010101\n"
            "endpoint=[2001:db8::1]:51820\n"
            "persistent_keepalive_interval=25\n"
            "allowed_ip=100.64.0.2/32\n"
            "allowed_ip=fd12::/64\n"
            "public_key=0202020202020202020202020202020202020202020202020202020202020202\n"
            "remove=true\n"
            "public_key=0303030303030303030303030303030303030303030303030303030303030303\n"
            "update_only=true\n"
            "preshared_key=0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a\n"
            "persistent_keepalive_interval=0\n"
            "\n");
}

}  // namespace uapi_test
}  // namespace cordon::node::wireguard
