#include "policy/plan_side.h"

#include <algorithm>

namespace cordon::policy {

PlanSide::PlanSide(const Policy& policy, Timestamp now) : policy_(policy), now_(now), selectors_(policy) {
  for (const Rule& rule : policy.rules) offerings_.push_back(offerings_of(policy, rule));
}

Positions PlanSide::rules_that_select(const Asker& asker) const {
  if (asker.session != nullptr) return selectors_.rules_of(*asker.session, *asker.user);
  return selectors_.rules_of(*asker.device, selectors_.segments_of(*asker.device));
}

Positions PlanSide::rules_that_hold(const Asker& asker) const {
  Positions rules = rules_that_select(asker);
  std::erase_if(rules,
                [&](std::uint32_t i) { return !policy::holds(policy_, policy_.rules[i], asker, now_); });
  return rules;
}

bool PlanSide::observes(const Positions& segments, bool isolated) const {
  return !isolated && !segments.empty() && std::ranges::all_of(segments, [&](std::uint32_t s) {
    return selectors_.segment(s).mode == Mode::observe;
  });
}

ReachMap PlanSide::reach(const Positions& rules, const Positions& segments, bool isolated) const {
  std::vector<const Offering*> allows, forbids;
  for (const std::uint32_t i : rules) {
    const Rule& rule = policy_.rules[i];
    const bool forbid = rule.effect == Effect::forbid;
    if (isolated ? !rule.responders : rule.responders && !forbid) continue;  // P10
    for (const Offering& offering : offerings_[i])
      if (std::ranges::binary_search(segments, selectors_.position_of(offering.segment)))
        (forbid ? forbids : allows).push_back(&offering);
  }
  // The longest lease is named, then the lowest name; rules come by name, and what is painted last is seen.
  std::ranges::stable_sort(allows, [](const Offering* a, const Offering* b) {
    return a->rule->lease != b->rule->lease ? a->rule->lease < b->rule->lease : a->rule->name > b->rule->name;
  });
  ReachMap map;
  for (const Offering* offering : allows) map.paint(*offering);
  std::ranges::reverse(forbids);
  for (const Offering* offering : forbids) map.paint(*offering);
  return map;
}

std::set<std::string> PlanSide::names_of(const Positions& segments) const {
  std::set<std::string> names;
  for (const std::uint32_t segment : segments) names.insert(selectors_.name_of(segment));
  return names;
}

Asker find_asker(const World& world, const SessionId& id, Timestamp now) {
  const auto session = world.sessions.find(id);
  if (session == world.sessions.end() || now >= session->second.ends_at) return {};
  const auto user = world.users.find(session->second.user);
  if (user == world.users.end() || user->second.disabled) return {};
  Asker asker = find_asker(world, session->second.device);
  if (asker.device == nullptr) return {};
  asker.session = &session->second;
  asker.user = &user->second;
  return asker;
}

Asker find_asker(const World& world, const DeviceId& id) {
  const auto device = world.devices.find(id);
  if (device == world.devices.end() || !device->second.is_node() || device->second.isolated) return {};
  return {.device = &device->second};
}

}  // namespace cordon::policy
