#include "policy/compile.h"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "policy/grant_class.h"
#include "policy/guard_ports.h"
#include "policy/relations.h"

namespace cordon::policy {
namespace {

/// Makes one node's state.
class NodeBuilder {
 public:
  NodeBuilder(const World& world, const Relations& relations, const Device& self)
      : world_(world),
        relations_(relations),
        self_(self),
        as_target_(relations.group_of(self)),
        hosted_(relations.hosted_by(self)) {}

  NodeState build() {
    add_settings();
    add_target(self_, as_target_);
    for (const Device* device : relations_.behind(self_.id))
      add_target(*device, relations_.group_of(*device));
    add_local_principals();
    add_remote_principals();
    add_observed();
    add_peers();
    add_rule_names();
    return std::move(state_);
  }

 private:
  void put(Key key, Value value) { state_.entries.insert_or_assign(std::move(key), std::move(value)); }

  void add_settings() {
    put(SettingsKey{},
        SettingsValue{.device = self_.id,
                      .isolated = self_.isolated,
                      .node_lease = world_.installation.node_lease,
                      .v4 = self_.addresses.v4,
                      .v6 = self_.addresses.v6,
                      .overlay_v4 = world_.installation.overlay_v4,
                      .overlay_v6 = world_.installation.overlay_v6,
                      .underlay = strictest_underlay(relations_.selectors(), as_target_.segments)});
    for (const auto& [key, value] : guard_ports(relations_.selectors(), as_target_.segments)) put(key, value);
    for (const Session* session : relations_.sessions_on(self_.id))
      put(LocalSessionKey{session->id}, LocalSessionValue{.user = world_.users.at(session->user).name,
                                                          .uid = session->uid,
                                                          .v4 = session->addresses.v4,
                                                          .v6 = session->addresses.v6,
                                                          .ends_at = session->ends_at});
  }

  void add_target(const Device& target, const Relations::TargetGroup& group) {
    for (const Prefix& prefix : prefixes_of(target))
      put(TargetKey{prefix}, TargetValue{.id = group.id, .observe = group.observes});
  }

  void add_principal(const OverlayAddresses& addresses, const PrincipalValue& value) {
    for (const Address& address : {addresses.v4, addresses.v6})
      if (!address.is_unspecified()) put(PrincipalKey{address}, value);
  }

  static PrincipalValue value_of(const Principal& principal, ClassId class_id) {
    return {.class_id = class_id, .deadlines = principal.deadlines};
  }

  /// Names the class and writes its grants.
  ClassId add_class(ClassGrants grants) {
    const ClassId id = name_class(grants);
    for (const auto& [key, value] : grants) {
      rules_.insert(value.rule);
      put(key, value);
    }
    return id;
  }

  /// This device and the sessions on it: known here whether or not they hold anything, so that a denial says
  /// why.
  void add_local_principals() {
    if (self_.isolated) {
      add_principal(self_.addresses, {.class_id = ClassId{0}, .isolated = true});
      for (const Session* session : relations_.sessions_on(self_.id))
        add_principal(session->addresses,
                      {.class_id = ClassId{0}, .isolated = true, .uid = session->uid, .check_owner = true});
      return;
    }
    std::map<std::uint32_t, ClassId> classes;
    for (const Principal* principal : relations_.principals_on(self_.id)) {
      const auto [it, fresh] = classes.try_emplace(principal->group);
      if (fresh) it->second = add_local_class(relations_.group_of(*principal));
      PrincipalValue value = value_of(*principal, it->second);
      if (principal->session) {
        value.uid = principal->session->uid;
        value.check_owner = true;
      }
      add_principal(principal->addresses(), value);
    }
  }

  ClassId add_local_class(const Relations::PrincipalGroup& group) {
    ClassGrants grants;
    for (const auto& [number, ports] : group.targets) {
      const auto& to = relations_.target_groups()[number];
      append_grants(grants, Direction::egress, to.id, *ports);
      // P8: a target for its own principals too, with what is behind it.
      if (std::ranges::binary_search(hosted_, number))
        append_grants(grants, Direction::ingress, to.id, *ports);
      add_members(to);
    }
    return add_class(std::move(grants));
  }

