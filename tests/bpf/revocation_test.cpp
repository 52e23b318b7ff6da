// A grant that is taken away or ends stops its flows, both ways, at the next packet, and no others (I3, I5):
// each protocol, at the source's node, at the target's, and at a gateway that forwards.

#include <unistd.h>

#include <chrono>
#include <thread>

#include "tests/bpf/fixture.h"
#include "tests/bpf/net_sandbox.h"

namespace cordon::test {
namespace revocation_test {

enum class End { source, target, gateway };

struct Case {
  const char* name;
  Hosts hosts;
  std::uint8_t protocol;
  End end;
};

std::vector<Case> all_cases() {
  static std::vector<std::string> names;
  names.reserve(64);
  std::vector<Case> out;
  for (const Hosts& hosts : {kV4, kV6})
    for (const std::uint8_t protocol : {policy::kTcp, policy::kUdp, policy::kIcmp})
      for (const End end : {End::source, End::target, End::gateway}) {
        const char* at = end == End::source ? "source" : end == End::target ? "target" : "gateway";
        const char* what = protocol == policy::kTcp ? "tcp" : protocol == policy::kUdp ? "udp" : "icmp";
        names.push_back(std::string(hosts.name) + "_" + what + "_" + at);
        const bool six = protocol == policy::kIcmp && hosts.name == kV6.name;
        out.push_back({names.back().c_str(), hosts, six ? policy::kIcmpv6 : protocol, end});
      }
  return out;
}

/// Two principals, classes 1 and 2, each with a running flow to the same target by a rule of its own.
class RevocationTest : public FilterTest, public testing::WithParamInterface<Case> {
 protected:
  RevocationTest() : FilterTest(kOverlayPrograms) {
    const Case& c = GetParam();
    const bool v4 = address(c.hosts.client).is_v4();
    target_ = c.end == End::gateway ? address(v4 ? "10.1.2.3" : "2001:db8:1::3") : address(c.hosts.server);
    const Prefix prefix = c.end == End::gateway ? Prefix::of(target_, v4 ? 24 : 64) : Prefix::host(target_);
    state_.entries[policy::TargetKey{prefix}] = policy::TargetValue{.id = TargetId(1)};
    add_principal(c.hosts.client, 1);
    add_principal(c.hosts.other, 2);
    grant(1);
    grant(2);
  }
  void grant(std::uint32_t class_and_rule) { add_grant(spec(class_and_rule)); }
  void revoke(std::uint32_t class_and_rule) {
    const GrantSpec of = spec(class_and_rule);
    ASSERT_EQ(state_.entries.erase(policy::GrantKey{.direction = of.direction,
                                                    .class_id = ClassId(of.class_id),
                                                    .target = TargetId(of.target),
                                                    .protocol = of.protocol,
                                                    .port_bits = 16,
                                                    .port = of.port}),
              1u);
  }
  GrantSpec spec(std::uint32_t class_and_rule) const {
    const std::uint8_t protocol = GetParam().protocol;
    return {
        .class_id = class_and_rule,
        .protocol = protocol,
        .port = static_cast<std::uint16_t>(protocol == policy::kIcmp     ? 8
                                           : protocol == policy::kIcmpv6 ? 128
                                                                         : 5432),
        .direction = GetParam().end == End::source ? policy::Direction::egress : policy::Direction::ingress,
        .rule = class_and_rule};
  }

  Packet packet(const char* from, bool answer, bool first) const {
    const Address source = address(from);
    const Flow flow{source, target_, 40000, 5432};
    switch (GetParam().protocol) {
      case policy::kTcp:
        return answer ? tcp(flow.reversed(), kAck) : tcp(flow, first ? kSyn : kAck);
      case policy::kUdp:
        return udp(answer ? flow.reversed() : flow);
      default:
        return answer ? echo_reply(target_, source, 7) : echo_request(source, target_, 7);
    }
  }
  Verdict send(const char* from, bool answer, bool first = false) {
    const bool leaves = answer != (GetParam().end == End::source);
    const bool forwarded = GetParam().end == End::gateway && answer;
    return run(leaves ? "overlay_out" : "overlay_in", packet(from, answer, first), forwarded ? 1 : 0);
  }
  void expect_runs(const char* from, std::uint32_t rule, bool first = false) {
    EXPECT_EQ(send(from, false, first), accepted(rule)) << from;
    EXPECT_EQ(send(from, true), accepted(rule)) << from;
  }
  const char* client() const { return GetParam().hosts.client; }
  const char* other() const { return GetParam().hosts.other; }

