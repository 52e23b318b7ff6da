#pragma once
// Worlds for tests, by hand: each call adds one thing and gives it what the fold would (numbers, addresses,
// keys).

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "policy/parse.h"
#include "policy/world.h"

namespace cordon::test {

/// 2026-01-05T10:00:00Z: "now" wherever a test doesn't say otherwise.
inline const Timestamp kNow = from_us(1'767'607'200'000'000);

/// The policy of a text that must parse; throws with its diagnostics.
inline policy::PolicyPtr policy_of(std::vector<SourceFile> files) {
  const policy::ParseResult parsed = policy::parse(files, system_time_zones());
  if (parsed.ok()) return parsed.policy;
  std::string all;
  for (const auto& diagnostic : parsed.diagnostics) all += render(diagnostic) + "\n";
  throw std::invalid_argument(all);
}

class WorldBuilder {
 public:
  WorldBuilder() {
    world_.installation.trust_domain = "acme.example";
    world_.installation.overlay_v4 = Prefix::parse("100.64.0.0/10").value();
    world_.installation.overlay_v6 = Prefix::parse("fd12:3456:789a::/48").value();
    world_.revision = Revision{1};
    world_.at = kNow;
  }

  WorldBuilder& policy(const std::string& toml) { return policy({SourceFile{"policy.toml", toml}}); }
  WorldBuilder& policy(std::vector<SourceFile> files) {
    world_.policy = policy_of(files);
    world_.policy_files = std::make_shared<const std::vector<SourceFile>>(std::move(files));
    for (const policy::Rule& rule : world_.policy->rules)
      if (world_.rule_ids.emplace(rule.name, RuleId{world_.next_rule}).second) ++world_.next_rule;
    policy::number_targets(world_);
    return *this;
  }

  policy::Device& device(const std::string& id, std::set<std::string> tags = {}) {
    policy::Device& device = world_.devices[DeviceId{id}];
    device.id = DeviceId{id};
    device.number = world_.next_device++;
    device.state = policy::DeviceState::active;
    device.tags = std::move(tags);
    device.wireguard_key[0] = static_cast<std::uint8_t>(device.number);
    device.addresses = next_addresses();
    policy::number_target(world_, device);
    return device;
  }

  /// Behind a gateway that is there.
  policy::Device& behind(const std::string& id, const std::string& gateway,
                         const std::vector<std::string>& prefixes, std::set<std::string> tags = {}) {
    policy::Device device{.id = DeviceId{id}, .number = world_.next_device++, .tags = std::move(tags)};
    device.gateway = DeviceId{gateway};
    for (const std::string& prefix : prefixes) device.prefixes.push_back(Prefix::parse(prefix).value());
    std::ranges::sort(device.prefixes);
    policy::put_behind(world_, std::move(device));
    return world_.devices.at(DeviceId{id});
  }

  policy::User& user(const std::string& name) {
    policy::User& user = world_.users[SubjectId{"u-" + name}];
    user.id = SubjectId{"u-" + name};
    user.issuer = "local";
    user.name = name;
    return user;
  }

  /// Adds the user too if there is none yet. What else is to be said of it: world().sessions.change().
  policy::Session session(const std::string& id, const std::string& user_name, const std::string& device,
                          Timestamp ends_at = kNow + std::chrono::hours(8)) {
    if (!world_.users.contains(SubjectId{"u-" + user_name})) user(user_name);
    policy::Session session;
    session.id = SessionId{id};
    session.user = SubjectId{"u-" + user_name};
    session.device = DeviceId{device};
    session.assurance = policy::Assurance::aal2;
    session.authenticated_at = kNow;
    session.ends_at = ends_at;
    session.uid = 1000;
    session.addresses = next_addresses();
    world_.sessions.put(session);
    return session;
  }

  /// After tags, states, isolations or the policy were changed by hand, call settle() as the fold does.
  policy::World& world() { return world_; }

 private:
  policy::OverlayAddresses next_addresses() {
    ++addresses_;
    return {.v4 = Address::from_v4(0x64400000u + addresses_),
            .v6 = Address::parse(fmt::format("fd12:3456:789a::{:x}", addresses_)).value()};
  }

  policy::World world_;
  std::uint32_t addresses_ = 0;
};

/// What the fold does after devices changed: what is behind a gateway follows it, targets are numbered.
inline void settle(policy::World& world) {
  std::vector<DeviceId> gateways;
  for (const auto& [gateway, devices] : world.behind) gateways.push_back(gateway);
  for (const DeviceId& gateway : gateways) policy::follow_gateway(world, gateway);
  policy::number_targets(world);
}

/// Whose node enforces for the device: its own, or its gateway's.
inline const DeviceId& node_of(const policy::Device& device) {
  return device.is_behind() ? device.gateway : device.id;
}

/// Where it is reached, one address of each family; behind a gateway the last of its prefix.
inline policy::OverlayAddresses target_addresses(const policy::Device& device) {
  policy::OverlayAddresses out = device.addresses;
  for (const Prefix& prefix : device.prefixes) {
    Address last = prefix.address;
    for (unsigned bit = prefix.bits; bit < 128; ++bit)
      last.bytes[bit / 8] = static_cast<std::uint8_t>(last.bytes[bit / 8] | 0x80u >> bit % 8);
    (last.is_v4() ? out.v4 : out.v6) = last;
  }
  return out;
}

}  // namespace cordon::test
