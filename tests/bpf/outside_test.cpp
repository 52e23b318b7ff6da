// Overlay addresses outside the overlay (ebpf/outside.bpf.h): in no mode do they come in, nor go out.

#include <bpf/bpf.h>

#include <functional>

#include "tests/bpf/fixture.h"

namespace cordon::test {
namespace outside_test {

struct Ends {
  const char* name;
  const char* device;   ///< this host's, in the overlay
  const char* session;  ///< of a person who is signed in here
  const char* ledger;   ///< somebody's whom the state names
  const char* nobody;   ///< of the overlay's prefix
  const char* here;     ///< this host's on the underlay
  const char* neighbour;
  const char* allowed;
  const char* controller;
};
constexpr Ends kEnds4{"v4",           "100.64.0.20",  "100.64.1.1", "100.64.0.10", "100.64.9.9",
                      "203.0.113.10", "203.0.113.20", "192.0.2.7",  "198.51.100.1"};
constexpr Ends kEnds6{"v6",           "fd00:c0de::20", "fd00:c0de::1:1", "fd00:c0de::10", "fd00:c0de::9:9",
                      "2001:db8::10", "2001:db8::20",  "2001:db8::20",   "2001:db8::20"};

class OutsideTest : public FilterTest, public testing::WithParamInterface<Ends> {
 protected:
  OutsideTest() : FilterTest(kGuardPrograms) {
    settings().v4 = address(kEnds4.device);
    settings().v6 = address(kEnds6.device);
    for (const Ends& ends : {kEnds4, kEnds6}) {
      add_principal(ends.device, 1);
      add_principal(ends.session, 2);
      principal(ends.session).check_owner = true;
      principal(ends.session).uid = 30001;
      add_target(ends.ledger, 1);
      add_principal(ends.ledger, 3);
    }
  }
  Address at(const char* Ends::* which) const { return address(GetParam().*which); }
  bool v4() const { return at(&Ends::here).is_v4(); }
  Flow flow(const char* Ends::* from, const char* Ends::* to, std::uint16_t source_port = 40000,
            std::uint16_t port = 7007) const {
    return {at(from), at(to), source_port, port};
  }
  Verdict arrives(const Packet& packet) { return run("guard_in", packet); }
  Verdict leaves(const Packet& packet) { return run("guard_out", packet); }

