// What somebody does to a running filter is found by the next check, told and mended (fault injection), with
// tcx and with clsact.

#include <bpf/bpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <net/if.h>
// Behind <net/if.h>, which defines what it would.
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstring>

#include "node/filter/clsact.h"
#include "tests/bpf/fixture.h"
#include "tests/bpf/net_sandbox.h"

namespace cordon::test {
namespace check_test {

using node::tcx::Hook;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const Flow kGranted{address(kV4.client), address(kV4.server), 40000, 5432};
const Flow kDenied{address(kV4.client), address(kV4.server), 40000, 22};

/// A program that ends the chain and lets everything through: what would undo the filter.
node::Descriptor accept_all() {
  const bpf_insn code[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  return node::Descriptor(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "accept_all", "GPL", code, 2, nullptr));
}

class CheckTest : public FilterTest, public testing::WithParamInterface<bool> {
 protected:
  CheckTest() {
    add_principal(kV4.client, 1);
    add_target(kV4.server, 1);
    add_grant({.port = 5432, .rule = 1});
    ifindex_ = net_.make_veth("c-a", "c-b");
    filter_.reset();
    auto again = node::KernelFilter::open(config_at(pins_), {.tcx = GetParam()});
    EXPECT_TRUE(again);
    filter_ = std::move(*again);
    write();
    EXPECT_TRUE(filter_->attach_overlay(ifindex_));
    EXPECT_THAT(filter_->check(), IsEmpty());
    EXPECT_TRUE(denies());
  }
  void SetUp() override {
    if (tcx() && node::tcx::first_program(ifindex_, Hook::ingress) < 0)
      GTEST_SKIP() << "this kernel has no tcx";
  }
  bool tcx() const { return GetParam(); }
  /// Does a packet on the wire that nobody granted meet the filter?
  bool denies() {
    const auto drops = [this] { return filter_->drop_counters().value().at("no grant").packets; };
    const auto before = drops();
    net_.send("c-b", ethernet(tcp_of(kDenied)));
    return drops() == before + 1;
  }
  static Packet tcp_of(const Flow& flow) { return test::tcp(flow, kSyn); }
  /// One thing is found and mended, and then all is well.
  void expect_mended(const std::string& fault, const std::string& mended) {
    EXPECT_THAT(filter_->check(), ElementsAre(testing::AllOf(HasSubstr(fault), HasSubstr(mended))));
    EXPECT_THAT(filter_->check(), IsEmpty());
    EXPECT_TRUE(denies());
    net_.send("c-b", ethernet(tcp_of(kGranted)));
    EXPECT_EQ(filter_->rule_counters().value().at(RuleId(1)).packets, ++granted_);
  }
  std::string pin(const std::string& prefix) const {
    for (const auto& entry : std::filesystem::directory_iterator(pins_))
      if (entry.path().filename().string().starts_with(prefix)) return entry.path();
    return {};
  }
  /// A program that comes before ours, however the interface is filtered.
  void intrude(const node::Descriptor& program, std::uint32_t handle = 7) {
    if (tcx())
      intruder_ = node::Descriptor(node::tcx::link_first(program.get(), ifindex_, Hook::ingress));
    else
      ASSERT_TRUE(node::clsact::put(ifindex_, Hook::ingress, handle, program.get()));
  }

