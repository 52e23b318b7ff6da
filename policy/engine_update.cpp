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

/// Its entries elsewhere but for the class.
bool same_elsewhere(const PrincipalRecord& a, const PrincipalRecord& b) {
  return a.there == b.there && a.device == b.device && a.addresses == b.addresses &&
         a.deadlines == b.deadlines;
}

bool same_keys(const DeviceRecord& a, const DeviceRecord& b) {
  return a.wireguard_key == b.wireguard_key && a.next_wireguard_key == b.next_wireguard_key;
}

bool same_as_peer(const DeviceRecord& a, const DeviceRecord& b) {
  return a.addresses == b.addresses && same_keys(a, b);
}

}  // namespace

Changes::Mark& Changes::mark(std::uint32_t device) {
  if (marks_.size() < population_.device_count()) marks_.resize(population_.device_count());
  Mark& mark = marks_[device];
  if (mark.epoch != groups_.epoch()) {
    mark = {.epoch = groups_.epoch()};
    marked_.push_back(device);
    if (const std::uint32_t number = population_.device(device, When::now).group; number != kNone) {
      TargetGroup& group = groups_.targets(number);
      if (std::exchange(group.marked_in, groups_.epoch()) != groups_.epoch()) group.marked = 0;
      ++group.marked;
    }
  }
  return mark;
}

std::vector<std::uint32_t> Changes::find() {
  marked_.clear();
  touched_groups_.clear();
  moved_devices_.clear();
  moved_in_groups_.clear();
  shared_.clear();
  for (const std::uint32_t device : population_.touched_devices()) mark_device(device);
  make_set(moved_in_groups_);
  for (const std::uint32_t principal : population_.touched_principals()) mark_principal(principal);
  for (const std::uint32_t group : groups_.retargeted())
    for (const std::uint32_t member : groups_.principals(group).members)
      mark(population_.principal(member, When::now).device).own = true;

  std::vector<std::uint32_t> out;
  out.reserve(marked_.size());
  for (const std::uint32_t device : marked_) {
    const std::uint32_t group = population_.device(device, When::now).group;
    if (group == kNone) continue;
    const Mark& mark = marks_[device];
    const bool others = mark.sure || groups_.targets(group).moved_in == groups_.epoch();
    const bool sure = mark.own ? own_differs(device) : others;
    if (sure || !of(device)->empty()) out.push_back(device);
  }
  for (const std::uint32_t group : touched_groups_) add_members(group, out);
  return out;
}

void Changes::mark_device(std::uint32_t number) {
  const DeviceRecord& before = population_.device(number, When::before);
  const DeviceRecord& now = population_.device(number, When::now);
  mark(number).own = true;
  const bool same_peer = same_as_peer(before, now);
  if (before.group == now.group && same_peer) return;
  moved_devices_.push_back(number);
  bool same_target = same_peer && before.group != kNone && now.group != kNone;
  if (same_target) {
    const TargetGroup& was = groups_.targets(before.group);
    const TargetGroup& is = groups_.targets(now.group);
    same_target = was.id == is.id && was.observes == is.observes;
  }
  mark_reaching(before.group, !same_target);
  if (now.group != before.group) mark_reaching(now.group, !same_target);
}

/// Nodes that reach the group now; those that did before and don't now are marked by what changed there.
void Changes::mark_reaching(std::uint32_t number, bool sure) {
  if (number == kNone) return;
  moved_in_groups_.push_back(number);
  const TargetGroup& group = groups_.targets(number);
  const auto reaching = [&](std::uint32_t device) {
    Mark& found = mark(device);
    found.sure = found.sure || sure;
  };
  for (const auto& [source, link] : group.sources)
    if (!link->table.empty())
      for (const std::uint32_t member : groups_.principals(source).members)
        reaching(population_.principal(member, When::now).device);
  if (!group.observes) return;
  for (std::uint32_t device = 0; device < population_.device_count(); ++device) {
    const DeviceRecord& record = population_.device(device, When::now);
    if (record.group != kNone && !record.isolated) reaching(device);
  }
}

void Changes::mark_here(std::uint32_t number, std::uint32_t principal) {
  TargetGroup& group = groups_.targets(number);
  if (group.moved_in != groups_.epoch()) {
    group.moved.clear();
    group.moved_in = groups_.epoch();
    touched_groups_.push_back(number);
  }
  if (group.moved.empty() || group.moved.back() != principal) group.moved.push_back(principal);
}

