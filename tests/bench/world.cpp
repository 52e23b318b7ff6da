#include "tests/bench/world.h"

namespace cordon::bench {
namespace {

constexpr std::uint32_t kTarget = 1, kLeaseSeconds = 24 * 3600;

void add_principal(policy::NodeState& state, const Address& address, std::uint64_t class_id) {
  policy::PrincipalValue value;
  value.class_id = ClassId(class_id);
  state.entries[policy::PrincipalKey{address}] = value;
}

}  // namespace

Address other_client(unsigned i) {
  return Address::from_v4(0x64410000u + i);
}

Address peer_v4(unsigned i) {
  return Address::from_v4(0x64400200u + i);
}
Address peer_v6(unsigned i) {
  Address out = ends_v6().client;
  out.bytes[14] = 2;
  out.bytes[15] = static_cast<std::uint8_t>(i);
  return out;
}

policy::NodeState state_with(unsigned grants) {
  policy::NodeState state;
  policy::SettingsValue settings;
  settings.node_lease = Seconds(kLeaseSeconds);
  settings.overlay_v4 = Prefix::parse("100.64.0.0/10").value();
  settings.overlay_v6 = Prefix::parse("fd00:c0de::/48").value();
  state.entries[policy::SettingsKey{}] = settings;
  for (const Ends& ends : {ends_v4(), ends_v6()}) {
    add_principal(state, ends.client, 1);
    state.entries[policy::TargetKey{Prefix::host(ends.server)}] =
        policy::TargetValue{.id = TargetId(kTarget)};
  }
  for (unsigned i = 0; i < 256; ++i) {
    add_principal(state, peer_v4(i), 1);
    add_principal(state, peer_v6(i), 1);
  }
  const auto ping = [](std::uint8_t protocol, std::uint16_t type) {
    return policy::GrantKey{
        .class_id = ClassId(1), .target = TargetId(kTarget), .protocol = protocol, .port = type};
  };
  for (const policy::GrantKey& key : {ping(policy::kIcmp, 8), ping(policy::kIcmpv6, 128)})
    state.entries[key] = policy::GrantValue{.rule = RuleId(1), .lease_s = kLeaseSeconds};
  for (unsigned i = 0; i < grants; ++i) {
    const std::uint64_t class_id = 1 + i / kPortsPerClass;
    const bool first_of_class = i % kPortsPerClass == 0;
    if (first_of_class && class_id > 1)
      add_principal(state, other_client(static_cast<unsigned>(class_id)), class_id);
    const unsigned within = i % kPortsPerClass;
    const policy::GrantKey key{.class_id = ClassId(class_id),
                               .target = TargetId(kTarget),
                               .protocol = within % 2 == 0 ? policy::kTcp : policy::kUdp,
                               .port = static_cast<std::uint16_t>(kFirstPort + within / 2)};
    state.entries[key] = policy::GrantValue{.rule = RuleId(1), .lease_s = kLeaseSeconds};
  }
  return state;
}

}  // namespace cordon::bench
