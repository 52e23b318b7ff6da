#pragma once
// Small states to apply.

#include "policy/node_state.h"

namespace cordon::node::test {

inline Address address(std::string_view text) {
  return Address::parse(text).value();
}

inline policy::SettingsValue settings() {
  policy::SettingsValue value;
  value.device = DeviceId{"trader"};
  value.v4 = address("100.64.0.2");
  value.v6 = address("fd12:3456:789a::2");
  value.overlay_v4 = Prefix::parse("100.64.0.0/10").value();
  value.overlay_v6 = Prefix::parse("fd12:3456:789a::/48").value();
  return value;
}

inline policy::PeerValue peer(std::uint8_t key, std::vector<std::string_view> addresses) {
  policy::PeerValue value;
  value.public_key.fill(key);
  for (const auto text : addresses) value.allowed_ips.push_back(Prefix::host(address(text)));
  return value;
}

inline policy::LocalSessionValue session(std::uint32_t uid = 1000) {
  policy::LocalSessionValue value;
  value.user = "trader@acme.example";
  value.uid = uid;
  value.v4 = address("100.64.1.1");
  value.v6 = address("fd12:3456:789a::1:1");
  return value;
}

/// The device, its peer ledger with one target, and one grant that the device holds.
inline policy::NodeState base_state() {
  policy::NodeState state;
  state.entries[policy::SettingsKey{}] = settings();
  state.entries[policy::PeerKey{DeviceId{"ledger"}}] = peer(1, {"100.64.0.3"});
  state.entries[policy::TargetKey{Prefix::host(address("100.64.0.3"))}] =
      policy::TargetValue{.id = TargetId{3}};
  policy::PrincipalValue principal;
  principal.class_id = ClassId{77};
  state.entries[policy::PrincipalKey{address("100.64.0.2")}] = principal;
  state.entries[policy::RuleKey{RuleId{9}}] = policy::RuleValue{.name = "traders-reach-ledger"};
  policy::GrantKey grant;
  grant.direction = policy::Direction::egress;
  grant.class_id = ClassId{77};
  grant.target = TargetId{3};
  grant.protocol = 6;
  grant.port = 5432;
  policy::GrantValue value;
  value.rule = RuleId{9};
  value.lease_s = 600;
  state.entries[grant] = value;
  return state;
}

/// The same, with so many grants of nobody's that a thread writes it.
inline policy::NodeState large_state() {
  policy::NodeState state = base_state();
  for (std::uint32_t i = 0; i < 10'000; ++i)
    state.entries[policy::GrantKey{
        .class_id = ClassId{1000}, .target = TargetId{i + 1}, .protocol = 6, .port = 443}] =
        policy::GrantValue{.rule = RuleId{1}, .lease_s = 600};
  return state;
}

}  // namespace cordon::node::test
