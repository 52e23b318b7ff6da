#include "policy/plan_groups.h"

#include <algorithm>
#include <tuple>

namespace cordon::policy {
namespace {

template <class Map, class Id>
const std::uint32_t* find_in(const Map& map, const Id& id) {
  const auto it = map.find(id);
  return it == map.end() ? nullptr : &it->second;
}

}  // namespace

PlanGroups::PlanGroups(const World& world, const PlanSide& before, const PlanSide& after, Timestamp now)
    : before_(before),
      after_(after),
      targets_by_segment_before_(before.policy().segments.size()),
      targets_by_segment_after_(after.policy().segments.size()) {
  intern_rules();
  add_targets(world);
  for (const auto& [id, device] : world.devices)
    if (const Asker asker = find_asker(world, id); asker.device != nullptr) add(asker);
  for (const auto& [id, session] : world.sessions)
    if (const Asker asker = find_asker(world, id, now); asker.device != nullptr) add(asker);
}

void PlanGroups::intern_rules() {
  using Content = std::tuple<Effect, bool, std::vector<std::tuple<std::string, Access>>>;
  std::map<Content, std::uint32_t> numbers;
  const auto intern = [&](const PlanSide& side, std::vector<std::uint32_t>& out) {
    for (std::uint32_t i = 0; i < side.policy().rules.size(); ++i) {
      const Rule& rule = side.policy().rules[i];
      Content content(rule.effect, rule.responders, {});
      for (const Offering& offering : side.offerings(i))
        std::get<2>(content).emplace_back(offering.segment, offering.access);
      std::ranges::sort(std::get<2>(content));
      out.push_back(
          numbers.emplace(std::move(content), static_cast<std::uint32_t>(numbers.size())).first->second);
    }
  };
  intern(before_, content_before_);
  intern(after_, content_after_);
}

void PlanGroups::add_targets(const World& world) {
  std::map<std::tuple<Positions, Positions, bool>, std::uint32_t> numbers;
  for (const auto& [id, device] : world.devices) {
    if (!device.is_target()) continue;
    const Positions before = before_.selectors().segments_of(device),
                    after = after_.selectors().segments_of(device);
    const auto next = static_cast<std::uint32_t>(target_groups_.size());
    const auto [it, fresh] = numbers.emplace(std::tuple(before, after, device.cut_off()), next);
    if (fresh) {
      for (const std::uint32_t segment : before) targets_by_segment_before_[segment].push_back(next);
      for (const std::uint32_t segment : after) targets_by_segment_after_[segment].push_back(next);
      if (before_.names_of(before) != after_.names_of(after)) moved_targets_.push_back(next);
      target_groups_.push_back({.before = before,
                                .after = after,
                                .isolated = device.cut_off(),
                                .observed_before = before_.observes(before, device.cut_off()),
                                .observed_after = after_.observes(after, device.cut_off()),
                                .members = {}});
    }
    target_groups_[it->second].members.push_back(&device);
    target_group_by_device_.emplace(id, it->second);
  }
}

void PlanGroups::add(const Asker& asker) {
  std::pair key(before_.rules_that_hold(asker), after_.rules_that_hold(asker));
  const auto next = static_cast<std::uint32_t>(principal_groups_.size());
  const auto [it, fresh] = principal_group_numbers_.emplace(std::move(key), next);
  if (fresh)
    principal_groups_.push_back({.before = it->first.first, .after = it->first.second, .members = {}});
  const auto number = static_cast<std::uint32_t>(principals_.size());
  principals_.push_back({.asker = asker, .group = it->second});
  principal_groups_[it->second].members.push_back(number);
  if (asker.session != nullptr)
    by_session_.emplace(asker.session->id, number);
  else
    by_device_.emplace(asker.device->id, number);
}

const std::uint32_t* PlanGroups::find(const DeviceId& device) const {
  return find_in(by_device_, device);
}
const std::uint32_t* PlanGroups::find(const SessionId& session) const {
  return find_in(by_session_, session);
}
const std::uint32_t* PlanGroups::group_of_target(const DeviceId& device) const {
  return find_in(target_group_by_device_, device);
}

std::vector<std::uint32_t> PlanGroups::contents_of(const std::vector<std::uint32_t>& interned,
                                                   const Positions& rules) const {
  std::vector<std::uint32_t> out;
  for (const std::uint32_t rule : rules) out.push_back(interned[rule]);
  std::ranges::sort(out);
  return out;
}

void PlanGroups::mark(const PlanSide& side, const Positions& rules,
                      const std::vector<std::vector<std::uint32_t>>& targets_by_segment,
                      std::vector<bool>& out) const {
  for (const std::uint32_t rule : rules)
    for (const Destination& to : side.policy().rules[rule].to)
      for (const std::uint32_t target : targets_by_segment[side.selectors().position_of(to.segment)])
        out[target] = true;
}

Positions PlanGroups::targets_to_compare(const Principals& from) const {
  Positions out;
  // Rules that say the same allow the same wherever the target's segments stay what they are.
  const bool same = contents_of(content_before_, from.before) == contents_of(content_after_, from.after);
  if (same && moved_targets_.empty()) return out;
  std::vector<bool> concerned(target_groups_.size());
  mark(before_, from.before, targets_by_segment_before_, concerned);
  mark(after_, from.after, targets_by_segment_after_, concerned);
  if (same) {
    for (const std::uint32_t target : moved_targets_)
      if (concerned[target]) out.push_back(target);
    return out;
  }
  for (std::uint32_t target = 0; target < concerned.size(); ++target)
    if (concerned[target]) out.push_back(target);
  return out;
}

ReachMap PlanGroups::reach_before(const Principals& from, const Targets& to) const {
  return before_.reach(from.before, to.before, to.isolated);
}
ReachMap PlanGroups::reach_after(const Principals& from, const Targets& to) const {
  return after_.reach(from.after, to.after, to.isolated);
}

}  // namespace cordon::policy