void Changes::mark_principal(std::uint32_t number) {
  const PrincipalRecord& before = population_.principal(number, When::before);
  const PrincipalRecord& now = population_.principal(number, When::now);
  for (const std::uint32_t device : {before.device, now.device})
    if (device != kNone) mark(device).own = true;
  const bool same = same_elsewhere(before, now) &&
                    (now.device == kNone || same_keys(population_.device(now.device, When::before),
                                                      population_.device(now.device, When::now)));
  if ((!before.there && !now.there) || (same && before.group == now.group)) return;

  static const std::vector<PrincipalGroup::Target> kNowhere;
  const auto& from = before.group == kNone ? kNowhere : groups_.principals(before.group).targets;
  const auto& to = now.group == kNone ? kNowhere : groups_.principals(now.group).targets;
  auto a = from.begin();
  auto b = to.begin();
  while (a != from.end() || b != to.end()) {
    if (b == to.end() || (a != from.end() && a->group < b->group)) {
      mark_here((a++)->group, number);
    } else if (a == from.end() || b->group < a->group) {
      mark_here((b++)->group, number);
    } else {
      if (!same || a->link->ingress != b->link->ingress) mark_here(a->group, number);
      ++a;
      ++b;
    }
  }
  if (!same)
    for (const std::uint32_t group : groups_.observing()) mark_here(group, number);
}

/// Those that weren't marked one by one: each node is in one target group.
void Changes::add_members(std::uint32_t number, std::vector<std::uint32_t>& out) const {
  const TargetGroup& group = groups_.targets(number);
  const bool some_marked = group.marked_in == groups_.epoch() && group.marked > 0;
  for (const std::uint32_t member : group.members)
    if (!some_marked || !is_marked(member)) out.push_back(member);
}

/// The classes by which targets know what the principal holds, the node's own last: of them its own class is
/// made.
std::vector<ClassId> Changes::holds(const PrincipalRecord& principal, std::uint32_t own, When when) const {
  std::vector<ClassId> out;
  if (principal.group == kNone) return out;
  const PrincipalGroup& group = groups_.principals(principal.group);
  for (const auto& [number, link] : group.targets)
    if (groups_.exists(groups_.targets(number), when)) out.push_back(link->ingress);
  std::ranges::sort(out);
  const Link* at_home = group.find(own);
  out.push_back(at_home == nullptr ? ClassId{0} : at_home->ingress);
  if (out.size() == 1) out.clear();  // nothing is held
  return out;
}

/// Something that it has in any case, or a class of its own, is another; else it takes a closer look.
bool Changes::own_differs(std::uint32_t device) const {
  const NodeView before = view(device, When::before);
  const NodeView now = view(device, When::now);
  if (!before.active() || !now.active()) return true;
  const DeviceRecord& was = population_.device(device, When::before);
  const DeviceRecord& is = population_.device(device, When::now);
  if (was.isolated != is.isolated || was.addresses != is.addresses) return true;
  if (before.as_target(device) != now.as_target(device)) return true;
  bool differs = false;
  const auto compare = [&](std::uint32_t number) {
    const PrincipalRecord& a = population_.principal(number, When::before);
    const PrincipalRecord& b = population_.principal(number, When::now);
    if (b.session != nullptr && !a.live && !b.live) return;
    differs = differs || a.live != b.live || !same_elsewhere(a, b) ||
              holds(a, was.group, When::before) != holds(b, is.group, When::now);
  };
  population_.each_principal_on(device, When::before, compare);
  population_.each_principal_on(device, When::now, compare);
  return differs;
}

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

void Changes::add_moved_reach(Scope& scope, const NodeView& before, const NodeView& now) const {
  const auto was = before.reach();
  const auto is = now.reach();
  std::vector<std::uint32_t> differ;
  std::ranges::set_symmetric_difference(was, is, std::back_inserter(differ));
  for (const std::uint32_t group : differ) {
    append_all(scope.targets, groups_.targets(group).members);
    append_all(scope.peers, groups_.targets(group).members);
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

Scope Changes::scope_of(const NodeView& before, const NodeView& now, bool own) const {
  if (!before.active()) {
    Scope all;
    now.add_everything(all);
    return all;
  }
  const bool moved = &before.group() != &now.group();
  Scope scope;
  if (moved) {
    scope.whole_group = true;
    before.add_sources(scope);
    now.add_sources(scope);
    append_all(scope.principals, population_.touched_principals());
    for (const std::uint32_t principal : population_.touched_principals())
      for (const When when : {When::before, When::now})
        scope.peers.push_back(population_.principal(principal, when).device);
  }
  if (own) {
    scope.own = true;
    std::ranges::set_symmetric_difference(before.rules(moved), now.rules(moved),
                                          std::back_inserter(scope.rules));
    add_moved_reach(scope, before, now);
  }
  append_all(scope.targets, moved_devices_);
  append_all(scope.peers, moved_devices_);
  return scope;
}

Changes::Delta Changes::of(std::uint32_t device) const {
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
  if (!like_others) {
    const Scope more = scope_of(before, now, own);
    scope.own = more.own;
    scope.whole_group = more.whole_group;
    append_all(scope.principals, more.principals);
    append_all(scope.targets, more.targets);
    append_all(scope.peers, more.peers);
    append_all(scope.classes, more.classes);
    append_all(scope.rules, more.rules);
    scope.make_sets();
  }
  Entries was, is;
  before.collect(scope, was);
  now.collect(scope, is);
  auto delta = std::make_shared<const std::vector<Change>>(difference(std::move(was), std::move(is)));
  if (known != nullptr) *known = delta;
  return delta;
}

}  // namespace cordon::policy::engine
