// The underlay of an isolated host, both ways (DATAPATH.md, "Isolation on the isolated host itself").

#include "tests/bpf/fixture.h"

namespace cordon::test {
namespace contain_test {

constexpr Hosts kUnderlay4{"v4", "203.0.113.20", "", "203.0.113.10", ""};
constexpr Hosts kUnderlay6{"v6", "2001:db8::20", "", "2001:db8::10", ""};

class ContainTest : public FilterTest, public testing::WithParamInterface<Hosts> {
 protected:
  ContainTest() : FilterTest(kGuardPrograms) { settings().isolated = true; }
  Address outside() const { return address(GetParam().client); }
  Address here() const { return address(GetParam().server); }
  bool v4() const { return here().is_v4(); }
  Flow from_outside(std::uint16_t port, std::uint16_t from = 40000) const {
    return {outside(), here(), from, port};
  }
  Verdict arrives(const Packet& packet) { return run("guard_in", packet); }
  Verdict leaves(const Packet& packet) { return run("guard_out", packet); }
  void expect_both(const Flow& inwards, const Verdict& verdict) {
    EXPECT_EQ(arrives(udp(inwards)), verdict);
    EXPECT_EQ(leaves(udp(inwards.reversed())), verdict);
  }
};
INSTANTIATE_TEST_SUITE_P(Families, ContainTest, testing::Values(kUnderlay4, kUnderlay6),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(ContainTest, NothingComesOrGoes) {
  write();
  EXPECT_EQ(arrives(tcp(from_outside(22), kSyn)), dropped("host isolated"));
  EXPECT_EQ(arrives(tcp(from_outside(22), kAck)), dropped("host isolated"));
  EXPECT_EQ(leaves(tcp(from_outside(443).reversed(), kSyn)), dropped("host isolated"));
  EXPECT_EQ(leaves(udp(from_outside(40000, 53).reversed())), dropped("host isolated"));  // DNS
  EXPECT_EQ(leaves(echo_request(here(), outside(), 7)), dropped("host isolated"));
  EXPECT_EQ(arrives(echo_reply(outside(), here(), 7)), dropped("host isolated"));
  EXPECT_EQ(leaves(ip(here(), outside(), 47, Packet(8))), dropped("host isolated"));
  const Packet cut = tcp(from_outside(22), kSyn);
  EXPECT_EQ(arrives(Packet(cut.begin(), cut.end() - 8)), dropped("malformed packet"));
}

TEST_P(ContainTest, WhatRanBeforeIsCutAndReleaseBringsItBack) {
  settings().isolated = false;
  settings().underlay = policy::Underlay::closed;
  write();
  const Flow ours = from_outside(40000, 443).reversed();
  ASSERT_EQ(leaves(tcp(ours, kSyn)), passed());
  ASSERT_EQ(arrives(tcp(ours.reversed(), kAck)), passed());
  settings().isolated = true;
  update();
  EXPECT_EQ(leaves(tcp(ours, kAck)), dropped("host isolated"));
  EXPECT_EQ(arrives(tcp(ours.reversed(), kAck)), dropped("host isolated"));
  settings().isolated = false;
  update();
  EXPECT_EQ(arrives(tcp(ours.reversed(), kAck)), passed());
}

TEST_P(ContainTest, WhatAMachineNeedsToHaveANetwork) {
  write();
  if (v4()) {
    EXPECT_EQ(leaves(udp({here(), outside(), 68, 67})), passed());
    EXPECT_EQ(arrives(udp(from_outside(68, 67))), passed());
    EXPECT_EQ(leaves(udp({here(), outside(), 67, 68})), dropped("host isolated"));  // a server is no client
    EXPECT_EQ(arrives(icmp(outside(), here(), 3, 4, 0)), passed());
    EXPECT_EQ(leaves(icmp(here(), outside(), 3, 4, 0)), passed());
    EXPECT_EQ(arrives(icmp(outside(), here(), 3, 1, 0)), dropped("host isolated"));
    EXPECT_EQ(arrives(icmp(outside(), here(), 5, 0, 0)), dropped("host isolated"));
  } else {
    EXPECT_EQ(leaves(udp({here(), outside(), 546, 547})), passed());
    EXPECT_EQ(arrives(udp(from_outside(546, 547))), passed());
    for (std::uint8_t type : {2, 130, 131, 132, 133, 134, 135, 136, 143}) {
      EXPECT_EQ(arrives(icmp(outside(), here(), type, 0, 0)), passed());
      EXPECT_EQ(leaves(with_extension(icmp(here(), outside(), type, 0, 0), 0)), passed());
    }
    EXPECT_EQ(arrives(icmp(outside(), here(), 137, 0, 0)), dropped("host isolated"));
  }
}

TEST_P(ContainTest, WireguardTalksToItsPeers) {
  write();
  const Flow tunnel = from_outside(51820, 51820);
  expect_both(tunnel, dropped("host isolated"));  // nobody said yet where the peers are
  ASSERT_TRUE(filter_->set_peers({Endpoint{outside(), 51820}}));
  expect_both(tunnel, passed());
  expect_both(from_outside(51820, 51821), dropped("host isolated"));
  expect_both(from_outside(51821, 51820), dropped("host isolated"));  // not WireGuard's port
  update(true);                                                       // another state leaves the peers
  expect_both(from_outside(51820, 51821), dropped("host isolated"));
  ASSERT_TRUE(filter_->set_peers({}));
  expect_both(tunnel, dropped("host isolated"));
}

TEST_P(ContainTest, ControllersAreThoseThatWereToldLast) {
  write();
  const Flow answers = from_outside(40000, 7443);
  const auto both_ways = [&](const Verdict& verdict) {
    EXPECT_EQ(leaves(tcp(answers.reversed(), kSyn)), verdict);
    EXPECT_EQ(arrives(tcp(answers, kAck)), verdict);
  };
  both_ways(dropped("host isolated"));
  ASSERT_TRUE(filter_->set_controllers({Endpoint{outside(), 7443}, Endpoint{outside(), 443}}));
  both_ways(passed());
  EXPECT_EQ(leaves(tcp(from_outside(40000, 7444).reversed(), kSyn)), dropped("host isolated"));
  update(true);  // another state leaves them
  both_ways(passed());
  ASSERT_TRUE(filter_->set_controllers({Endpoint{outside(), 443}}));
  both_ways(dropped("host isolated"));
  EXPECT_EQ(leaves(tcp(from_outside(40000, 443).reversed(), kSyn)), passed());
}

TEST_P(ContainTest, APeerThatMovedMayBeginAHandshake) {
  write();
  const Flow tunnel = from_outside(51820, 40000);
  const auto message = [](const Flow& flow, std::uint8_t type, std::size_t bytes) {
    Packet out = udp(flow, bytes);
    out[out.size() - bytes] = type;
    return out;
  };
  EXPECT_EQ(arrives(message(tunnel, 1, 148)), passed());
  EXPECT_EQ(leaves(message(tunnel.reversed(), 2, 92)), passed());
  EXPECT_EQ(leaves(message(tunnel.reversed(), 3, 64)), passed());
  // Nothing else looks like one: not the other way round, of no other length or type, at no other port.
  EXPECT_EQ(leaves(message(tunnel.reversed(), 1, 148)), dropped("host isolated"));
  EXPECT_EQ(arrives(message(tunnel, 2, 92)), dropped("host isolated"));
  EXPECT_EQ(arrives(message(tunnel, 1, 149)), dropped("host isolated"));
  EXPECT_EQ(leaves(message(tunnel.reversed(), 2, 148)), dropped("host isolated"));
  EXPECT_EQ(arrives(message(tunnel, 4, 148)), dropped("host isolated"));
  EXPECT_EQ(leaves(message(tunnel.reversed(), 4, 92)), dropped("host isolated"));
  EXPECT_EQ(arrives(message(from_outside(51821, 40000), 1, 148)), dropped("host isolated"));
  Packet reserved = message(tunnel, 1, 148);
  reserved[reserved.size() - 147] = 1;
  EXPECT_EQ(arrives(reserved), dropped("host isolated"));
  const Packet whole = message(tunnel, 1, 148);
  EXPECT_EQ(arrives(fragment(whole, 0, 80, 9)), dropped("host isolated"));
}

TEST_P(ContainTest, FragmentsOfTheTunnelPass) {
  write();
  ASSERT_TRUE(filter_->set_peers({Endpoint{outside(), 51820}}));
  const Packet big = udp(from_outside(51820, 51820), 64);
  EXPECT_EQ(arrives(fragment(big, 40, 32, 3)), dropped("fragment"));
  EXPECT_EQ(arrives(fragment(big, 0, 40, 3)), passed());
  EXPECT_EQ(arrives(fragment(big, 40, 32, 3)), passed());
  const Packet out = udp(from_outside(51820, 51820).reversed(), 64);
  EXPECT_EQ(leaves(fragment(out, 40, 32, 3)), dropped("fragment"));
  EXPECT_EQ(leaves(fragment(out, 0, 40, 3)), passed());
  EXPECT_EQ(leaves(fragment(out, 40, 32, 3)), passed());
}

TEST_F(FilterTest, AnIsolatedHostTalksToItsControllers) {
  settings().isolated = true;
  write();
  const Address here = address("203.0.113.10"), controller = address("198.51.100.1");
  const Flow link{here, controller, 40000, 7443};
  EXPECT_EQ(run("guard_out", tcp(link, kSyn)), passed());
  EXPECT_EQ(run("guard_in", tcp(link.reversed(), kSyn | kAck)), passed());
  EXPECT_EQ(run("guard_in", tcp(link.reversed(), kSyn)), dropped("host isolated"));  // they never begin
  EXPECT_EQ(run("guard_out", tcp({here, controller, 40000, 7444}, kSyn)), dropped("host isolated"));
  EXPECT_EQ(run("guard_out", udp({here, controller, 40000, 7443})), dropped("host isolated"));
  // What the guard passes by node.toml is not for an isolated host.
  EXPECT_EQ(run("guard_in", tcp({address("192.0.2.7"), here, 40000, 22}, kSyn)), dropped("host isolated"));
}

TEST_F(FilterTest, AnIsolatedHostHasALink) {
  settings().isolated = true;
  write();
  const auto frame = [](std::uint8_t high, std::uint8_t low) {
    Packet out = ethernet(Packet(28));
    out[12] = high, out[13] = low;
    return out;
  };
  for (const char* program : {"guard_in_eth", "guard_out_eth"}) {
    EXPECT_EQ(run(program, frame(0x08, 0x06)), passed());           // ARP
    EXPECT_EQ(run(program, frame(0x88, 0x8e)), passed());           // EAPOL
    EXPECT_EQ(run(program, frame(0x88, 0xcc)), dropped("not ip"));  // LLDP tells who we are
  }
}

}  // namespace contain_test
}  // namespace cordon::test
