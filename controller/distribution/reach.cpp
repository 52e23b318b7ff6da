#include "controller/distribution/reach.h"

#include <algorithm>
#include <map>
#include <set>

namespace cordon::controller {

namespace {

const policy::OverlayAddresses* addresses_of(const policy::World& world,
                                             const policy::PrincipalRef& principal) {
  if (const auto* id = std::get_if<SessionId>(&principal)) {
    const auto session = world.sessions.find(*id);
    return session == world.sessions.end() ? nullptr : &session->second.addresses;
  }
  const auto device = world.devices.find(std::get<DeviceId>(principal));
  return device == world.devices.end() ? nullptr : &device->second.addresses;
}

/// The devices whose addresses these are, as the node knows them.
std::map<Address, DeviceId> owners(const policy::NodeState& state) {
  std::map<Address, DeviceId> owners;
  if (const policy::SettingsValue* self = state.settings()) {
    owners.emplace(self->v4, self->device);
    owners.emplace(self->v6, self->device);
  }
  for (const auto& [key, value] : state.entries) {
    const auto* peer = std::get_if<policy::PeerValue>(&value);
    if (peer == nullptr) continue;
    for (const Prefix& prefix : peer->allowed_ips)
      owners.emplace(prefix.address, std::get<policy::PeerKey>(key).device);
  }
  return owners;
}

/// The devices that the node lets the owner of `address` try.
std::set<DeviceId> candidates(const policy::NodeState& state, const Address& address) {
  std::set<DeviceId> devices;
  const auto principal = state.entries.find(policy::PrincipalKey{address});
  if (principal == state.entries.end()) return devices;
  const ClassId class_id = std::get<policy::PrincipalValue>(principal->second).class_id;
  // Keys are ordered by kind, then direction, then class: its egress grants stand together.
  const policy::GrantKey first{.direction = policy::Direction::egress, .class_id = class_id, .port_bits = 0};
  std::set<TargetId> targets;
  for (auto it = state.entries.lower_bound(first); it != state.entries.end(); ++it) {
    const auto* grant = std::get_if<policy::GrantKey>(&it->first);
    if (grant == nullptr || grant->direction != policy::Direction::egress || grant->class_id != class_id)
      break;
    targets.insert(grant->target);
  }
  if (targets.empty()) return devices;
  const std::map<Address, DeviceId> owners_by_address = owners(state);
  for (const auto& [key, value] : state.entries) {
    const auto* target = std::get_if<policy::TargetValue>(&value);
    if (target == nullptr || !targets.contains(target->id)) continue;
    const auto owner = owners_by_address.find(std::get<policy::TargetKey>(key).prefix.address);
    if (owner != owners_by_address.end()) devices.insert(owner->second);
  }
  return devices;
}

struct Offer {
  std::string service;
  policy::Access access;
  auto operator<=>(const Offer&) const = default;
};

/// What the policy names at this device: its segments' services, and accesses that rules name themselves.
std::set<Offer> offers(const policy::World& world, const policy::Device& device) {
  std::set<Offer> all;
  for (const std::string& name : policy::segments_of(world, device)) {
    for (const auto& [service, accesses] : world.policy->segments.at(name).services) {
      for (const policy::Access& access : accesses) all.insert({name + "/" + service, access});
    }
    for (const policy::Rule& rule : world.policy->rules) {
      if (rule.effect != policy::Effect::allow) continue;
      for (const policy::Destination& to : rule.to) {
        if (to.segment != name) continue;
        for (const policy::Access& access : to.accesses) all.insert({name, access});
      }
    }
  }
  return all;
}

}  // namespace

std::vector<ReachEntry> reach_of(const policy::World& world, const policy::NodeState& state,
                                 const policy::PrincipalRef& principal, Timestamp now) {
  std::vector<ReachEntry> reach;
  const policy::OverlayAddresses* own = addresses_of(world, principal);
  if (own == nullptr) return reach;
  for (const DeviceId& id : candidates(state, own->v6)) {
    const auto found = world.devices.find(id);
    if (found == world.devices.end()) continue;
    const policy::Device& device = found->second;
    for (const Offer& offer : offers(world, device)) {
      const policy::Query query{.principal = principal,
                                .target = id,
                                .protocol = offer.access.protocol.value_or(0),
                                .port = offer.access.ports.first};
      const policy::Decision decision = policy::evaluate(world, query, now);
      if (decision.verdict != policy::Verdict::allow) continue;
      reach.push_back({.target = id,
                       .addresses = device.addresses,
                       .service = offer.service,
                       .access = policy::to_string(offer.access),
                       .rule = decision.rule,
                       .deadline = decision.deadline});
    }
  }
  return reach;
}

const policy::Session* session_of(const policy::World& world, const DeviceId& device, std::uint32_t uid,
                                  Timestamp now) {
  const policy::Session* newest = nullptr;
  for (const auto& [id, session] : world.sessions) {
    if (session.device != device || session.uid != uid || now >= session.ends_at) continue;
    if (newest == nullptr || session.authenticated_at > newest->authenticated_at) newest = &session;
  }
  return newest;
}

}  // namespace cordon::controller
