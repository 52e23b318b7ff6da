// Attachment, adoption by the next process, restoring, migration between layouts (I4).

#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/filter/clsact.h"
#include "tests/bpf/fixture.h"
#include "tests/bpf/net_sandbox.h"

namespace cordon::test {
namespace attach_test {

using node::KernelFilter;
using node::tcx::Hook;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const Flow kFlow{address(kV4.client), address(kV4.server), 40000, 5432};

class AttachTest : public FilterTest {
 protected:
  AttachTest() {
    add_principal(kV4.client, 1);
    add_target(kV4.server, 1);
    add_grant({.port = 5432, .rule = 1});
    ifindex_ = net_.make_veth("c-a", "c-b");
  }
  std::uint64_t packets_by_rule(std::uint32_t rule) {
    const auto counters = filter_->rule_counters().value();
    const auto it = counters.find(RuleId(rule));
    return it == counters.end() ? 0 : it->second.packets;
  }
  /// The daemon dies (nothing is cleaned up) and starts again.
  void restart(const node::FilterConfig& config) {
    filter_.reset();
    auto again = KernelFilter::open(config);
    if (!again) throw std::runtime_error(again.error().message());
    filter_ = std::move(*again);
  }
  /// Of places at interfaces, with tcx or, where there is none, clsact.
  std::set<std::string> pins(std::string_view place) const {
    std::set<std::string> out;
    for (const auto& entry : std::filesystem::directory_iterator(pins_)) {
      const std::string name = entry.path().filename();
      if ((name.starts_with("link-") || name.starts_with("clsact-")) && name.contains(place))
        out.insert(name);
    }
    return out;
  }
  /// The program that runs first, 0 when there is none.
  static std::int64_t first(unsigned ifindex, Hook hook) {
    if (const auto program = node::tcx::first_program(ifindex, hook); program >= 0) return program;
    const auto filters = node::clsact::filters(ifindex, hook).value();
    return filters.empty() ? 0 : filters.front().program_id;
  }

  NetSandbox net_;
  unsigned ifindex_ = 0;
};

TEST_F(AttachTest, PacketsOnTheWireMeetTheFilter) {
  write();
  ASSERT_TRUE(filter_->attach_overlay(ifindex_));
  EXPECT_THAT(filter_->check(), IsEmpty());
  net_.send("c-b", ethernet(tcp(kFlow, kSyn)));
  EXPECT_EQ(packets_by_rule(1), 1u);
  net_.send("c-a", ethernet(tcp(kFlow, kSyn)));  // the same packet leaving is granted to nobody
  EXPECT_EQ(filter_->drop_counters().value().at("no grant").packets, 1u);
}

TEST_F(AttachTest, EnforcementOutlivesTheDaemonAndIsAdopted) {  // I4
  write();
  ASSERT_TRUE(filter_->attach_overlay(ifindex_));
  net_.send("c-b", ethernet(tcp(kFlow, kSyn)));
  filter_.reset();
  net_.send("c-b", ethernet(tcp(kFlow, kAck)));  // nobody is there but the kernel
  const auto pins_before = pins("overlay_");
  const auto old_program = first(ifindex_, Hook::ingress);

  auto again = KernelFilter::open(config_at(pins_));
  ASSERT_TRUE(again);
  filter_ = std::move(*again);
  EXPECT_TRUE(filter_->adopted());
  EXPECT_EQ(packets_by_rule(1), 2u);
  ASSERT_TRUE(filter_->attach_overlay(ifindex_));
  EXPECT_NE(first(ifindex_, Hook::ingress), old_program);
  EXPECT_EQ(pins("overlay_"), pins_before);
  EXPECT_EQ(pins_before.size(), 2u);
  EXPECT_THAT(filter_->check(), IsEmpty());
  net_.send("c-b", ethernet(tcp(kFlow, kRst)));
  const auto seen = events();
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen.back().kind, node::FlowEvent::Kind::closed);
  EXPECT_EQ(seen.back().packets, 3u);  // one flow all the time
}

TEST_F(AttachTest, TheSameStateAfterARestartWritesNothingAndKeepsTheEpoch) {
  const TimeBase fixed = base();
  ASSERT_TRUE(filter_->replace(state_, fixed));
  ASSERT_TRUE(filter_->confirm(system_clock().boot_ns()));
  const auto epoch = filter_->settings().epoch;
  restart(config_at(pins_));
  const auto report = filter_->replace(state_, fixed);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->written + report->removed, 0u);
  EXPECT_FALSE(report->epoch_raised);
  EXPECT_TRUE(report->verified);
  EXPECT_EQ(filter_->settings().epoch, epoch);
}