  Address target_;
};
INSTANTIATE_TEST_SUITE_P(Each, RevocationTest, testing::ValuesIn(all_cases()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(RevocationTest, StopsItsFlowBothWaysAtTheNextPacketAndNoOther) {
  write();
  expect_runs(client(), 1, true);
  expect_runs(other(), 2, true);
  for (const bool answer_first : {true, false}) {
    revoke(1);
    ASSERT_TRUE(update().epoch_raised);
    EXPECT_FALSE(send(client(), answer_first).accept);
    EXPECT_FALSE(send(client(), !answer_first).accept);
    expect_runs(other(), 2);
    grant(1);
    update();
    expect_runs(client(), 1, true);  // whoever may again begins again
    expect_runs(other(), 2);
  }
}

TEST_P(RevocationTest, APrincipalThatGoesTakesItsFlowAlone) {
  write();
  expect_runs(client(), 1, true);
  expect_runs(other(), 2, true);
  state_.entries.erase(policy::PrincipalKey{address(client())});
  update();
  EXPECT_FALSE(send(client(), true).accept);
  EXPECT_FALSE(send(client(), false).accept);
  expect_runs(other(), 2);
}

TEST_P(RevocationTest, ADeadlineEndsIt) {
  // The flow must have begun before it ends, also where a CPU stands still for that long.
  bool in_time = false;
  std::chrono::milliseconds within(20);
  while (!in_time && (within *= 3) < std::chrono::seconds(30)) {
    forget_flows();
    principal(client()).deadlines.fill(kNow + within);
    const auto begun = std::chrono::steady_clock::now();
    write();
    const Verdict first = send(client(), false, true), answer = send(client(), true);
    in_time = std::chrono::steady_clock::now() - begun < within;
    if (!in_time) continue;
    EXPECT_EQ(first, accepted(1));
    EXPECT_EQ(answer, accepted(1));
  }
  ASSERT_TRUE(in_time);
  expect_runs(other(), 2, true);
  std::this_thread::sleep_for(within);
  EXPECT_EQ(send(client(), false), dropped("principal expired"));
  EXPECT_FALSE(send(client(), true).accept);
  expect_runs(other(), 2);
}

/// On real interfaces, with no process that holds anything.
class UnattendedTest : public FilterTest {
 protected:
  void reopen() {
    filter_.reset();
    auto filter = node::KernelFilter::open(config_at(pins_));
    ASSERT_TRUE(filter) << filter.error().message();
    filter_ = std::move(*filter);
  }
  NetSandbox net_;
};

TEST_F(UnattendedTest, ADeadlinePassesWithNoDaemonAndTheFlowStops) {
  const Flow brief{address(kV4.client), address(kV4.server), 40000, 5432};
  const Flow lasting{address(kV4.other), address(kV4.server), 40000, 5432};
  add_principal(kV4.client, 1, never());
  principal(kV4.client).deadlines.fill(kNow + std::chrono::milliseconds(1500));
  add_principal(kV4.other, 2);
  add_target(kV4.server, 1);
  add_grant({.class_id = 1, .port = 5432, .rule = 1});
  add_grant({.class_id = 2, .port = 5432, .rule = 2});
  const unsigned ifindex = net_.make_veth("c-a", "c-b");
  ASSERT_TRUE(filter_->attach_overlay(ifindex));
  write();
  filter_.reset();  // no daemon
  for (const Flow& flow : {brief, lasting}) net_.send("c-b", ethernet(tcp(flow, kSyn)));
  ::usleep(1'600'000);
  for (int i = 0; i < 3; ++i)
    for (const Flow& flow : {brief, lasting}) net_.send("c-b", ethernet(tcp(flow, kAck)));
  reopen();
  const auto rules = filter_->rule_counters().value();
  EXPECT_EQ(rules.at(RuleId(1)).packets, 1u);
  EXPECT_EQ(rules.at(RuleId(2)).packets, 4u);
  EXPECT_EQ(filter_->drop_counters().value().at("principal expired").packets, 3u);
}

}  // namespace revocation_test
}  // namespace cordon::test
