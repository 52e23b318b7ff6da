#include "policy/engine_groups.h"

#include <algorithm>
#include <set>

#include "policy/guard_ports.h"
#include "policy/ordered_set.h"

namespace cordon::policy::engine {
namespace {

template <class Record>
std::uint32_t take_number(std::vector<std::unique_ptr<Record>>& records, std::vector<std::uint32_t>& free) {
  if (free.empty()) {
    records.push_back(nullptr);
    return static_cast<std::uint32_t>(records.size() - 1);
  }
  const std::uint32_t number = free.back();
  free.pop_back();
  return number;
}

std::uint32_t take_out(std::vector<std::uint32_t>& members, std::uint32_t place) {
  const bool last = place + 1 == members.size();
  const std::uint32_t moved = last ? kNone : members.back();
  if (!last) members[place] = moved;
  members.pop_back();
  return moved;
}

bool alike(const TargetGroup& a, const TargetGroup& b) {
  return a.segments == b.segments && a.id == b.id && a.isolated == b.isolated && a.observes == b.observes &&
         a.underlay == b.underlay && a.guards == b.guards;
}

}  // namespace

const Link* PrincipalGroup::find(std::uint32_t target_group) const {
  const auto it = std::ranges::lower_bound(targets, target_group, {}, &Target::group);
  return it != targets.end() && it->group == target_group ? it->link : nullptr;
}

void GroupBook::begin(std::uint64_t epoch) {
  epoch_ = epoch;
  retargeted_.clear();
  for (const std::uint32_t group : std::exchange(empty_principals_, {}))
    if (principals_[group] && principals_[group]->members.empty()) erase_principal_group(group);
  for (const std::uint32_t group : std::exchange(empty_targets_, {}))
    if (targets_[group] && targets_[group]->members.empty()) erase_target_group(group);
}

void GroupBook::settle() {
  for (const std::uint32_t number : empty_principals_) {
    PrincipalGroup& group = *principals_[number];
    if (!group.members.empty() || group.buried) continue;
    group.buried = true;
    for (const auto& [target, link] : group.targets) count(*targets_[target], *link, -1);
  }
  for (const std::uint32_t number : empty_targets_)
    if (targets_[number]->members.empty())
      for (const auto& [source, link] : targets_[number]->sources)
        if (!link->table.empty()) retarget(source);
}

void GroupBook::retarget(std::uint32_t number) {
  PrincipalGroup& group = *principals_[number];
  if (group.targets_changed != epoch_) {
    group.local_before = std::move(group.local);
    group.targets_changed = epoch_;
    retargeted_.push_back(number);
  }
  group.local.clear();
}

void GroupBook::count(TargetGroup& group, const Link& link, std::int32_t by) {
  group.classes.add(link.ingress, by, epoch_);
  for (const RuleId rule : link.rules) group.rules.add(rule, by, epoch_);
}

TargetGroup GroupBook::describe(const World& world, const Device& device, const Positions& segments) const {
  const Selectors& selectors = rules_.selectors();
  TargetGroup out;
  std::set<std::string> names;
  for (const std::uint32_t segment : segments) names.insert(selectors.name_of(segment));
  out.segments = rules_.numbers_of(segments);
  out.id = target_of(world, device, names);
  out.isolated = device.cut_off();
  out.observes = !device.cut_off() && !segments.empty() && std::ranges::all_of(segments, [&](auto segment) {
    return selectors.segment(segment).mode == Mode::observe;
  });
  out.underlay = strictest_underlay(selectors, segments);
  out.guards = guard_ports(selectors, segments);
  return out;
}

std::uint32_t GroupBook::target_group(const World& world, const Device& device, const Positions& segments) {
  const auto known = by_segments_.find(Place{segments, device.cut_off()});
  // One that could not be numbered may be by now.
  if (known != by_segments_.end() && targets_[known->second]->id != TargetId{0}) return known->second;
  TargetGroup described = describe(world, device, segments);
  auto& candidates = alike_[described.segments];
  auto found =
      std::ranges::find_if(candidates, [&](auto group) { return alike(*targets_[group], described); });
  if (found == candidates.end()) {
    const std::uint32_t number = take_number(targets_, free_targets_);
    described.born = epoch_;
    targets_[number] = std::make_unique<TargetGroup>(std::move(described));
    candidates.push_back(number);
    found = std::prev(candidates.end());
    empty_targets_.push_back(number);
    link_target_group(number);
  }
  by_segments_[Place{segments, device.cut_off()}] = *found;
  return *found;
}

std::uint32_t GroupBook::principal_group(const Pattern& pattern) {
  const auto known = by_pattern_.find(pattern);
  if (known != by_pattern_.end()) {
    PrincipalGroup& group = *principals_[known->second];
    if (!group.buried) return known->second;
  }
  const std::uint32_t number = take_number(principals_, free_principals_);
  principals_[number] = std::make_unique<PrincipalGroup>();
  principals_[number]->pattern = pattern;
  principals_[number]->born = epoch_;
  by_pattern_[pattern] = number;
  empty_principals_.push_back(number);
  link_principal_group(number);
  return number;
}

void GroupBook::join_targets(std::uint32_t group, std::uint32_t device, std::uint32_t& place) {
  place = static_cast<std::uint32_t>(targets_[group]->members.size());
  targets_[group]->members.push_back(device);
}

std::uint32_t GroupBook::leave_targets(std::uint32_t group, std::uint32_t place) {
  const std::uint32_t moved = take_out(targets_[group]->members, place);
  if (targets_[group]->members.empty()) empty_targets_.push_back(group);
  return moved;
}

void GroupBook::join_principals(std::uint32_t group, std::uint32_t principal, std::uint32_t& place) {
  place = static_cast<std::uint32_t>(principals_[group]->members.size());
  principals_[group]->members.push_back(principal);
}

std::uint32_t GroupBook::leave_principals(std::uint32_t group, std::uint32_t place) {
  const std::uint32_t moved = take_out(principals_[group]->members, place);
  if (principals_[group]->members.empty()) empty_principals_.push_back(group);
  return moved;
}

Engine::Counts GroupBook::counts() const {
  Engine::Counts out{.principal_groups = by_pattern_.size()};
  for (const auto& group : targets_)
    if (group) {
      ++out.target_groups;
      out.links += group->links.size();
    }
  return out;
}

void GroupBook::erase_principal_group(std::uint32_t number) {
  PrincipalGroup& group = *principals_[number];
  std::vector<std::uint32_t> reached;
  for (const Pattern::Allow& allow : group.pattern.allows) {
    KnownRule& rule = rules_.rule(allow.number);
    rule.groups.erase(number);
    for (const KnownRule::At& at : rule.reaches)
      for (const std::uint32_t target : rules_.segment(at.segment).target_groups) reached.push_back(target);
  }
  make_set(reached);
  for (const std::uint32_t number_of_target : reached) {
    TargetGroup& target = *targets_[number_of_target];
    const auto source = target.sources.find(number);
    if (source == target.sources.end()) continue;
    const auto at = target.links.find(*source->second->key);
    target.sources.erase(source);
    if (--at->second.users == 0) target.links.erase(at);
  }
  if (const auto known = by_pattern_.find(group.pattern);
      known != by_pattern_.end() && known->second == number)
    by_pattern_.erase(known);
  principals_[number].reset();
  free_principals_.push_back(number);
}

void GroupBook::erase_target_group(std::uint32_t number) {
  TargetGroup& group = *targets_[number];
  for (const auto& [source, link] : group.sources)
    std::erase_if(principals_[source]->targets, [&](const auto& to) { return to.group == number; });
  for (const std::uint32_t segment : group.segments)
    std::erase(rules_.segment(segment).target_groups, number);
  if (group.observes) std::erase(observing_, number);
  auto& candidates = alike_[group.segments];
  std::erase(candidates, number);
  if (candidates.empty()) alike_.erase(group.segments);
  std::erase_if(by_segments_, [&](const auto& entry) { return entry.second == number; });
  targets_[number].reset();
  free_targets_.push_back(number);
}

}  // namespace cordon::policy::engine