TEST_F(AttachTest, ANewInterfaceIsAttachedAnew) {
  write();
  ASSERT_TRUE(filter_->attach_overlay(ifindex_));
  net_.remove("c-a");
  EXPECT_THAT(filter_->check(), ElementsAre(HasSubstr("gone"), HasSubstr("gone")));
  ifindex_ = net_.make_veth("c-a", "c-b");
  ASSERT_TRUE(filter_->attach_overlay(ifindex_));
  EXPECT_THAT(filter_->check(), IsEmpty());
  net_.send("c-b", ethernet(tcp(kFlow, kSyn)));
  EXPECT_EQ(packets_by_rule(1), 1u);
}

TEST_F(AttachTest, AnInterfaceThatFailsLeavesTheOthersGuarded) {
  write();
  EXPECT_FALSE(filter_->attach_underlay({4'000'000, ifindex_}));
  EXPECT_GT(first(ifindex_, Hook::ingress), 0);
  EXPECT_GT(first(ifindex_, Hook::egress), 0);
}

TEST_F(AttachTest, UnderlayInterfacesComeAndGo) {
  write();
  const unsigned peer = ::if_nametoindex("c-b");
  ASSERT_TRUE(filter_->attach_underlay({ifindex_, peer}));
  EXPECT_EQ(pins("guard-").size(), 4u);
  EXPECT_THAT(filter_->check(), IsEmpty());
  restart(config_at(pins_));
  ASSERT_TRUE(filter_->attach_underlay({peer}));
  EXPECT_EQ(pins("guard-").size(), 2u);
  // The kernel lets a link go that is no longer pinned when it comes to it.
  for (int i = 0; i < 500 && first(ifindex_, Hook::ingress) != 0; ++i) ::usleep(10'000);
  EXPECT_EQ(first(ifindex_, Hook::ingress), 0);
  EXPECT_GT(first(peer, Hook::ingress), 0);
}

TEST_F(AttachTest, RemoveAllLeavesNothing) {
  write();
  ASSERT_TRUE(filter_->attach_overlay(ifindex_));
  ASSERT_TRUE(filter_->remove_all());
  EXPECT_FALSE(std::filesystem::exists(pins_));
  EXPECT_EQ(first(ifindex_, Hook::ingress), 0);
  EXPECT_EQ(first(ifindex_, Hook::egress), 0);
  filter_.reset();
}

/// Becomes a user who holds the three capabilities of ARCHITECTURE.md's node and nothing else.
bool become_the_daemon(uid_t uid) {
  ::prctl(PR_SET_KEEPCAPS, 1);
  if (::setresgid(uid, uid, uid) != 0 || ::setresuid(uid, uid, uid) != 0) return false;
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2] = {};
  for (unsigned cap : {CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON}) {
    data[cap / 32].effective |= 1u << (cap % 32);
    data[cap / 32].permitted |= 1u << (cap % 32);
  }
  return ::syscall(SYS_capset, &header, data) == 0;
}

