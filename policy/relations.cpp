#include "policy/relations.h"

#include <algorithm>
#include <set>

#include "policy/coverage.h"

namespace cordon::policy {

Relations::Relations(const World& world, Timestamp now)
    : world_(world), now_(now), selectors_(*world.policy) {
  add_devices();
  add_sessions();
  link_groups();
}

const Relations::TargetGroup& Relations::group_of(const Device& target) const {
  return target_groups_[group_by_target_.at(target.id)];
}

std::vector<const Principal*> Relations::principals_on(const DeviceId& device) const {
  std::vector<const Principal*> out;
  if (const auto it = principals_by_device_.find(device); it != principals_by_device_.end())
    for (const std::uint32_t i : it->second) out.push_back(&principals_[i]);
  return out;
}

std::vector<const Session*> Relations::sessions_on(const DeviceId& device) const {
  const auto it = sessions_by_device_.find(device);
  return it == sessions_by_device_.end() ? std::vector<const Session*>{} : it->second;
}

void Relations::add_devices() {
  for (const auto& [id, device] : world_.devices) {
    if (device.state != DeviceState::active) continue;
    Positions segments = selectors_.segments_of(device);
    if (!device.isolated) add_principal({.device = &device}, selectors_.rules_of(device, segments));
    const auto next = static_cast<std::uint32_t>(target_groups_.size());
    const auto [it, fresh] = target_group_numbers_.emplace(std::pair(segments, device.isolated), next);
    if (fresh) {
      const bool observes =
          !device.isolated && !segments.empty() && std::ranges::all_of(segments, [&](std::uint32_t s) {
            return selectors_.segment(s).mode == Mode::observe;
          });
      target_groups_.push_back({.segments = std::move(segments),
                                .isolated = device.isolated,
                                .observes = observes,
                                .members = {},
                                .sources = {}});
    }
    target_groups_[it->second].members.push_back(&device);
    group_by_target_.emplace(id, it->second);
  }
}

void Relations::add_sessions() {
  for (const auto& [id, session] : world_.sessions) {
    const auto device = world_.devices.find(session.device);
    const auto user = world_.users.find(session.user);
    if (device == world_.devices.end() || device->second.state != DeviceState::active) continue;
    if (user == world_.users.end() || user->second.disabled || now_ >= session.ends_at) continue;
    sessions_by_device_[session.device].push_back(&session);
    if (device->second.isolated) continue;
    add_principal({.device = &device->second, .session = &session},
                  selectors_.rules_of(session, user->second));
  }
}

void Relations::add_principal(Principal principal, Positions rules) {
  GroupKey key(std::move(rules), 0);
  key.second = leases_cut_short(key.first, principal.ends_at());
  const auto [it, fresh] =
      principal_group_numbers_.emplace(std::move(key), static_cast<std::uint32_t>(principal_groups_.size()));
  if (fresh) principal_groups_.push_back({.rules = it->first.first, .members = {}, .targets = {}});
  principal.group = it->second;
  const auto number = static_cast<std::uint32_t>(principals_.size());
  principal_groups_[it->second].members.push_back(number);
  principals_by_device_[principal.device->id].push_back(number);
  principals_.push_back(principal);
}

std::size_t Relations::leases_cut_short(const Positions& rules, Timestamp ends_at) const {
  std::set<Seconds> leases;
  for (const std::uint32_t i : rules) {
    const Rule& rule = selectors_.policy().rules[i];
    if (rule.effect == Effect::allow && ends_at != kNever && now_ + rule.lease >= ends_at)
      leases.insert(rule.lease);
  }
  return leases.size();
}

void Relations::link_groups() {
  std::vector<std::vector<std::uint32_t>> by_segment(selectors_.policy().segments.size());
  for (std::uint32_t t = 0; t < target_groups_.size(); ++t)
    for (const std::uint32_t segment : target_groups_[t].segments) by_segment[segment].push_back(t);
  for (std::uint32_t p = 0; p < principal_groups_.size(); ++p) link_group(p, by_segment);
}

void Relations::link_group(std::uint32_t group,
                           const std::vector<std::vector<std::uint32_t>>& target_groups_by_segment) {
  PrincipalGroup& from = principal_groups_[group];
  std::map<std::uint32_t, Positions> rules_by_target;  // in order, since `rules` is
  for (const std::uint32_t rule : from.rules)
    for (const Destination& to : selectors_.policy().rules[rule].to)
      for (const std::uint32_t target : target_groups_by_segment[selectors_.position_of(to.segment)]) {
        Positions& rules = rules_by_target[target];
        if (rules.empty() || rules.back() != rule) rules.push_back(rule);
      }
  const Timestamp ends_at = principals_[from.members.front()].ends_at();
  for (const auto& [target, rules] : rules_by_target) {
    auto grants = grants_between(target_groups_[target], rules, ends_at);
    if (grants.empty()) continue;
    const auto shared = std::make_shared<const std::vector<PortGrant>>(std::move(grants));
    from.targets.push_back({.group = target, .grants = shared});
    target_groups_[target].sources.push_back({.group = group, .grants = shared});
  }
}

std::vector<PortGrant> Relations::grants_between(const TargetGroup& to, const Positions& rules,
                                                 Timestamp ends_at) const {
  std::vector<const Rule*> allowing;
  std::vector<Offer> forbids;
  for (const std::uint32_t i : rules) {
    const Rule& rule = selectors_.policy().rules[i];
    if (to.isolated && !rule.responders) continue;  // P10
    if (rule.effect == Effect::forbid)
      forbids.push_back(offer_of(rule, to));
    else if (to.isolated || !rule.responders)
      allowing.push_back(&rule);
  }
  // P7: the latest deadline wins, then the lowest name.
  std::ranges::sort(allowing, [&](const Rule* a, const Rule* b) {
    const Timestamp a_ends = std::min(ends_at, now_ + a->lease), b_ends = std::min(ends_at, now_ + b->lease);
    return a_ends != b_ends ? a_ends > b_ends : a->name < b->name;
  });
  std::vector<Offer> allows;
  for (const Rule* rule : allowing) allows.push_back(offer_of(*rule, to));
  return port_table(allows, forbids);
}

Offer Relations::offer_of(const Rule& rule, const TargetGroup& to) const {
  Offer offer;
  for (const Destination& destination : rule.to) {
    if (!std::ranges::binary_search(to.segments, selectors_.position_of(destination.segment))) continue;
    for (const Access& access : accesses_of(selectors_.policy(), destination))
      offer.accesses.push_back(access);
  }
  const auto id = world_.rule_ids.find(rule.name);
  if (id != world_.rule_ids.end()) offer.value.rule = id->second;
  offer.value.deny = rule.effect == Effect::forbid;
  if (offer.value.deny) return offer;
  offer.value.responder = rule.responders;
  offer.value.lease_s = static_cast<std::uint32_t>(rule.lease.count());
  return offer;
}

}  // namespace cordon::policy
