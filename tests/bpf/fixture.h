#pragma once
// A filter of its own per test, a small world in its maps, and the kernel's verdict on one packet.

#include <gtest/gtest.h>
#include <linux/bpf.h>

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "node/filter/kernel_filter.h"
#include "node/filter/sweep.h"
#include "tests/bpf/packet.h"
#include "tests/support/world_builder.h"

namespace cordon::test {

struct Verdict {
  bool accept = false;
  std::string reason;  ///< the one drop counter that this packet moved; "" when none
  RuleId rule;         ///< the one rule counter that it moved; 0 when none
  bool operator==(const Verdict&) const = default;
};
void PrintTo(const Verdict& verdict, std::ostream* out);

inline Verdict accepted(std::uint32_t rule) {
  return {.accept = true, .reason = "", .rule = RuleId(rule)};
}
inline Verdict dropped(std::string reason) {
  return {.accept = false, .reason = std::move(reason), .rule = {}};
}

/// Every reason that a packet of these tests met, by name.
std::set<std::string>& met_reasons();

/// Accepted by no rule: passed untouched, or counted under a reason that drops nothing.
inline Verdict passed(std::string reason = {}) {
  return {.accept = true, .reason = std::move(reason), .rule = {}};
}

/// What a test that attaches nothing needs of the filter's programs.
inline const std::vector<std::string_view> kOverlayPrograms{"overlay_in", "overlay_out", "sweep"};
inline const std::vector<std::string_view> kGuardPrograms{"guard_in", "guard_out", "guard_in_eth"};

class FilterTest : public testing::Test {
 protected:
  /// `programs`: those that the test runs; without, all are loaded, which takes four times as long.
  explicit FilterTest(const std::vector<std::string_view>& programs = {});
  ~FilterTest() override;

  static node::FilterConfig config_at(const std::filesystem::path& pins);
  /// What runs a packet through a program of the filter; `ingress_ifindex` as if it came from there.
  Verdict run(const char* program, const Packet& packet, unsigned ingress_ifindex = 0, unsigned gso_size = 0);
  /// Only whether it is accepted: for floods, where reading all counters each time would take too long.
  bool accepts(const char* program, const Packet& packet, __sk_buff context = {});
  /// Runs the kernel's sweep as if so much time had passed.
  cordon_sweep sweep(std::chrono::seconds later = {});
  /// Once more only what that had no room to tell.
  cordon_sweep tell_denials();
  std::size_t flow_entries() const;
  cordon_budget budget(const Address& owner) const;
  Verdict in(const Packet& packet) { return run("overlay_in", packet); }
  Verdict out(const Packet& packet) { return run("overlay_out", packet); }

  /// Writes `state_` and confirms it now.
  node::ApplyReport write();
  /// As an update from what was last written.
  node::ApplyReport update(bool raise_epoch = false);
  TimeBase base() const;
  /// Everything that waits in the ring.
  std::vector<node::FlowEvent> events();

  /// A known flow is another question than a new one.
  void forget_flows() { forget("flows"); }
  /// Empties a hash map.
  void forget(const char* map);

  void add_principal(std::string_view address, std::uint64_t class_id,
                     std::array<Timestamp, policy::kDeadlineSlots> deadlines = never());
  static std::array<Timestamp, policy::kDeadlineSlots> never() {
    return policy::PrincipalValue::no_deadlines();
  }
  void add_target(std::string_view address, std::uint32_t id, bool observe = false);
  struct GrantSpec {
    std::uint64_t class_id = 1;
    std::uint32_t target = 1;
    std::uint8_t protocol = policy::kTcp;
    std::uint16_t port = 0;
    std::uint8_t port_bits = 16;
    policy::Direction direction = policy::Direction::ingress;
    std::uint32_t rule = 1;
    bool deny = false;
    bool responder = false;
    std::uint8_t slot = 0;
    std::uint32_t lease_s = 900;
  };
  void add_grant(const GrantSpec& spec);
  policy::SettingsValue& settings();
  policy::PrincipalValue& principal(std::string_view text);

  std::filesystem::path pins_;
  std::unique_ptr<node::KernelFilter> filter_;
  policy::NodeState state_, written_;
};

/// Both families behind the same names: a client, another one, a server and a stranger.
struct Hosts {
  const char* name;
  const char* client;
  const char* other;
  const char* server;
  const char* stranger;
};
inline constexpr Hosts kV4{"v4", "100.64.0.20", "100.64.0.21", "100.64.0.10", "100.64.9.9"};
inline constexpr Hosts kV6{"v6", "fd00:c0de::20", "fd00:c0de::21", "fd00:c0de::10", "fd00:c0de::9:9"};

/// client (class 1) may reach server's (target 1) tcp/5432 and udp/53 by rules 1 and 2, ping by rule 3, as
/// the server's node sees it. The other client (class 2) may nothing.
class FamilyTest : public FilterTest, public testing::WithParamInterface<Hosts> {
 protected:
  explicit FamilyTest(const std::vector<std::string_view>& programs = kOverlayPrograms);
  Flow to_server(std::uint16_t port, std::uint16_t from = 40000) const;
  Address client() const { return address(GetParam().client); }
  Address server() const { return address(GetParam().server); }
};
#define CORDON_BOTH_FAMILIES(suite)                                                                \
  INSTANTIATE_TEST_SUITE_P(Families, suite, testing::Values(cordon::test::kV4, cordon::test::kV6), \
                           [](const auto& info) { return std::string(info.param.name); })

}  // namespace cordon::test
