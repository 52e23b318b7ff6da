#include "node/agent/reach.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "node/local/request.h"

namespace cordon::node {
namespace {

/// What a target's addresses belong to, by the peers' allowed-IPs: a target is all devices in the same
/// segments.
using Devices = std::map<std::string, std::vector<Address>>;

std::map<Address, std::string> owners(const policy::NodeState& state) {
  std::map<Address, std::string> owners;
  const policy::SettingsValue* self = state.settings();
  const auto is_overlays = [self](const Address& address) {
    return self == nullptr || self->overlay_v4.contains(address) || self->overlay_v6.contains(address);
  };
  if (self != nullptr) {
    owners.emplace(self->v4, self->device.value);
    owners.emplace(self->v6, self->device.value);
  }
  for (const auto& [key, value] : state.entries)
    if (const auto* peer = std::get_if<policy::PeerValue>(&value))
      for (const Prefix& prefix : peer->allowed_ips) {
        // What is behind a gateway has a name at the controller only.
        const std::string& device = std::get<policy::PeerKey>(key).device.value;
        owners.emplace(prefix.address, is_overlays(prefix.address)
                                           ? device
                                           : fmt::format("{} behind {}", prefix.to_string(), device));
      }
  return owners;
}

std::map<TargetId, Devices> devices_by_target(const policy::NodeState& state) {
  const std::map<Address, std::string> owners_by_address = owners(state);
  std::map<TargetId, Devices> out;
  for (const auto& [key, value] : state.entries) {
    const auto* target = std::get_if<policy::TargetValue>(&value);
    if (target == nullptr) continue;
    const Address& address = std::get<policy::TargetKey>(key).prefix.address;
    const auto owner = owners_by_address.find(address);
    const std::string name = owner == owners_by_address.end() ? address.to_string() : owner->second;
    out[target->id][name].push_back(address);
  }
  return out;
}

}  // namespace

std::optional<std::pair<SessionId, policy::LocalSessionValue>> session_of(const policy::NodeState& state,
                                                                          std::uint32_t uid) {
  for (const auto& [key, value] : state.entries) {
    const auto* session = std::get_if<policy::LocalSessionValue>(&value);
    if (session != nullptr && session->uid == uid)
      return std::pair{std::get<policy::LocalSessionKey>(key).session, *session};
  }
  return std::nullopt;
}

std::vector<ReachEntry> reach_of(const policy::NodeState& state, const Address& source,
                                 const std::function<Timestamp(Seconds)>& lease_end) {
  std::vector<ReachEntry> out;
  const auto found = state.entries.find(policy::PrincipalKey{source});
  if (found == state.entries.end()) return out;
  const auto& principal = std::get<policy::PrincipalValue>(found->second);
  const auto targets = devices_by_target(state);
  for (const auto& [key, value] : state.entries) {
    const auto* grant = std::get_if<policy::GrantKey>(&key);
    if (grant == nullptr || grant->direction != policy::Direction::egress ||
        grant->class_id != principal.class_id)
      continue;
    const auto& what = std::get<policy::GrantValue>(value);
    const auto target = targets.find(grant->target);
    if (what.deny || target == targets.end()) continue;
    ReachEntry entry;
    entry.access = local::access_text(grant->protocol, grant->port, grant->port_bits);
    entry.service = entry.access;
    if (const auto rule = state.entries.find(policy::RuleKey{what.rule}); rule != state.entries.end())
      entry.rule = std::get<policy::RuleValue>(rule->second).name;
    const Timestamp slot = what.slot < policy::kDeadlineSlots ? principal.deadlines[what.slot] : kNever;
    entry.deadline = std::min(slot, what.lease_s == 0 ? kNever : lease_end(Seconds{what.lease_s}));
    for (const auto& [device, addresses] : target->second) {
      entry.target = device;
      entry.addresses = addresses;
      out.push_back(entry);
    }
  }
  return out;
}

}  // namespace cordon::node
