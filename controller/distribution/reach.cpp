#include "controller/distribution/reach.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "controller/distribution/granted.h"

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

/// What the node lets a class begin, by target.
std::map<TargetId, Granted> granted_to(const policy::NodeState& state, ClassId class_id) {
  std::map<TargetId, Granted> granted;
  // Keys are ordered by kind, then direction, then class: its egress grants stand together.
  const policy::GrantKey first{.direction = policy::Direction::egress, .class_id = class_id, .port_bits = 0};
  for (auto it = state.entries.lower_bound(first); it != state.entries.end(); ++it) {
    const auto* grant = std::get_if<policy::GrantKey>(&it->first);
    if (grant == nullptr || grant->direction != policy::Direction::egress || grant->class_id != class_id)
      break;
    granted[grant->target].add(*grant, std::get<policy::GrantValue>(it->second));
  }
  return granted;
}

/// The devices of those targets. What is behind a gateway is found by its prefix, not by its peer.
std::map<DeviceId, const Granted*> devices_of(const policy::World& world, const policy::NodeState& state,
                                              const std::map<TargetId, Granted>& granted) {
  std::map<DeviceId, const Granted*> devices;
  if (granted.empty()) return devices;
  const std::map<Address, DeviceId> owners_by_address = owners(state);
  for (const auto& [key, value] : state.entries) {
    const auto* target = std::get_if<policy::TargetValue>(&value);
    if (target == nullptr) continue;
    const auto of_target = granted.find(target->id);
    if (of_target == granted.end()) continue;
    const Prefix& prefix = std::get<policy::TargetKey>(key).prefix;
    const auto behind = world.prefixes.find(prefix);
    const auto owner = owners_by_address.find(prefix.address);
    if (behind != world.prefixes.end())
      devices.emplace(behind->second, &of_target->second);
    else if (owner != owners_by_address.end())
      devices.emplace(owner->second, &of_target->second);
  }
  return devices;
}

struct Offer {
  std::string service;
  policy::Access access;
  auto operator<=>(const Offer&) const = default;
};

class Reach {
 public:
  Reach(const policy::World& world, const policy::NodeState& state, const policy::PrincipalValue& principal,
        Timestamp now, std::size_t most)
      : world_(world), state_(state), principal_(principal), now_(now), most_(most) {}

  std::vector<ReachEntry> all() {
    const auto granted = granted_to(state_, principal_.class_id);
    for (const auto& [id, grants] : devices_of(world_, state_, granted)) {
      const auto device = world_.devices.find(id);
      if (device != world_.devices.end()) add(device->second, *grants);
      if (out_.size() >= most_) break;
    }
    return std::move(out_);
  }

 private:
  void add(const policy::Device& device, const Granted& granted) {
    const auto segments = policy::segments_of(world_, device);
    for (const std::string& name : segments)
      for (const auto& [service, accesses] : world_.policy->segments.at(name).services)
        for (const policy::Access& access : accesses) add(device, granted, {name + "/" + service, access});
    for (const Offer& offer : named_by_rules(segments, granted)) add(device, granted, offer);
  }

  /// Accesses that the rules which grant something here name themselves.
  std::set<Offer> named_by_rules(const std::set<std::string>& segments, const Granted& granted) const {
    std::set<Offer> offers;
    for (const RuleId id : granted.rules()) {
      const policy::Rule* rule = rule_named(name_of(id));
      if (rule == nullptr) continue;
      for (const policy::Destination& to : rule->to)
        if (segments.contains(to.segment))
          for (const policy::Access& access : to.accesses) offers.insert({to.segment, access});
    }
    return offers;
  }

  void add(const policy::Device& device, const Granted& granted, const Offer& offer) {
    for (const auto& [access, grant] : granted.allowed(offer.access)) {
      if (out_.size() >= most_) return;
      const Timestamp deadline = principal_.deadlines.at(grant->slot);
      if (deadline <= now_ || (principal_.isolated && !grant->responder)) continue;
      out_.push_back({.target = device.id,
                      .prefixes = policy::prefixes_of(device),
                      .service = offer.service,
                      .access = text_of(access, granted),
                      .rule = name_of(grant->rule),
                      .deadline = deadline});
    }
  }

  /// "tcp/8000-8079"; "any but tcp/22".
  static std::string text_of(const policy::Access& access, const Granted& granted) {
    std::string text = policy::to_string(access);
    if (access.protocol) return text;
    std::vector<std::string> denied;
    for (const policy::Access& but : granted.but()) denied.push_back(policy::to_string(but));
    return denied.empty() ? text : fmt::format("{} but {}", text, fmt::join(denied, ", "));
  }

  std::string name_of(RuleId rule) const {
    const auto found = state_.entries.find(policy::RuleKey{rule});
    return found == state_.entries.end() ? std::string() : std::get<policy::RuleValue>(found->second).name;
  }

  const policy::Rule* rule_named(const std::string& name) const {
    const auto& rules = world_.policy->rules;  // by name
    const auto rule = std::ranges::lower_bound(rules, name, {}, &policy::Rule::name);
    return rule == rules.end() || rule->name != name ? nullptr : &*rule;
  }

  const policy::World& world_;
  const policy::NodeState& state_;
  const policy::PrincipalValue& principal_;
  const Timestamp now_;
  const std::size_t most_;
  std::vector<ReachEntry> out_;
};

}  // namespace

std::vector<ReachEntry> reach_of(const policy::World& world, const policy::NodeState& state,
                                 const policy::PrincipalRef& principal, Timestamp now, std::size_t most) {
  const policy::OverlayAddresses* own = addresses_of(world, principal);
  if (own == nullptr) return {};
  const auto found = state.entries.find(policy::PrincipalKey{own->v6});
  if (found == state.entries.end()) return {};
  return Reach(world, state, std::get<policy::PrincipalValue>(found->second), now, most).all();
}

const policy::Session* session_of(const policy::World& world, const DeviceId& device, std::uint32_t uid,
                                  Timestamp now) {
  const policy::Session* newest = nullptr;
  for (const SessionId& id : world.sessions.on(device)) {
    const policy::Session& session = world.sessions.at(id);
    if (session.uid != uid || now >= session.ends_at) continue;
    if (newest == nullptr || session.authenticated_at > newest->authenticated_at) newest = &session;
  }
  return newest;
}

}  // namespace cordon::controller
