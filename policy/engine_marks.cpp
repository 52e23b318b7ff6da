// Which nodes an advance changed: Changes of policy/engine_update.h.

#include <algorithm>
#include <utility>

#include "policy/engine_update.h"
#include "policy/ordered_set.h"

namespace cordon::policy::engine {
namespace {

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
  alike_.clear();
  of_reach_.clear();
  holds_differ_.clear();
  has_gateways_.clear();
  for (const std::uint32_t device : population_.touched_devices()) mark_device(device);
  make_set(moved_in_groups_);
  for (const std::uint32_t principal : population_.touched_principals()) mark_principal(principal);
  for (const std::uint32_t group : groups_.retargeted())
    for (const std::uint32_t member : groups_.principals(group).members)
      mark(population_.principal(member, When::now).device).own = true;
  // No group changed: so nobody's way to one behind a gateway did.
  if (!touched_groups_.empty())
    for (const std::uint32_t gateway : population_.gateways()) {
      const NodeView node = view(gateway, When::now);
      for (const std::uint32_t group : node.hosted())
        if (groups_.targets(group).moved_in == groups_.epoch()) mark(gateway);
    }

  std::vector<std::uint32_t> out;
  out.reserve(marked_.size());
  for (const std::uint32_t device : marked_) {
    if (!population_.is_node(device, When::now)) continue;
    if (population_.is_gateway(device)) {
      if (!of(device)->empty()) out.push_back(device);
      continue;
    }
    const std::uint32_t group = population_.device(device, When::now).group;
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
  // What is behind a gateway has no node: the gateway's is concerned, and is the peer.
  const bool is_behind = now.gateway != kNone;
  mark(is_behind ? now.gateway : number).own = true;
  const bool same_peer = is_behind ? same_keys(population_.device(now.gateway, When::before),
                                               population_.device(now.gateway, When::now))
                                   : same_as_peer(before, now);
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
    if (record.group != kNone && record.gateway == kNone && !record.isolated) reaching(device);
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
    if ((!some_marked || !is_marked(member)) && population_.is_node(member, When::now)) out.push_back(member);
}

/// The classes by which targets know what the principal holds, the node's own last: of them its own class is
/// made.
std::vector<ClassId> Changes::holds(std::uint32_t principal_group, std::uint32_t own, When when) const {
  std::vector<ClassId> out;
  if (principal_group == kNone) return out;
  const PrincipalGroup& group = groups_.principals(principal_group);
  for (const auto& [number, link] : group.targets)
    if (groups_.exists(groups_.targets(number), when)) out.push_back(link->ingress);
  std::ranges::sort(out);
  const Link* at_home = group.find(own);
  out.push_back(at_home == nullptr ? ClassId{0} : at_home->ingress);
  if (out.size() == 1) out.clear();  // nothing is held
  return out;
}

bool Changes::holds_differ(std::uint32_t was, std::uint32_t was_own, std::uint32_t is,
                           std::uint32_t is_own) const {
  const auto [it, fresh] = holds_differ_.try_emplace({was, was_own, is, is_own});
  if (fresh) it->second = holds(was, was_own, When::before) != holds(is, is_own, When::now);
  return it->second;
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
              holds_differ(a.group, was.group, b.group, is.group);
  };
  population_.each_principal_on(device, When::before, compare);
  population_.each_principal_on(device, When::now, compare);
  return differs;
}

}  // namespace cordon::policy::engine
