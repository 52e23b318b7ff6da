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

/// What changed within the scope; `others`: what else did.
NodeDelta Changes::delta_within(const Scope& scope, const NodeView& before, const NodeView& now,
                                std::vector<SharedChanges> others) const {
  Entries was, is;
  before.collect(scope, was);
  now.collect(scope, is);
  Difference found = difference(std::move(was), std::move(is));
  return NodeDelta(
      std::move(found.plain),
      std::make_shared<const CommonChanges>(CommonChanges{
          .plain = std::move(others), .gone = std::move(found.gone), .come = std::move(found.come)}));
}

Changes::Delta Changes::of(std::uint32_t device) const {
  const bool own = is_marked(device) && marks_[device].own;
  const NodeView before = view(device, When::before);
  const NodeView now = view(device, When::now);
  if (population_.is_gateway(device)) return of_gateway(before, now);
  if (own && before.active() && &before.group() == &now.group()) return of_own(device, before, now);
  Shared& common = shared(now.group_number());
  // Nodes of one target group differ only by what their own principals reach, unless their own part changed.
  Delta* known = nullptr;
  bool like_others = false;
  if (!own) {
    like_others = is_like_others(device, common);
    known = &common.deltas[like_others ? std::vector<std::uint32_t>{} : groups_on(device)];
    if (*known) return *known;
  }
  Scope scope = common.scope;
  if (!like_others) {
    const Scope more = scope_of(before, now);
    scope.whole_group = more.whole_group;
    scope.own = scope.held = own || more.own;
    append_all(scope.principals, more.principals);
    append_all(scope.targets, more.targets);
    append_all(scope.peers, more.peers);
    append_all(scope.classes, more.classes);
    append_all(scope.rules, more.rules);
    scope.make_sets();
  }
  auto delta = std::make_shared<const NodeDelta>(delta_within(scope, before, now, {}));
  if (known != nullptr) *known = delta;
  return delta;
}

}  // namespace cordon::policy::engine
