// Gateways: nodes that enforce for several target groups, their own and those of what is behind them. Changes
// of policy/engine_update.h. Gateways are few: what changed at one is worked out for it alone.

#include <algorithm>
#include <iterator>

#include "policy/engine_update.h"

namespace cordon::policy::engine {
namespace {

template <class T>
void append_more(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

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
  scope.own = scope.held = scope.whole_group = true;
  if (std::ranges::equal(before.hosted(), now.hosted())) {
    for (const std::uint32_t group : now.hosted()) {
      append_more(scope.principals, shared(group).scope.principals);
      append_more(scope.peers, shared(group).scope.peers);
    }
  } else {
    before.add_sources(scope);
    now.add_sources(scope);
    append_more(scope.principals, population_.touched_principals());
    for (const std::uint32_t principal : population_.touched_principals())
      for (const When when : {When::before, When::now})
        scope.peers.push_back(population_.principal(principal, when).device);
  }
  std::vector<std::uint32_t> reach;
  std::ranges::set_symmetric_difference(before.reach(), now.reach(), std::back_inserter(reach));
  for (const std::uint32_t group : reach) {
    append_more(scope.targets, groups_.targets(group).members);
    append_more(scope.peers, groups_.targets(group).members);
  }
  append_more(scope.targets, moved_devices_);
  append_more(scope.peers, moved_devices_);
  scope.rules = before.rules(true);
  append_more(scope.rules, now.rules(true));
  return scope;
}

Changes::Delta Changes::of_gateway(const NodeView& before, const NodeView& now) const {
  Scope scope = scope_of_gateway(before, now);
  scope.make_sets();
  return std::make_shared<const NodeDelta>(delta_within(scope, before, now, {}));
}

}  // namespace cordon::policy::engine
