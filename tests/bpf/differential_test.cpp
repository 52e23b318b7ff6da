// I2: the kernel accepts nothing that the oracle denies, and nothing else: random states and packets, one
// verdict. The oracle is policy::look_up, which property tests hold equal to policy::evaluate.

#include <random>

#include "policy/compile.h"
#include "tests/bpf/fixture.h"

namespace cordon::test {
namespace differential_test {

constexpr int kStates = 20, kPacketsPerState = 120;

class DifferentialTest : public FilterTest {
 protected:
  DifferentialTest() : FilterTest(kOverlayPrograms) {}
  unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }
  bool chance(unsigned percent) { return below(100) < percent; }
  template <class T>
  T one_of(std::initializer_list<T> choices) {
    return *(choices.begin() + below(static_cast<unsigned>(choices.size())));
  }
  Address some_address(unsigned pool) {
    const unsigned host = 1 + below(pool);
    return chance(50) ? Address::from_v4(0x64400000u + host) : address("fd00:c0de::" + std::to_string(host));
  }
  std::uint8_t some_protocol(bool v4) {
    return one_of<std::uint8_t>(
        {policy::kTcp, policy::kTcp, policy::kUdp, policy::kSctp, v4 ? policy::kIcmp : policy::kIcmpv6, 47});
  }
  /// Few enough that entries and packets meet; with prefixes that nest.
  std::uint16_t some_port() {
    return one_of<std::uint16_t>({0, 8, 22, 128, 443, 8000, 8001, 8063, 8080, 65535});
  }

  policy::GrantKey some_grant() {
    policy::GrantKey key;
    key.direction = chance(50) ? policy::Direction::ingress : policy::Direction::egress;
    key.class_id = ClassId(1 + below(2));
    key.target = TargetId(1 + below(2));
    key.protocol = some_protocol(chance(50));
    key.port_bits = one_of<std::uint8_t>({16, 16, 12, 10, 4, 0, 0});
    if (key.port_bits == 0 && chance(50)) key.protocol = 0;
    key.port = key.port_bits == 0
                   ? std::uint16_t{0}
                   : static_cast<std::uint16_t>(some_port() & (0xffffu << (16 - key.port_bits)));
    return key;
  }
  void make_state() {
    const policy::SettingsValue plain = settings();
    state_.entries.clear();
    settings() = plain;
    settings().isolated = chance(10);
    for (unsigned i = 0; i < 10; ++i) {
      policy::PrincipalValue value;
      value.class_id = ClassId(chance(10) ? 0 : 1 + below(2));
      value.isolated = chance(5);
      for (auto& deadline : value.deadlines)
        if (chance(10)) deadline = kNow + Seconds(chance(50) ? 3600 : -3600);
      state_.entries[policy::PrincipalKey{some_address(8)}] = value;
    }
    for (unsigned i = 0; i < 8; ++i) {
      const Address at = some_address(8);
      const unsigned length = chance(75) ? (at.is_v4() ? 32u : 128u) : (at.is_v4() ? 30u : 126u);
      state_.entries[policy::TargetKey{Prefix::of(at, length)}] =
          policy::TargetValue{.id = TargetId(1 + below(2))};
    }
    // As a controller sends them: what a rule without a name counted is nobody's.
    for (std::uint32_t rule = 1; rule <= 50; ++rule)
      state_.entries[policy::RuleKey{RuleId(rule)}] = policy::RuleValue{.name = "rule"};
    for (unsigned i = 0; i < 60; ++i) {
      const bool deny = chance(15);
      const RuleId rule(1 + below(50));
      state_.entries[policy::RuleKey{rule}] = policy::RuleValue{.name = "rule"};
      state_.entries[some_grant()] = policy::GrantValue{.rule = rule,
                                                        .deny = deny,
                                                        .responder = chance(30),
                                                        .slot = static_cast<std::uint8_t>(below(8)),
                                                        .lease_s = deny ? 0u : 900u};
    }
  }
  std::mt19937_64 random_{0x5eed};
};

TEST_F(DifferentialTest, KernelAndOracleAgree) {
  unsigned accepts = 0, drops = 0;
  for (int s = 0; s < kStates; ++s) {
    make_state();
    write();
    for (int i = 0; i < kPacketsPerState; ++i) {
      Flow flow{some_address(9), some_address(9), static_cast<std::uint16_t>(1024 + below(60000)),
                some_port()};
      while (flow.source.is_v4() != flow.destination.is_v4()) flow.destination = some_address(9);
      const bool v4 = flow.source.is_v4();
      const std::uint8_t protocol = some_protocol(v4);
      if (protocol == 47) flow.destination_port = 0;
      if (protocol == policy::kIcmp) flow.destination_port = 8;
      if (protocol == policy::kIcmpv6) flow.destination_port = 128;
      const auto direction = chance(50) ? policy::Direction::ingress : policy::Direction::egress;
      const auto oracle = policy::look_up(state_, direction, flow.source, flow.destination, protocol,
                                          flow.destination_port, kNow);
      forget_flows();
      const char* program = direction == policy::Direction::ingress ? "overlay_in" : "overlay_out";
      const Verdict kernel = run(program, any_packet(flow, protocol));
      ASSERT_EQ(kernel.accept, oracle.accept)
          << "state " << s << " packet " << i << ": " << flow.source.to_string() << " > "
          << flow.destination.to_string() << " protocol " << int{protocol} << " port "
          << flow.destination_port << ", reason '" << kernel.reason << "'";
      EXPECT_EQ(kernel.rule, oracle.accept ? oracle.rule : RuleId());
      ++(kernel.accept ? accepts : drops);
    }
  }
  // The generator reaches both sides.
  EXPECT_GT(accepts, 150u);
  EXPECT_GT(drops, 200u);
}

}  // namespace differential_test
}  // namespace cordon::test
