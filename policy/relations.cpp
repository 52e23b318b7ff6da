#include "policy/relations.h"

#include <algorithm>
#include <set>

#include "policy/coverage.h"
#include "policy/ordered_set.h"

namespace cordon::policy {

Relations::Relations(const World& world, Timestamp now)
    : world_(world), now_(now), selectors_(*world.policy) {
  add_devices();
  add_sessions();
  link_groups();
}

std::vector<const Principal*> Relations::principals_on(const DeviceId& device) const {
  std::vector<const Principal*> out;
  if (const auto it = principals_by_device_.find(device); it != principals_by_device_.end())
    for (const std::uint32_t i : it->second) out.push_back(&principals_[i]);
  return out;
}

const std::vector<const Device*>& Relations::behind(const DeviceId& gateway) const {
  static const std::vector<const Device*> kNothing;
  const auto it = behind_.find(gateway);
  return it == behind_.end() ? kNothing : it->second;
}

std::vector<std::uint32_t> Relations::hosted_by(const Device& node) const {
  std::vector<std::uint32_t> out{number_of(node)};
  for (const Device* device : behind(node.id)) out.push_back(number_of(*device));
  make_set(out);
  return out;
}

std::vector<const Session*> Relations::sessions_on(const DeviceId& device) const {
  const auto it = sessions_by_device_.find(device);
  return it == sessions_by_device_.end() ? std::vector<const Session*>{} : it->second;
}

void Relations::add_devices() {
  for (const auto& [id, device] : world_.devices) {
    if (!device.is_target()) continue;
    Positions segments = selectors_.segments_of(device);
    if (!device.cut_off() && device.is_node())
      add_principal({.device = &device}, selectors_.rules_of(device, segments), nullptr);
    add_target(device, std::move(segments));
  }
}

void Relations::add_target(const Device& device, Positions segments) {
  const auto next = static_cast<std::uint32_t>(target_groups_.size());
  const auto [it, fresh] = target_group_numbers_.emplace(std::pair(segments, device.cut_off()), next);
  if (fresh) {
    TargetGroup& group = target_groups_.emplace_back();
    std::set<std::string> names;
    for (const std::uint32_t segment : segments) names.insert(selectors_.name_of(segment));
    group.id = target_of(world_, device, names);
    group.isolated = device.cut_off();
    group.observes =
        !device.cut_off() && !segments.empty() && std::ranges::all_of(segments, [&](std::uint32_t segment) {
          return selectors_.segment(segment).mode == Mode::observe;
        });
    group.segments = std::move(segments);
  }
  target_groups_[it->second].members.push_back(&device);
  if (device.is_behind()) behind_[device.gateway].push_back(&device);
  group_by_target_.emplace(device.id, it->second);
}

void Relations::add_sessions() {
  for (const auto& [id, session] : world_.sessions) {
    const auto device = world_.devices.find(session.device);
    const auto user = world_.users.find(session.user);
    if (device == world_.devices.end() || !device->second.is_node()) continue;
    if (user == world_.users.end() || user->second.disabled || now_ >= session.ends_at) continue;
    sessions_by_device_[session.device].push_back(&session);
    changes_at_ = std::min(changes_at_, session.ends_at);
    if (device->second.isolated) continue;
    add_principal({.device = &device->second, .session = &session},
                  selectors_.rules_of(session, user->second), &user->second);
  }
}

void Relations::add_principal(Principal principal, const Positions& rules, const User* user) {
  std::vector<SelectedRule> selected;
  for (const std::uint32_t rule : rules)
    selected.push_back(selected_rule(selectors_.policy().rules[rule], rule));
  const Asker asker{.device = principal.device, .session = principal.session, .user = user};
  Standing standing = standing_of(selectors_.policy(), selected, asker,
                                  principal.session ? principal.session->ends_at : kNever, now_);
  changes_at_ = std::min(changes_at_, standing.changes_at);
  principal.deadlines = standing.deadlines;

  const auto [it, fresh] = principal_group_numbers_.emplace(
      std::move(standing.pattern), static_cast<std::uint32_t>(principal_groups_.size()));
  if (fresh) principal_groups_.push_back({.pattern = it->first, .members = {}, .targets = {}});
  principal.group = it->second;
  const auto number = static_cast<std::uint32_t>(principals_.size());
  principal_groups_[it->second].members.push_back(number);
  principals_by_device_[principal.device->id].push_back(number);
  principals_.push_back(principal);
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
  std::set<std::uint32_t> reached;
  for (const Pattern::Allow& allow : from.pattern.allows)
    for (const Destination& to : selectors_.policy().rules[allow.number].to)
      for (const std::uint32_t target : target_groups_by_segment[selectors_.position_of(to.segment)])
        reached.insert(target);
  for (const std::uint32_t target : reached) {
    auto grants = grants_between(from.pattern, target_groups_[target]);
    if (grants.empty()) continue;
    const auto shared = std::make_shared<const std::vector<PortGrant>>(std::move(grants));
    from.targets.push_back({.group = target, .grants = shared});
    target_groups_[target].sources.push_back({.group = group, .grants = shared});
  }
}

std::vector<PortGrant> Relations::grants_between(const Pattern& from, const TargetGroup& to) const {
  if (to.id == TargetId{0}) return {};  // nothing can be granted to it
  std::vector<Offer> allows;
  std::vector<Offer> forbids;
  std::uint32_t before = 0;  // allows that are preferred to those that speak of this target
  std::vector<std::uint32_t> kept;
  for (const Pattern::Allow& allow : from.allows) {
    for (Offer& offer : offer_of(allow.number, to)) {
      offer.value.slot = allow.slot;
      allows.push_back(std::move(offer));
      kept.push_back(before);
    }
    ++before;
  }
  for (const Pattern::Forbid& forbid : from.forbids)
    for (Offer& offer : offer_of(forbid.number, to)) {
      offer.holds = forbid.holds;
      offer.value.slot = forbid.slot;
      offer.ties = static_cast<std::uint32_t>(std::ranges::lower_bound(kept, forbid.ties) - kept.begin());
      forbids.push_back(std::move(offer));
    }
  return port_table(allows, forbids);
}

std::vector<Offer> Relations::offer_of(std::uint32_t position, const TargetGroup& to) const {
  const Rule& rule = selectors_.policy().rules[position];
  if (to.isolated && !rule.responders) return {};  // P10
  if (!to.isolated && rule.responders && rule.effect == Effect::allow) return {};
  Offer offer{.name = rule.name};
  for (const Destination& destination : rule.to) {
    if (!std::ranges::binary_search(to.segments, selectors_.position_of(destination.segment))) continue;
    for (const Access& access : accesses_of(selectors_.policy(), destination))
      offer.accesses.push_back(access);
  }
  if (offer.accesses.empty()) return {};
  const auto id = world_.rule_ids.find(rule.name);
  if (id != world_.rule_ids.end()) offer.value.rule = id->second;
  offer.value.deny = rule.effect == Effect::forbid;
  if (!offer.value.deny) {
    offer.value.responder = rule.responders;
    offer.value.lease_s = static_cast<std::uint32_t>(rule.lease.count());
  }
  return {std::move(offer)};
}

}  // namespace cordon::policy
