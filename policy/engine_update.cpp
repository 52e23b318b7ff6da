#include "policy/engine_update.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "policy/ordered_set.h"

namespace cordon::policy::engine {
namespace {

template <class T>
void append_all(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

bool Changes::may_reach(std::uint32_t device, std::uint32_t target_group) const {
  if (target_group == kNone) return false;
  if (groups_.targets(target_group).observes) return true;
  bool found = false;
  population_.each_principal_on(device, When::now, [&](std::uint32_t number) {
    const std::uint32_t group = population_.principal(number, When::now).group;
    found = found || (group != kNone && groups_.principals(group).find(target_group) != nullptr);
  });
  return found;
}

Changes::Shared& Changes::shared(std::uint32_t number) const {
  const auto [it, fresh] = shared_.try_emplace(number);
  Shared& out = it->second;
  if (!fresh) return out;
  const TargetGroup& group = groups_.targets(number);
  if (group.moved_in == groups_.epoch()) out.scope.principals = group.moved;
  for (const std::uint32_t principal : out.scope.principals)
    for (const When when : {When::before, When::now}) {
      const std::uint32_t device = population_.principal(principal, when).device;
      if (device == kNone) continue;
      out.scope.peers.push_back(device);
      out.peers_in.push_back(population_.device(device, when).group);
      for (const std::uint32_t behind : population_.behind(device))
        out.peers_in.push_back(population_.device(behind, when).group);
    }
  out.scope.classes = group.classes.changed(groups_.epoch());
  out.scope.rules = group.rules.changed(groups_.epoch());
  out.scope.make_sets();
  make_set(out.peers_in);
  return out;
}

/// Does it hold nothing that makes the delta another at it than at the other members of its group?
bool Changes::is_like_others(std::uint32_t device, const Shared& shared) const {
  const auto reached = [&](std::uint32_t group) { return may_reach(device, group); };
  if (std::ranges::any_of(moved_in_groups_, reached) || std::ranges::any_of(shared.peers_in, reached))
    return false;
  bool names_rule = false;
  population_.each_principal_on(device, When::now, [&](std::uint32_t number) {
    const std::uint32_t group = population_.principal(number, When::now).group;
    if (group == kNone) return;
    const auto& rules = groups_.principals(group).rules;
    names_rule = names_rule || std::ranges::any_of(shared.scope.rules, [&](RuleId rule) {
                   return std::ranges::binary_search(rules, rule);
                 });
  });
  return !names_rule;
}

/// Which rules and which target groups it names or reaches at one moment only. Nodes whose principals are in
/// the same groups have the same: it is worked out once.
const Changes::OwnReach& Changes::own_reach(std::uint32_t device, const NodeView& before,
                                            const NodeView& now) const {
  std::vector<std::uint32_t> key;
  for (const When when : {When::before, When::now}) {
    const DeviceRecord& record = population_.device(device, when);
    key.push_back(record.group);
    key.push_back(record.isolated);
    population_.each_principal_on(device, when, [&](std::uint32_t number) {
      const PrincipalRecord& principal = population_.principal(number, when);
      if (principal.group == kNone) return;
      key.push_back(principal.group);
      key.push_back(principal.there);
    });
    key.push_back(kNone);
  }
  const auto [it, fresh] = own_reach_.try_emplace(std::move(key));
  OwnReach& out = it->second;
  if (!fresh) return out;
  std::ranges::set_symmetric_difference(before.rules(false), now.rules(false), std::back_inserter(out.rules));
  std::ranges::set_symmetric_difference(before.reach(), now.reach(), std::back_inserter(out.targets));
  return out;
}

/// What the members of a target group are to a node that reaches them at one moment only, and that is in none
/// of the groups that changed: the same to all nodes of its own target group.
const SharedChanges& Changes::of_reach(std::uint32_t target_group, const NodeView& before,
                                       const NodeView& now) const {
  const std::uint32_t comes = now.reaches(target_group) ? 1 : 0;
  const std::uint32_t own = now.group_number();
  const auto [it, fresh] = of_reach_.try_emplace({own, target_group, comes});
  if (!fresh) return it->second;
  Scope scope;
  append_all(scope.targets, groups_.targets(target_group).members);
  append_all(scope.peers, groups_.targets(target_group).members);
  Entries was, is;
  before.collect(scope, was);
  now.collect(scope, is);
  it->second = std::make_shared<const std::vector<Change>>(difference(std::move(was), std::move(is)).own);
  return it->second;
}

/// Its own part changed, and its target group is the one it was.
void Changes::add_own(std::uint32_t device, const NodeView& before, const NodeView& now, Scope& scope,
                      std::vector<SharedChanges>& shared) const {
  const OwnReach& reach = own_reach(device, before, now);
  append_all(scope.rules, reach.rules);
  // Where devices moved, or principals changed what they may do here, members may stand in the scope already.
  // For a node or two it isn't worth while to work groups out one by one.
  constexpr std::size_t kFew = 2;
  const bool alone = marked_.size() > kFew && scope.targets.empty() && scope.peers.empty();
  for (const std::uint32_t group : reach.targets) {
    if (alone && group != now.group_number() && !has_gateways(group)) {
      const SharedChanges& changes = of_reach(group, before, now);
      if (!changes->empty()) shared.push_back(changes);
    } else {
      append_all(scope.targets, groups_.targets(group).members);
      append_all(scope.peers, groups_.targets(group).members);
    }
  }
}

/// The groups of its principals.
std::vector<std::uint32_t> Changes::groups_on(std::uint32_t device) const {
  std::vector<std::uint32_t> out;
  population_.each_principal_on(device, When::now, [&](std::uint32_t number) {
    const std::uint32_t group = population_.principal(number, When::now).group;
    if (group != kNone) out.push_back(group);
  });
  make_set(out);
  return out;
}

/// What may have changed at a node beside what its target group shares, its own part left out.
Scope Changes::scope_of(const NodeView& before, const NodeView& now) const {
  Scope scope;
  if (!before.active()) {
    now.add_everything(scope);
    return scope;
  }
  if (&before.group() != &now.group()) {
    scope.whole_group = true;
    before.add_sources(scope);
    now.add_sources(scope);
    append_all(scope.principals, population_.touched_principals());
    for (const std::uint32_t principal : population_.touched_principals())
      for (const When when : {When::before, When::now})
        scope.peers.push_back(population_.principal(principal, when).device);
    // Another target group makes its own part another.
    std::ranges::set_symmetric_difference(before.rules(true), now.rules(true),
                                          std::back_inserter(scope.rules));
    std::vector<std::uint32_t> reach;
    std::ranges::set_symmetric_difference(before.reach(), now.reach(), std::back_inserter(reach));
    for (const std::uint32_t group : reach) {
      append_all(scope.targets, groups_.targets(group).members);
      append_all(scope.peers, groups_.targets(group).members);
    }
  }
  append_all(scope.targets, moved_devices_);
  append_all(scope.peers, moved_devices_);
  return scope;
}

/// What its members are to a node depends on other target groups too, where they share a gateway.
bool Changes::has_gateways(std::uint32_t target_group) const {
  if (population_.gateways().empty()) return false;
  const auto [it, fresh] = has_gateways_.try_emplace(target_group);
  if (fresh)
    it->second = std::ranges::any_of(groups_.targets(target_group).members, [&](std::uint32_t member) {
      return population_.is_gateway(member) || population_.device(member, When::now).gateway != kNone;
    });
  return it->second;
}

/// Its own part and its classes are looked at whole; of principals and devices, those that changed anything.
Scope Changes::scope_of_gateway(const NodeView& before, const NodeView& now) const {
  Scope scope;
  if (!before.active()) {
    now.add_everything(scope);
    return scope;
  }
  scope.own = scope.whole_group = true;
  if (std::ranges::equal(before.hosted(), now.hosted())) {
    for (const std::uint32_t group : now.hosted()) {
      append_all(scope.principals, shared(group).scope.principals);
      append_all(scope.peers, shared(group).scope.peers);
    }
  } else {
    before.add_sources(scope);
    now.add_sources(scope);
    append_all(scope.principals, population_.touched_principals());
    for (const std::uint32_t principal : population_.touched_principals())
      for (const When when : {When::before, When::now})
        scope.peers.push_back(population_.principal(principal, when).device);
  }
  std::vector<std::uint32_t> reach;
  std::ranges::set_symmetric_difference(before.reach(), now.reach(), std::back_inserter(reach));
  for (const std::uint32_t group : reach) {
    append_all(scope.targets, groups_.targets(group).members);
    append_all(scope.peers, groups_.targets(group).members);
  }
  append_all(scope.targets, moved_devices_);
  append_all(scope.peers, moved_devices_);
  scope.rules = before.rules(true);
  append_all(scope.rules, now.rules(true));
  return scope;
}

Changes::Delta Changes::of_gateway(std::uint32_t device) const {
  const NodeView before = view(device, When::before);
  const NodeView now = view(device, When::now);
  Scope scope = scope_of_gateway(before, now);
  scope.make_sets();
  Entries was, is;
  before.collect(scope, was);
  now.collect(scope, is);
  return std::make_shared<const NodeDelta>(difference(std::move(was), std::move(is)));
}

Changes::Delta Changes::of(std::uint32_t device) const {
  if (population_.is_gateway(device)) return of_gateway(device);
  const bool own = is_marked(device) && marks_[device].own;
  Shared& common = shared(population_.device(device, When::now).group);
  // Nodes of one target group differ only by what their own principals reach, unless their own part changed.
  Delta* known = nullptr;
  bool like_others = false;
  if (!own) {
    like_others = is_like_others(device, common);
    known = &common.deltas[like_others ? std::vector<std::uint32_t>{} : groups_on(device)];
    if (*known) return *known;
  }
  const NodeView before = view(device, When::before);
  const NodeView now = view(device, When::now);
  Scope scope = common.scope;
  std::vector<SharedChanges> of_reach;
  if (!like_others) {
    const Scope more = scope_of(before, now);
    scope.whole_group = more.whole_group;
    scope.own = own || more.own;
    append_all(scope.principals, more.principals);
    append_all(scope.targets, more.targets);
    append_all(scope.peers, more.peers);
    append_all(scope.classes, more.classes);
    append_all(scope.rules, more.rules);
    if (own && before.active() && &before.group() == &now.group())
      add_own(device, before, now, scope, of_reach);
    scope.make_sets();
  }
  Entries was, is;
  before.collect(scope, was);
  now.collect(scope, is);
  NodeDelta::Parts parts = difference(std::move(was), std::move(is));
  parts.shared = std::move(of_reach);
  auto delta = std::make_shared<const NodeDelta>(std::move(parts));
  if (known != nullptr) *known = delta;
  return delta;
}

}  // namespace cordon::policy::engine