  /// Runs `look` in each mode: with nothing guarded, counting, guarding, closed and isolated.
  void in_every_mode(const std::function<void()>& look) {
    write();
    for (const char* mode : {"off", "count", "guard", "closed", "contained"}) {
      SCOPED_TRACE(mode);
      const std::string_view name = mode;
      state_.entries.erase(policy::GuardKey{.protocol = policy::kTcp, .ports = {443, 443}});
      if (name == "count" || name == "guard")
        state_.entries[policy::GuardKey{.protocol = policy::kTcp, .ports = {443, 443}}] =
            policy::GuardValue{.count_only = name == "count"};
      settings().underlay = name == "closed" ? policy::Underlay::closed : policy::Underlay::guard;
      settings().isolated = name == "contained";
      update();
      look();
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Families, OutsideTest, testing::Values(kEnds4, kEnds6),
                         [](const auto& info) { return std::string(info.param.name); });

inline Verdict around() {
  return dropped("outside overlay");
}

TEST_P(OutsideTest, NothingComesForThisHostsOverlayAddresses) {
  in_every_mode([&] {
    for (const auto to : {&Ends::device, &Ends::session})
      for (const auto from :
           {&Ends::neighbour, &Ends::ledger, &Ends::nobody, &Ends::allowed, &Ends::controller}) {
        EXPECT_EQ(arrives(udp(flow(from, to, 7007, 40000))), around());
        EXPECT_EQ(arrives(udp(flow(from, to, 7007, 51820))), around()) << "not even to WireGuard's port";
        EXPECT_EQ(arrives(tcp(flow(from, to, 7443, 40000), kAck)), around());
        EXPECT_EQ(arrives(udp(v4() ? flow(from, to, 67, 68) : flow(from, to, 547, 546))), around());
        EXPECT_EQ(arrives(icmp(at(from), at(to), v4() ? 3 : 2, 4, 0)), around()) << "too big";
      }
  });
}

TEST_P(OutsideTest, NobodyComesUnderAnOverlayAddress) {
  in_every_mode([&] {
    for (const auto from : {&Ends::ledger, &Ends::nobody, &Ends::device, &Ends::session})
      for (const auto to : {&Ends::here, &Ends::ledger}) {
        EXPECT_EQ(arrives(udp(flow(from, to))), around());
        EXPECT_EQ(arrives(tcp(flow(from, to), kSyn)), around());
        EXPECT_EQ(arrives(tcp(flow(from, to), kAck)), around());
      }
  });
}

TEST_P(OutsideTest, NoHeaderAndNoFragmentHidesThem) {
  in_every_mode([&] {
    const Packet whole = udp(flow(&Ends::ledger, &Ends::session), 64);
    EXPECT_EQ(arrives(fragment(whole, 0, 40, 1)), around());
    EXPECT_EQ(arrives(fragment(whole, 40, 24, 1)), around()) << "of a datagram that came by the overlay";
    EXPECT_EQ(run("guard_in_eth", ethernet(whole)), around());
    if (v4()) return;
    Packet chain = whole;
    for (int i = 0; i < 9; ++i) chain = with_extension(chain, 60);
    EXPECT_EQ(arrives(chain), around());
    EXPECT_EQ(arrives(with_extension(whole, 135)), around());
  });
}

TEST_P(OutsideTest, NothingGoesToTheOverlayOrUnderOurOwnAddresses) {
  in_every_mode([&] {
    for (const auto to : {&Ends::ledger, &Ends::nobody, &Ends::session}) {
      EXPECT_EQ(leaves(tcp(flow(&Ends::here, to), kSyn)), around());
      EXPECT_EQ(leaves(tcp(flow(&Ends::device, to), kAck)), around());
      EXPECT_EQ(leaves(udp(flow(&Ends::session, to, 51820))), around());
      EXPECT_EQ(leaves(fragment(udp(flow(&Ends::session, to), 64), 40, 24, 1)), around());
    }
    for (const auto from : {&Ends::device, &Ends::session, &Ends::nobody})
      EXPECT_EQ(leaves(udp(flow(from, &Ends::neighbour))), around());
  });
  EXPECT_EQ(events().back().direction, policy::Direction::egress);
}

TEST_P(OutsideTest, WhatIsNoneOfItIsJudgedAsBefore) {
  write();
  EXPECT_EQ(arrives(udp(flow(&Ends::neighbour, &Ends::here))), passed());
  EXPECT_EQ(leaves(udp(flow(&Ends::here, &Ends::neighbour))), passed());
  EXPECT_EQ(arrives(udp(flow(&Ends::neighbour, &Ends::ledger))), passed())
      << "would be forwarded: the verdict judges it";
}

TEST_P(OutsideTest, WhatWasJudgedAtTheOverlayMayBeForwarded) {
  write();
  cordon_host host{};
  const __u32 zero = 0;
  const int fd = filter_->objects().map("host");
  ASSERT_EQ(bpf_map_lookup_elem(fd, &zero, &host), 0);
  host.overlay_ifindex = 7;
  ASSERT_EQ(bpf_map_update_elem(fd, &zero, &host, BPF_ANY), 0);
  const Packet packet = udp(flow(&Ends::ledger, &Ends::neighbour));
  EXPECT_EQ(run("guard_out", packet, 7), passed()) << "behind a gateway";
  EXPECT_EQ(run("guard_out", packet, 8), around());
  EXPECT_EQ(run("guard_out", udp(flow(&Ends::ledger, &Ends::nobody)), 7), around());
}

TEST_P(OutsideTest, ADhcpServerMayHaveAnAddressOfTheOverlaysPrefix) {
  in_every_mode([&] {
    const std::uint16_t server = v4() ? 67 : 547, client = v4() ? 68 : 546;
    EXPECT_EQ(arrives(udp({at(&Ends::nobody), at(&Ends::here), server, client})), passed());
    EXPECT_EQ(leaves(udp({at(&Ends::here), at(&Ends::nobody), client, server})), passed());
    EXPECT_EQ(arrives(udp({at(&Ends::ledger), at(&Ends::here), server, client})), around());
  });
}

TEST_P(OutsideTest, WhereTheUnderlayIsInTheOverlaysPrefixOnlyKnownAddressesCount) {
  settings().underlay = policy::Underlay::open;
  write();
  const Address own = address(v4() ? "100.64.7.1" : "fd00:c0de:0:7::1"),
                router = address(v4() ? "100.64.7.2" : "fd00:c0de:0:7::2");
  const auto net = [&](unsigned bits) { return std::vector<Prefix>{{own, static_cast<std::uint8_t>(bits)}}; };
  EXPECT_EQ(arrives(udp({router, own, 53, 40000})), around());
  EXPECT_EQ(leaves(udp({own, router, 40000, 53})), around());
  EXPECT_FALSE(filter_->meets_overlay());
  ASSERT_TRUE(filter_->set_networks(net(120)));
  EXPECT_TRUE(filter_->meets_overlay());
  EXPECT_EQ(arrives(udp({router, own, 53, 40000})), passed());
  EXPECT_EQ(leaves(udp({own, router, 40000, 53})), passed());
  update();
  EXPECT_EQ(arrives(udp({router, own, 53, 40000})), passed()) << "a state doesn't forget it";
  for (const auto to : {&Ends::device, &Ends::session})
    EXPECT_EQ(arrives(udp({router, at(to), 53, 40000})), around());
  for (const auto from : {&Ends::device, &Ends::session, &Ends::ledger}) {
    EXPECT_EQ(arrives(udp({at(from), own, 53, 40000})), around());
    EXPECT_EQ(leaves(udp({own, at(from), 40000, 53})), around());
  }
  ASSERT_TRUE(filter_->set_networks({}));
  EXPECT_EQ(arrives(udp({router, own, 53, 40000})), around());
  ASSERT_TRUE(filter_->set_controllers({Endpoint{router, 7443}}));
  EXPECT_EQ(arrives(tcp({router, own, 7443, 40000}, kAck)), passed());
}

TEST_P(OutsideTest, BeforeAStateOnlyWhatABootKnows) {
  const policy::NodeState whole = state_;
  std::erase_if(state_.entries,
                [](const auto& entry) { return !std::holds_alternative<policy::SettingsKey>(entry.first); });
  write();
  EXPECT_EQ(arrives(udp(flow(&Ends::neighbour, &Ends::device))), around());
  EXPECT_EQ(arrives(udp(flow(&Ends::ledger, &Ends::here))), around());
  EXPECT_EQ(leaves(udp(flow(&Ends::here, &Ends::ledger))), around());
}

}  // namespace outside_test
}  // namespace cordon::test
