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

std::vector<RuleId> rules_in(const std::vector<PortGrant>& table) {
  std::vector<RuleId> out;
  for (const PortGrant& grant : table) out.push_back(grant.value.rule);
  make_set(out);
  return out;
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
  out.isolated = device.isolated;
  out.observes = !device.isolated && !segments.empty() && std::ranges::all_of(segments, [&](auto segment) {
    return selectors.segment(segment).mode == Mode::observe;
  });
  out.underlay = strictest_underlay(selectors, segments);
  out.guards = guard_ports(selectors, segments);
  return out;
}

std::uint32_t GroupBook::target_group(const World& world, const Device& device, const Positions& segments) {
  const auto known = by_segments_.find(Place{segments, device.isolated});
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
  by_segments_[Place{segments, device.isolated}] = *found;
  return *found;
}

void GroupBook::link_target_group(std::uint32_t number) {
  TargetGroup& group = *targets_[number];
  if (group.observes) observing_.push_back(number);
  std::vector<std::uint32_t> sources;
  for (const std::uint32_t segment : group.segments) {
    rules_.segment(segment).target_groups.push_back(number);
    for (const std::uint32_t rule : rules_.segment(segment).rules)
      if (const KnownRule& known = rules_.rule(rule); !known.value.deny && known.applies(group.isolated))
        sources.insert(sources.end(), known.groups.begin(), known.groups.end());
  }
  make_set(sources);
  for (const std::uint32_t source : sources) {
    PrincipalGroup& from = *principals_[source];
    const Link* made = link(from, source, number);
    if (made == nullptr) continue;
    from.targets.insert(std::ranges::lower_bound(from.targets, number, {}, &PrincipalGroup::Target::group),
                        {.group = number, .link = made});
    retarget(source);
  }
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

void GroupBook::link_principal_group(std::uint32_t number) {
  PrincipalGroup& group = *principals_[number];
  std::vector<std::uint32_t> reached;
  for (const Pattern::Allow& allow : group.pattern.allows) {
    KnownRule& rule = rules_.rule(allow.number);
    rule.groups.insert(number);
    group.rules.push_back(rule.value.rule);
    for (const KnownRule::At& at : rule.reaches)
      for (const std::uint32_t target : rules_.segment(at.segment).target_groups)
        if (rule.applies(targets_[target]->isolated)) reached.push_back(target);
  }
  for (const Pattern::Forbid& forbid : group.pattern.forbids)
    group.rules.push_back(rules_.rule(forbid.number).value.rule);
  make_set(group.rules);
  make_set(reached);
  for (const std::uint32_t target : reached)
    if (const Link* made = link(group, number, target))
      group.targets.push_back({.group = target, .link = made});
}

/// Null when nothing is granted.
const Link* GroupBook::link(PrincipalGroup& from, std::uint32_t from_number, std::uint32_t to) {
  TargetGroup& target = *targets_[to];
  if (target.id == TargetId{0}) return nullptr;
  Pattern here = restricted(from.pattern, target);
  if (here.empty()) return nullptr;
  auto it = target.links.find(here);
  if (it == target.links.end()) {
    Link made = make_link(here, target);
    it = target.links.emplace(std::move(here), std::move(made)).first;
    it->second.key = &it->first;
  }
  Link& found = it->second;
  ++found.users;
  target.sources.emplace(from_number, &found);
  if (found.table.empty()) return nullptr;
  count(target, found, 1);
  return &found;
}

bool GroupBook::speaks_of(std::uint32_t number, const TargetGroup& to) const {
  const KnownRule& rule = rules_.rule(number);
  return rule.applies(to.isolated) && std::ranges::any_of(rule.reaches, [&](const KnownRule::At& at) {
           return std::ranges::binary_search(to.segments, at.segment);
         });
}

Pattern GroupBook::restricted(const Pattern& pattern, const TargetGroup& to) const {
  Pattern out;
  std::vector<std::uint32_t> kept;  // their places in the whole pattern
  for (std::uint32_t i = 0; i < pattern.allows.size(); ++i)
    if (speaks_of(pattern.allows[i].number, to)) {
      out.allows.push_back(pattern.allows[i]);
      kept.push_back(i);
    }
  if (kept.empty()) return out;
  for (const Pattern::Forbid& forbid : pattern.forbids)
    if (speaks_of(forbid.number, to)) {
      out.forbids.push_back(forbid);
      out.forbids.back().ties =
          static_cast<std::uint32_t>(std::ranges::lower_bound(kept, forbid.ties) - kept.begin());
    }
  return out;
}

Offer GroupBook::offer_of(std::uint32_t number, const TargetGroup& to) const {
  const KnownRule& rule = rules_.rule(number);
  Offer offer{.name = rule.name, .accesses = {}, .value = rule.value};
  for (const KnownRule::At& at : rule.reaches)
    if (std::ranges::binary_search(to.segments, at.segment))
      offer.accesses.insert(offer.accesses.end(), at.accesses.begin(), at.accesses.end());
  return offer;
}

Link GroupBook::make_link(const Pattern& pattern, const TargetGroup& to) const {
  std::vector<Offer> allows, forbids;
  for (const Pattern::Allow& allow : pattern.allows) {
    allows.push_back(offer_of(allow.number, to));
    allows.back().value.slot = allow.slot;
  }
  for (const Pattern::Forbid& forbid : pattern.forbids) {
    Offer& offer = forbids.emplace_back(offer_of(forbid.number, to));
    offer.value.slot = forbid.slot;
    offer.holds = forbid.holds;
    offer.ties = forbid.ties;
  }
  Link out;
  out.table = port_table(allows, forbids);
  append_grants(out.grants, Direction::ingress, to.id, out.table);
  out.ingress = name_class(out.grants);
  out.rules = rules_in(out.table);
  return out;
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

const LocalClass& GroupBook::local_class(const PrincipalGroup& group, std::uint32_t own, When when) const {
  const bool before = when == When::before && group.targets_changed == epoch_;
  PrincipalGroup::Locals& cache = before ? group.local_before : group.local;
  for (const auto& [node, known] : cache)
    if (node == own) return *known;
  auto made = std::make_unique<LocalClass>();
  for (const auto& [number, link] : group.targets) {
    const TargetGroup& to = *targets_[number];
    if (!exists(to, when)) continue;
    append_grants(made->grants, Direction::egress, to.id, link->table);
    if (number == own) append_grants(made->grants, Direction::ingress, to.id, link->table);
    made->rules.insert(made->rules.end(), link->rules.begin(), link->rules.end());
  }
  make_set(made->rules);
  made->id = name_class(made->grants);
  return *cache.emplace_back(own, std::move(made)).second;
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