  void add_members(const Relations::TargetGroup& group) {
    for (const Device* target : group.members) {
      add_target(*target, group);
      const Device& node = target->is_behind() ? world_.devices.at(target->gateway) : *target;
      if (&node == &self_) continue;
      std::vector<Prefix>& allowed = peers_[&node];
      for (const Prefix& prefix : prefixes_of(*target)) allowed.push_back(prefix);
    }
  }

  /// Principals that may reach this device or what is behind it.
  void add_remote_principals() {
    std::map<std::uint32_t, ClassGrants> by_source;  ///< by principal group
    for (const std::uint32_t number : hosted_) {
      const auto& to = relations_.target_groups()[number];
      for (const auto& [group, ports] : to.sources)
        append_grants(by_source[group], Direction::ingress, to.id, *ports);
    }
    for (auto& [group, grants] : by_source) {
      const ClassId class_id = add_class(std::move(grants));
      for (const std::uint32_t member : relations_.principal_group(group).members) {
        const Principal& principal = relations_.principals()[member];
        if (principal.device == &self_) continue;
        add_principal(principal.addresses(), value_of(principal, class_id));
        need(*principal.device, principal.addresses());
      }
    }
  }

  /// P9, I6: a target that observes and every node that may try it know each other, grants or not.
  void add_observed() {
    if (self_.isolated) return;
    for (const auto& group : relations_.target_groups())
      if (group.observes) add_members(group);
    const bool observes = std::ranges::any_of(
        hosted_, [&](std::uint32_t number) { return relations_.target_groups()[number].observes; });
    if (!observes) return;
    for (const Principal& principal : relations_.principals()) {
      if (principal.device == &self_) continue;
      const PrincipalValue value = value_of(principal, ClassId{0});
      for (const Address& address : {principal.addresses().v4, principal.addresses().v6})
        if (!address.is_unspecified()) state_.entries.try_emplace(PrincipalKey{address}, value);
      need(*principal.device, principal.addresses());
    }
  }

  /// Traffic with `device` uses these of its addresses.
  void need(const Device& device, const OverlayAddresses& addresses) {
    std::vector<Prefix>& allowed = peers_[&device];
    for (const Address& address : {addresses.v4, addresses.v6})
      if (!address.is_unspecified()) allowed.push_back(Prefix::host(address));
  }

  void add_peers() {
    for (auto& [device, allowed] : peers_) {
      std::ranges::sort(allowed);
      const auto repeated = std::ranges::unique(allowed);
      allowed.erase(repeated.begin(), repeated.end());
      put(PeerKey{device->id}, PeerValue{.public_key = device->wireguard_key,
                                         .allowed_ips = std::move(allowed),
                                         .next_key = device->next_wireguard_key});
    }
  }

  void add_rule_names() {
    if (rules_.empty()) return;
    for (const Rule& rule : relations_.selectors().policy().rules)
      if (const auto id = world_.rule_ids.find(rule.name);
          id != world_.rule_ids.end() && rules_.contains(id->second))
        put(RuleKey{id->second}, RuleValue{.name = rule.name});
  }

  const World& world_;
  const Relations& relations_;
  const Device& self_;
  const Relations::TargetGroup& as_target_;
  const std::vector<std::uint32_t> hosted_;  ///< target groups: its own and those of what is behind it
  NodeState state_;
  std::unordered_map<const Device*, std::vector<Prefix>> peers_;  ///< with addresses that may repeat
  std::unordered_set<RuleId> rules_;
};

}  // namespace

std::map<DeviceId, NodeState> compile(const World& world, Timestamp now) {
  const Relations relations(world, now);
  std::map<DeviceId, NodeState> states;
  for (const auto& [id, device] : world.devices)
    if (device.is_node())
      states.emplace_hint(states.end(), id, NodeBuilder(world, relations, device).build());
  return states;
}

NodeState compile_node(const World& world, const DeviceId& device, Timestamp now) {
  const auto it = world.devices.find(device);
  if (it == world.devices.end() || !it->second.is_node()) return {};
  const Relations relations(world, now);
  return NodeBuilder(world, relations, it->second).build();
}

Timestamp next_change_at(const World& world, Timestamp now) {
  return Relations(world, now).changes_at();
}

}  // namespace cordon::policy