  NetSandbox net_;
  unsigned ifindex_ = 0;
  std::uint64_t granted_ = 0;
  node::Descriptor intruder_;
};
INSTANTIATE_TEST_SUITE_P(Ways, CheckTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "tcx" : "clsact"; });

TEST_P(CheckTest, AnotherProgramThatComesFirst) {
  intrude(accept_all());
  EXPECT_FALSE(denies());  // or this would be no attack
  expect_mended("the filter is not first at ingress of 'c-a'", "put first again");
}

TEST_P(CheckTest, WhoeverKeepsComingFirstIsNotFoughtForEver) {
  for (std::uint32_t i = 0; i < 3; ++i) {
    intrude(accept_all(), 7 + i);
    EXPECT_THAT(filter_->check(), ElementsAre(HasSubstr("put first again")));
  }
  intrude(accept_all(), 17);
  EXPECT_THAT(filter_->check(), ElementsAre(HasSubstr("left so")));
}

TEST_P(CheckTest, AnotherProgramInItsPlace) {
  const node::Descriptor other = accept_all();
  if (tcx()) {
    const node::Descriptor link(bpf_obj_get(pin("link-overlay_in").c_str()));
    ASSERT_EQ(bpf_link_update(link.get(), other.get(), nullptr), 0);
  } else {
    ASSERT_TRUE(node::clsact::put(ifindex_, Hook::ingress, node::clsact::kHandles[0], other.get()));
  }
  EXPECT_FALSE(denies());
  expect_mended("another program stands in the filter's place at ingress", "put in its place again");
}

TEST_P(CheckTest, TheFilterIsTakenAway) {
  if (tcx()) {
    const node::Descriptor link(bpf_obj_get(pin("link-overlay_in").c_str()));
    ASSERT_EQ(bpf_link_detach(link.get()), 0);
  } else {
    ASSERT_TRUE(node::clsact::remove(ifindex_, Hook::ingress, node::clsact::kHandles[0]));
  }
  EXPECT_FALSE(denies());
  expect_mended("the filter is not attached to ingress", "attached again");
}

TEST_P(CheckTest, TheWholeQdiscIsTakenAway) {
  if (tcx()) return;  // there is none
  shell("tc qdisc del dev c-a clsact");
  EXPECT_FALSE(denies());
  EXPECT_THAT(filter_->check(), ElementsAre(HasSubstr("attached again"), HasSubstr("attached again")));
  EXPECT_THAT(filter_->check(), IsEmpty());
  EXPECT_TRUE(denies());
}

TEST_P(CheckTest, ThePinOfAPlaceIsTakenAway) {
  const std::string path = pin(tcx() ? "link-overlay_in" : "clsact-");
  ASSERT_EQ(::unlink(path.c_str()), 0);
  expect_mended("the filter is not pinned for", "pinned again");
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST_P(CheckTest, ThePinOfAMapIsTakenAwayOrAnothers) {
  const std::string path = pin("map-principals-");
  ASSERT_EQ(::unlink(path.c_str()), 0);
  expect_mended("map 'principals' was not pinned", "pinned again");
  ASSERT_EQ(::unlink(path.c_str()), 0);
  const node::Descriptor other(bpf_map_create(BPF_MAP_TYPE_HASH, "other", 16, 80, 1024, nullptr));
  ASSERT_EQ(bpf_obj_pin(other.get(), path.c_str()), 0);
  expect_mended("map 'principals' was not the one pinned", "pinned again");
}

TEST_P(CheckTest, WhatIsMendedIsWhatTheNextDaemonAdopts) {
  intrude(accept_all());
  EXPECT_EQ(filter_->check().size(), 1u);
  filter_.reset();
  auto again = node::KernelFilter::open(config_at(pins_), {.tcx = GetParam()});
  ASSERT_TRUE(again);
  filter_ = std::move(*again);
  ASSERT_TRUE(filter_->attach_overlay(ifindex_));
  EXPECT_THAT(filter_->check(), IsEmpty());
  EXPECT_TRUE(denies());
}

TEST_P(CheckTest, GuardsOfInterfacesThatAreNoMoreOursGo) {
  const unsigned peer = ::if_nametoindex("c-b");
  ASSERT_TRUE(filter_->attach_underlay({peer}));
  const auto guarded = [&] {
    return tcx() ? node::tcx::first_program(peer, Hook::ingress) > 0
                 : !node::clsact::filters(peer, Hook::ingress).value().empty();
  };
  EXPECT_TRUE(guarded());
  filter_.reset();
  auto again = node::KernelFilter::open(config_at(pins_), {.tcx = GetParam()});
  ASSERT_TRUE(again);
  filter_ = std::move(*again);
  EXPECT_TRUE(guarded());
  ASSERT_TRUE(filter_->attach_underlay({}));
  for (int i = 0; i < 500 && guarded(); ++i)
    ::usleep(10'000);  // the kernel lets links go when it comes to it
  EXPECT_FALSE(guarded());
}

/// The guard at the pair's other end, while the daemon looks at links again and again, as netlink's events
/// and its tick make it do: that must not mend in silence what a check is to tell.
class GuardCheckTest : public CheckTest {
 protected:
  GuardCheckTest() {
    guarded_ = ::if_nametoindex("c-b");
    EXPECT_TRUE(filter_->attach_underlay({guarded_}));
    EXPECT_THAT(filter_->check(), IsEmpty());
  }
  bool is_guarded() const {
    return tcx() ? node::tcx::first_program(guarded_, Hook::ingress) > 0
                 : !node::clsact::filters(guarded_, Hook::ingress).value().empty();
  }
  std::string guard_pin() const {
    return pin(fmt::format(fmt::runtime(tcx() ? "link-guard-{0}-in" : "clsact-{0}-guard-{0}-in"), guarded_));
  }
  void look_again() {
    EXPECT_TRUE(filter_->attach_underlay({guarded_}));
    EXPECT_TRUE(filter_->attach_underlay({guarded_}));
  }
  void expect_told(const std::string& fault, const std::string& mended) {
    look_again();
    EXPECT_THAT(filter_->check(), ElementsAre(testing::AllOf(HasSubstr(fault), HasSubstr(mended))));
    EXPECT_TRUE(is_guarded());
    look_again();
    EXPECT_THAT(filter_->check(), IsEmpty());
  }
  unsigned guarded_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Ways, GuardCheckTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "tcx" : "clsact"; });

TEST_P(GuardCheckTest, TheGuardIsTakenAway) {
  if (tcx()) {
    const node::Descriptor link(bpf_obj_get(guard_pin().c_str()));
    ASSERT_EQ(bpf_link_detach(link.get()), 0);
  } else {
    ASSERT_TRUE(node::clsact::remove(guarded_, Hook::ingress, node::clsact::kHandles[0]));
  }
  EXPECT_FALSE(is_guarded());
  expect_told("the filter is not attached to ingress of 'c-b'", "attached again");
}

TEST_P(GuardCheckTest, ItsPinIsTakenAway) {
  for (int i = 0; i < 30; ++i) {
    ASSERT_EQ(::unlink(guard_pin().c_str()), 0);
    EXPECT_TRUE(is_guarded());
    look_again();
    ASSERT_TRUE(is_guarded()) << "the place is held on, pinned or not";
    expect_told("the filter is not pinned for", "pinned again");
  }
}

TEST_P(GuardCheckTest, WhoeverKeepsComingFirstIsNotFoughtForEver) {
  for (std::uint32_t i = 0; i < 4; ++i) {
    const node::Descriptor program = accept_all();
    if (tcx())
      intruder_ = node::Descriptor(node::tcx::link_first(program.get(), guarded_, Hook::ingress));
    else
      ASSERT_TRUE(node::clsact::put(guarded_, Hook::ingress, 7 + i, program.get()));
    look_again();
    EXPECT_THAT(filter_->check(), ElementsAre(HasSubstr(i < 3 ? "put first again" : "left so")));
  }
}

TEST_F(FilterTest, CountsThatFindNoRoomAreTold) {
  add_principal(kV4.client, 1);
  add_target(kV4.server, 1);
  // They share a slot of the cache, so each that comes moves the last one's count to the map.
  for (std::uint16_t i = 0; i < 3; ++i)
    add_grant({.port = static_cast<std::uint16_t>(i + 1), .rule = 1u + i * CORDON_RULE_SLOTS});
  EXPECT_TRUE(filter_->remove_all());
  node::FilterConfig config = config_at(pins_);
  config.sizes.rule_counters = 1;
  auto again = node::KernelFilter::open(config, {.only = kOverlayPrograms});
  ASSERT_TRUE(again) << again.error().message();
  filter_ = std::move(*again);
  write();
  EXPECT_THAT(filter_->check(), IsEmpty());
  for (int i = 0; i < 300; ++i)
    EXPECT_TRUE(accepts(
        "overlay_in",
        tcp({address(kV4.client), address(kV4.server), 40000, static_cast<std::uint16_t>(i % 3 + 1)}, kSyn)));
  EXPECT_THAT(filter_->check(), ElementsAre(HasSubstr("raise 'rule_counters'")));
  EXPECT_THAT(filter_->check(), IsEmpty()) << "no more were lost";
}

/// A tun device that says it is of another type.
unsigned make_tun(const node::Descriptor& tun, const char* name, int type, bool up) {
  ifreq request{};
  std::strncpy(request.ifr_name, name, IF_NAMESIZE - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (::ioctl(tun.get(), TUNSETIFF, &request) != 0 || ::ioctl(tun.get(), TUNSETLINK, type) != 0) return 0;
  if (up) shell(std::string("ip link set ") + name + " up");
  return ::if_nametoindex(name);
}

TEST_P(GuardCheckTest, AnInterfaceWhosePacketsCannotBeReadIsToldAndKeepsNoOtherFromItsGuard) {
  constexpr int kRawIp = 519, kInfiniband = 32, kCan = 280;
  node::Descriptor tuns[4];
  for (auto& tun : tuns) tun = node::Descriptor(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!tuns[0]) GTEST_SKIP() << "this kernel has no tun devices";
  const unsigned unread = make_tun(tuns[0], "c-ib", kInfiniband, true);
  const unsigned down = make_tun(tuns[1], "c-ib2", kInfiniband, false);
  const unsigned can = make_tun(tuns[2], "c-can", kCan, true);
  const unsigned raw = make_tun(tuns[3], "c-raw", kRawIp, true);
  ASSERT_TRUE(unread != 0 && down != 0 && can != 0 && raw != 0);
  const auto attached = filter_->attach_underlay({unread, can, raw, guarded_});
  ASSERT_FALSE(attached);
  EXPECT_THAT(attached.error().message(), HasSubstr("'c-ib', whose type is 32"));
  EXPECT_TRUE(is_guarded());
  EXPECT_NE(pin(fmt::format(fmt::runtime(tcx() ? "link-guard-{0}-in" : "clsact-{0}-guard-{0}-in"), raw)), "");
  EXPECT_TRUE(filter_->attach_underlay({down, can, raw, guarded_})) << "what is down carries nothing";
  EXPECT_THAT(filter_->check(), IsEmpty());
}

TEST_P(CheckTest, RemoveAllTakesAwayWhatAnEarlierProcessAttached) {
  filter_.reset();
  auto again = node::KernelFilter::open(config_at(pins_), {.tcx = GetParam()});
  ASSERT_TRUE(again);
  ASSERT_TRUE((*again)->remove_all());
  again->reset();
  for (Hook hook : {Hook::ingress, Hook::egress}) {
    for (int i = 0; tcx() && i < 500 && node::tcx::first_program(ifindex_, hook) != 0; ++i) ::usleep(10'000);
    EXPECT_LE(node::tcx::first_program(ifindex_, hook), 0);  // Linux 6.1 can't be asked
    EXPECT_THAT(node::clsact::filters(ifindex_, hook).value(), IsEmpty());
  }
}

}  // namespace check_test
}  // namespace cordon::test
