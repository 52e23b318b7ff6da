// Nodes whose own part changed while they stay in their target group, which is what most changes make of most
// nodes: Changes of policy/engine_update.h. What such nodes are told of others is the same to all whose
// principals were and are in the same groups, and is worked out once; what is their own is few entries.

#include <algorithm>
#include <iterator>
#include <utility>

#include "policy/engine_update.h"
#include "policy/ordered_set.h"

namespace cordon::policy::engine {
namespace {

template <class T>
void append_to(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

/// What the members of a target group are to a node that reaches them at one moment only, and that is in none
/// of the groups that changed: the same to all nodes of its own target group.
const SharedChanges& Changes::of_reach(std::uint32_t target_group, const NodeView& before,
                                       const NodeView& now) const {
  const std::uint32_t comes = now.reaches(target_group) ? 1 : 0;
  const std::uint32_t own = now.group_number();
  const auto [it, fresh] = of_reach_.try_emplace({own, target_group, comes});
  if (!fresh) return it->second;
  Scope scope;
  append_to(scope.targets, groups_.targets(target_group).members);
  append_to(scope.peers, groups_.targets(target_group).members);
  Entries was, is;
  before.collect(scope, was);
  now.collect(scope, is);
  it->second = std::make_shared<const std::vector<Change>>(difference(std::move(was), std::move(is)).plain);
  return it->second;
}

/// To alike_key_: by these alone such nodes differ, but for where they are named themselves.
void Changes::name_groups(std::uint32_t device) const {
  std::vector<std::uint32_t>& key = alike_key_;
  key.clear();
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
}

Changes::Alike& Changes::alike(std::uint32_t device, const NodeView& before, const NodeView& now) const {
  name_groups(device);
  if (const auto known = alike_.find(alike_key_); known != alike_.end()) return known->second;
  Alike& out = alike_[alike_key_];
  out.scope = shared(now.group_number()).scope;
  out.scope.held = true;
  append_to(out.scope.targets, moved_devices_);
  append_to(out.scope.peers, moved_devices_);
  std::ranges::set_symmetric_difference(before.rules(false), now.rules(false),
                                        std::back_inserter(out.scope.rules));
  std::vector<std::uint32_t> reach;
  std::ranges::set_symmetric_difference(before.reach(), now.reach(), std::back_inserter(reach));
  // Where devices moved, or principals changed what they may do here, members may stand in the scope already.
  // For a node or two it isn't worth while to work groups out one by one.
  constexpr std::size_t kFew = 2;
  const bool alone = marked_.size() > kFew && out.scope.targets.empty() && out.scope.peers.empty();
  for (const std::uint32_t group : reach) {
    if (alone && group != now.group_number() && !has_gateways(group)) {
      const SharedChanges& changes = of_reach(group, before, now);
      if (!changes->empty()) out.of_reach.push_back(changes);
    } else {
      append_to(out.scope.targets, groups_.targets(group).members);
      append_to(out.scope.peers, groups_.targets(group).members);
    }
  }
  out.scope.make_sets();
  return out;
}

std::vector<std::uint32_t> Changes::principals_on(std::uint32_t device) const {
  std::vector<std::uint32_t> out;
  for (const When when : {When::before, When::now})
    population_.each_principal_on(device, when, [&](std::uint32_t number) { out.push_back(number); });
  return out;
}

Changes::Delta Changes::of_own(std::uint32_t device, const NodeView& before, const NodeView& now) const {
  Alike& alike = this->alike(device, before, now);
  if (alike.scope.names(device, principals_on(device))) {
    Scope scope = alike.scope;
    scope.own = true;
    return std::make_shared<const NodeDelta>(delta_within(scope, before, now, alike.of_reach));
  }
  if (alike.all == nullptr) {
    Entries was, is;
    before.collect(alike.scope, was);
    now.collect(alike.scope, is);
    Difference found = difference(std::move(was), std::move(is));
    CommonChanges all{.plain = alike.of_reach, .gone = std::move(found.gone), .come = std::move(found.come)};
    if (!found.plain.empty())
      all.plain.push_back(std::make_shared<const std::vector<Change>>(std::move(found.plain)));
    alike.all = std::make_shared<const CommonChanges>(std::move(all));
  }
  return std::make_shared<const NodeDelta>(own_changes(device, before, now), alike.all);
}

/// Of its own part.
std::vector<Change> Changes::own_changes(std::uint32_t device, const NodeView& before,
                                         const NodeView& now) const {
  // Mostly what its principals hold is another, and nothing else.
  bool more = population_.is_touched(device);
  std::vector<Change> out;
  population_.each_principal_on(device, When::now, [&](std::uint32_t number) {
    const PrincipalRecord& was = population_.principal(number, When::before);
    const PrincipalRecord& is = population_.principal(number, When::now);
    more = more || was.session != is.session || was.live != is.live || was.uid != is.uid ||
           was.addresses != is.addresses || was.ends_at != is.ends_at;
    if (more || (is.session != nullptr && !is.live)) return;
    const PrincipalValue value = now.own_principal(number);
    if (value == before.own_principal(number)) return;
    const OverlayAddresses& addresses =
        is.session == nullptr ? population_.device(device, When::now).addresses : is.addresses;
    for (const Address* address : {&addresses.v4, &addresses.v6})
      if (!address->is_unspecified()) out.push_back({.key = PrincipalKey{*address}, .value = value});
  });
  if (!more) {
    std::ranges::sort(out, {}, &Change::key);
    return out;
  }
  Entries was, is;
  const Scope own{.own = true};
  before.collect(own, was);
  now.collect(own, is);
  return difference(std::move(was), std::move(is)).plain;
}

}  // namespace cordon::policy::engine
