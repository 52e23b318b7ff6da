// What holds between two groups: GroupBook of policy/engine_groups.h.

#include <algorithm>

#include "policy/engine_groups.h"
#include "policy/ordered_set.h"

namespace cordon::policy::engine {
namespace {

std::vector<RuleId> rules_in(const std::vector<PortGrant>& table) {
  std::vector<RuleId> out;
  for (const PortGrant& grant : table) out.push_back(grant.value.rule);
  make_set(out);
  return out;
}

}  // namespace

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
  ClassGrants grants;
  append_grants(grants, Direction::ingress, to.id, out.table);
  out.ingress = name_class(grants);
  if (!grants.empty()) out.grants = std::make_shared<const ClassGrants>(std::move(grants));
  out.rules = rules_in(out.table);
  return out;
}

const LocalClass& GroupBook::local_class(const PrincipalGroup& group, std::span<const std::uint32_t> own,
                                         When when) const {
  const bool before = when == When::before && group.targets_changed == epoch_;
  PrincipalGroup::Locals& cache = before ? group.local_before : group.local;
  for (const auto& [node, known] : cache)
    if (std::ranges::equal(node, own)) return *known;
  auto made = std::make_unique<LocalClass>();
  ClassGrants grants;
  for (const auto& [number, link] : group.targets) {
    const TargetGroup& to = *targets_[number];
    if (!exists(to, when)) continue;
    append_grants(grants, Direction::egress, to.id, link->table);
    if (std::ranges::binary_search(own, number))
      append_grants(grants, Direction::ingress, to.id, link->table);
    made->rules.insert(made->rules.end(), link->rules.begin(), link->rules.end());
  }
  make_set(made->rules);
  made->id = name_class(grants);
  if (!grants.empty()) made->grants = std::make_shared<const ClassGrants>(std::move(grants));
  return *cache.emplace_back(std::vector(own.begin(), own.end()), std::move(made)).second;
}

}  // namespace cordon::policy::engine
