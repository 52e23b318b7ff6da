#include "node/agent/reach.h"

#include <algorithm>
#include <map>

#include "node/local/request.h"

namespace cordon::node {
namespace {

/// The peer that owns a target's prefix, by its allowed-IPs.
std::string device_at(const policy::NodeState& state, const Prefix& prefix) {
  for (const auto& [key, value] : state.entries) {
    const auto* peer = std::get_if<policy::PeerValue>(&value);
    if (peer == nullptr) continue;
    const bool owns =
        std::ranges::any_of(peer->allowed_ips, [&](const Prefix& p) { return p.contains(prefix.address); });
    if (owns) return std::get<policy::PeerKey>(key).device.value;
  }
  return prefix.address.to_string();
}

std::map<TargetId, std::vector<Prefix>> prefixes_by_target(const policy::NodeState& state) {
  std::map<TargetId, std::vector<Prefix>> out;
  for (const auto& [key, value] : state.entries)
    if (const auto* target = std::get_if<policy::TargetValue>(&value))
      out[target->id].push_back(std::get<policy::TargetKey>(key).prefix);
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
  const auto targets = prefixes_by_target(state);
  for (const auto& [key, value] : state.entries) {
    const auto* grant = std::get_if<policy::GrantKey>(&key);
    if (grant == nullptr || grant->direction != policy::Direction::egress ||
        grant->class_id != principal.class_id)
      continue;
    const auto& what = std::get<policy::GrantValue>(value);
    const auto target = targets.find(grant->target);
    if (what.deny || target == targets.end()) continue;
    ReachEntry& entry = out.emplace_back();
    entry.target = device_at(state, target->second.front());
    for (const Prefix& prefix : target->second) entry.addresses.push_back(prefix.address);
    entry.access = local::access_text(grant->protocol, grant->port, grant->port_bits);
    entry.service = entry.access;
    if (const auto rule = state.entries.find(policy::RuleKey{what.rule}); rule != state.entries.end())
      entry.rule = std::get<policy::RuleValue>(rule->second).name;
    const Timestamp slot = what.slot < policy::kDeadlineSlots ? principal.deadlines[what.slot] : kNever;
    entry.deadline = std::min(slot, what.lease_s == 0 ? kNever : lease_end(Seconds{what.lease_s}));
  }
  return out;
}

}  // namespace cordon::node