TEST_F(AttachTest, ThreeCapabilitiesAreEnough) {
  constexpr uid_t kUser = 65534;
  const std::filesystem::path pins = pins_.string() + "-user";
  ASSERT_EQ(::mkdir(pins.c_str(), 0700), 0);
  ASSERT_EQ(::chown(pins.c_str(), kUser, kUser), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    if (!become_the_daemon(kUser)) ::_exit(10);
    auto filter = KernelFilter::open(config_at(pins));
    if (!filter) {
      std::fprintf(stderr, "%s\n", filter.error().message().c_str());
      ::_exit(11);
    }
    if (!(*filter)->attach_overlay(ifindex_)) ::_exit(12);
    if (!(*filter)->attach_underlay({::if_nametoindex("c-b")})) ::_exit(13);
    const auto report = (*filter)->replace(state_, base());
    if (!report || !report->verified || !(*filter)->confirm(system_clock().boot_ns())) ::_exit(14);
    if (!(*filter)->check().empty()) ::_exit(15);
    if (!(*filter)->remove_all()) ::_exit(16);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
  ::rmdir(pins.c_str());
}

TEST_F(AttachTest, WithoutCapabilitiesTheErrorNamesThem) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setresuid(65534, 65534, 65534) != 0) ::_exit(10);
    auto filter = KernelFilter::open(config_at(pins_));
    const bool told =
        !filter && filter.error().message().find("CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN") != std::string::npos;
    ::_exit(told ? 0 : 11);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
}

TEST_F(AttachTest, WhatDoesNotFitIsRefusedWithTheNumbers) {  // I11
  write();
  for (std::uint32_t i = 0; i < 1025; ++i)
    state_.entries[policy::PrincipalKey{Address::from_v4(0x64400100u + i)}] = policy::PrincipalValue{};
  const auto report = filter_->replace(state_, base());
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::exhausted);
  EXPECT_THAT(report.error().message(), HasSubstr("1026 entries for map 'principals', which holds 1024"));
  EXPECT_EQ(in(tcp(kFlow, kSyn)), accepted(1));  // as before
  // A cut doesn't wait for room.
  state_.entries.erase(policy::PrincipalKey{address(kV4.client)});
  state_.entries[policy::PrincipalKey{Address::from_v4(0x64400fffu)}] = policy::PrincipalValue{};
  EXPECT_FALSE(filter_->replace(state_, base()));
  EXPECT_EQ(in(tcp(kFlow, kSyn)), dropped("unknown principal"));
}

TEST_F(AttachTest, WhatGoesMakesRoomForWhatComes) {
  write();
  // 1000 old and 1000 new principals fit alone, not together: the map is full halfway.
  for (std::uint32_t i = 0; i < 900; ++i)
    state_.entries[policy::PrincipalKey{Address::from_v4(0x64400100u + i)}] = policy::PrincipalValue{};
  write();
  auto other = state_;
  std::erase_if(other.entries, [](const auto& entry) {
    const auto* key = std::get_if<policy::PrincipalKey>(&entry.first);
    return key != nullptr && key->address != address(kV4.client);
  });
  for (std::uint32_t i = 0; i < 900; ++i)
    other.entries[policy::PrincipalKey{Address::from_v4(0x64500100u + i)}] = policy::PrincipalValue{};
  const auto report = filter_->replace(other, base());
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_TRUE(report->verified);
  Flow kept = kFlow;
  kept.source = Address::from_v4(0x64400100u);
  EXPECT_EQ(in(tcp(kept, kSyn)), dropped("unknown principal"));
  kept.source = Address::from_v4(0x64500100u);
  EXPECT_EQ(in(tcp(kept, kSyn)), dropped("no grant"));
  EXPECT_EQ(in(tcp(kFlow, kSyn)), accepted(1));
}

TEST_F(AttachTest, AnUpdateWithoutRoomStillTakesAway) {
  write();
  const policy::NodeState before = state_;
  state_.entries.erase(policy::PrincipalKey{address(kV4.client)});
  for (std::uint32_t i = 0; i < 1100; ++i)
    state_.entries[policy::PrincipalKey{Address::from_v4(0x64400100u + i)}] = policy::PrincipalValue{};
  const auto report = filter_->update(before, policy::difference(before, state_), base(), false);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::exhausted);
  EXPECT_EQ(in(tcp(kFlow, kSyn)), dropped("unknown principal"));
  Flow added = kFlow;
  added.source = Address::from_v4(0x64400100u);
  EXPECT_EQ(in(tcp(added, kSyn)), dropped("unknown principal"));
}

}  // namespace attach_test
}  // namespace cordon::test
