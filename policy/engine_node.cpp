#include "policy/engine_node.h"

#include <algorithm>

#include "policy/grant_class.h"
#include "policy/ordered_set.h"

namespace cordon::policy::engine {
namespace {

template <class Visit>
void each_address(const OverlayAddresses& addresses, Visit visit) {
  for (const Address* address : {&addresses.v4, &addresses.v6})
    if (!address->is_unspecified()) visit(*address);
}

}  // namespace

void Scope::make_sets() {
  make_set(principals);
  make_set(targets);
  make_set(peers);
  make_set(classes);
  make_set(rules);
}

bool Scope::names(std::uint32_t device, const std::vector<std::uint32_t>& principals_on_it) const {
  return std::ranges::binary_search(targets, device) || std::ranges::binary_search(peers, device) ||
         std::ranges::any_of(principals_on_it, [&](std::uint32_t principal) {
           return std::ranges::binary_search(principals, principal);
         });
}

NodeView::NodeView(const World& world, const RuleBook& rules, const GroupBook& groups,
                   const Population& population, std::uint32_t device, When when)
    : world_(world),
      rules_(rules),
      groups_(groups),
      population_(population),
      device_(device),
      when_(when),
      record_(population.device(device, when)),
      is_gateway_(population.is_gateway(device)) {
  if (!is_gateway_) return;
  if (record_.group != kNone) hosted_.push_back(record_.group);
  for (const std::uint32_t behind : population.behind(device))
    if (const std::uint32_t group = population.device(behind, when).group; group != kNone)
      hosted_.push_back(group);
  make_set(hosted_);
}

bool NodeView::reaches(std::uint32_t target_group) const {
  if (reach_) return std::ranges::binary_search(*reach_, target_group);
  const TargetGroup& target = groups_.targets(target_group);
  if (!groups_.exists(target, when_)) return false;
  if (target.observes && active() && !record_.isolated) return true;
  bool found = false;
  population_.each_principal_on(device_, when_, [&](std::uint32_t number) {
    const PrincipalRecord& principal = population_.principal(number, when_);
    found = found || (principal.group != kNone && groups_.principals(principal.group).find(target_group));
  });
  return found;
}

std::vector<std::uint32_t> NodeView::reach() const {
  std::vector<std::uint32_t> out;
  if (!active()) return out;
  population_.each_principal_on(device_, when_, [&](std::uint32_t number) {
    const PrincipalRecord& principal = population_.principal(number, when_);
    if (principal.group == kNone) return;
    for (const auto& [group, link] : groups_.principals(principal.group).targets) out.push_back(group);
  });
  if (!record_.isolated) out.insert(out.end(), groups_.observing().begin(), groups_.observing().end());
  std::erase_if(out, [&](std::uint32_t group) { return !groups_.exists(groups_.targets(group), when_); });
  make_set(out);
  return out;
}

const LocalClass* NodeView::local_class(std::uint32_t number) const {
  const PrincipalRecord& principal = population_.principal(number, when_);
  if (!principal.there || principal.group == kNone) return nullptr;
  const PrincipalGroup& group = groups_.principals(principal.group);
  if (!is_gateway_)
    return &groups_.local_class(group, hosted().first(group.find(record_.group) ? 1 : 0), when_);
  std::vector<std::uint32_t> own = hosted_;
  std::erase_if(own, [&](std::uint32_t hosted) { return group.find(hosted) == nullptr; });
  return &groups_.local_class(group, own, when_);
}

std::vector<const LocalClass*> NodeView::local_classes() const {
  std::vector<const LocalClass*> out;
  population_.each_principal_on(device_, when_, [&](std::uint32_t number) {
    const LocalClass* found = local_class(number);
    if (found != nullptr && std::ranges::find(out, found) == out.end()) out.push_back(found);
  });
  return out;
}

bool NodeView::lets_in(const PrincipalRecord& principal) const {
  if (!principal.there) return false;
  if (observes()) return true;
  if (principal.group == kNone) return false;
  const PrincipalGroup& from = groups_.principals(principal.group);
  return std::ranges::any_of(hosted(), [&](std::uint32_t group) { return from.find(group) != nullptr; });
}

bool NodeView::observes() const {
  return std::ranges::any_of(hosted(), [&](std::uint32_t group) { return groups_.targets(group).observes; });
}

NodeView::Ingress NodeView::ingress_of(const PrincipalGroup& from) const {
  if (!is_gateway_) {
    const Link* link = from.find(record_.group);
    return link == nullptr ? Ingress{} : Ingress{link->ingress, link->grants};
  }
  std::vector<const Link*> links;
  for (const std::uint32_t group : hosted_)
    if (const Link* link = from.find(group); link != nullptr) links.push_back(link);
  if (links.empty()) return {};
  if (links.size() == 1) return {links.front()->ingress, links.front()->grants};
  const auto [it, fresh] = merged_.try_emplace(std::move(links));
  if (!fresh) return it->second;
  ClassGrants grants;
  for (const std::uint32_t group : hosted_)
    if (const Link* link = from.find(group); link != nullptr)
      append_grants(grants, Direction::ingress, groups_.targets(group).id, link->table);
  it->second.id = name_class(grants);
  it->second.grants = std::make_shared<const ClassGrants>(std::move(grants));
  return it->second;
}

std::optional<TargetValue> NodeView::as_target(std::uint32_t device) const {
  const DeviceRecord& target = population_.device(device, when_);
  const bool own = device == device_ || target.gateway == device_;
  if (target.group == kNone || (!own && !reaches(target.group))) return std::nullopt;
  const TargetGroup& group = groups_.targets(target.group);
  return TargetValue{.id = group.id, .observe = group.observes};
}

template <class Visit>
void NodeView::each_source(Visit visit) const {
  for (const std::uint32_t group : hosted())
    for (const auto& [number, link] : groups_.targets(group).sources) {
      const PrincipalGroup& source = groups_.principals(number);
      if (!link->table.empty() && groups_.exists(source, when_)) visit(source, *link);
    }
}

void NodeView::add_sources(Scope& scope) const {
  const auto add = [&](std::uint32_t number) {
    scope.principals.push_back(number);
    scope.peers.push_back(population_.principal(number, When::now).device);
  };
  if (observes()) {
    for (std::uint32_t device = 0; device < population_.device_count(); ++device)
      population_.each_principal_on(device, When::now, add);
    return;
  }
  each_source([&](const PrincipalGroup& source, const Link&) {
    for (const std::uint32_t member : source.members) add(member);
  });
}

std::vector<RuleId> NodeView::rules(bool whole_group) const {
  std::vector<RuleId> out;
  if (!active()) return out;
  for (const LocalClass* held : local_classes())
    out.insert(out.end(), held->rules.begin(), held->rules.end());
  if (whole_group)
    each_source([&](const PrincipalGroup&, const Link& link) {
      out.insert(out.end(), link.rules.begin(), link.rules.end());
    });
  make_set(out);
  return out;
}

void NodeView::add_everything(Scope& scope) const {
  scope.own = scope.held = true;
  scope.whole_group = true;
  if (!active()) return;
  for (const std::uint32_t number : reach()) {
    const auto& members = groups_.targets(number).members;
    scope.targets.insert(scope.targets.end(), members.begin(), members.end());
    scope.peers.insert(scope.peers.end(), members.begin(), members.end());
  }
  add_sources(scope);
  scope.rules = rules(true);
}

void NodeView::collect(const Scope& scope, Entries& out) const {
  if (!active()) return;
  constexpr std::size_t kMany = 16;
  if (scope.targets.size() + scope.peers.size() > kMany) reach_ = reach();
  // Entries are large, and moving them whenever there is no room would cost as much as making them.
  out.plain.reserve(2 * (scope.principals.size() + scope.targets.size()) + scope.peers.size() +
                    scope.rules.size() + (scope.own ? kMany : 0) +
                    (scope.whole_group ? group().guards.size() : 0));
  if (scope.own) collect_own(out);
  if (scope.held)
    for (const LocalClass* held : local_classes())
      if (held->grants) out.classes.push_back(held->grants);
  for (const std::uint32_t principal : scope.principals) collect_principal(principal, out);
  for (const std::uint32_t device : scope.targets) collect_target(device, out);
  for (const std::uint32_t device : scope.peers) collect_peer(device, out);
  for (const ClassId class_id : scope.classes) collect_ingress_class(class_id, out);
  for (const RuleId rule : scope.rules) collect_rule(rule, out);
  if (!scope.whole_group) return;
  for (const auto& [key, value] : group().guards) out.plain.emplace_back(key, value);
  each_source([&](const PrincipalGroup& source, const Link& link) {
    out.classes.push_back(is_gateway_ ? ingress_of(source).grants : link.grants);
  });
}

void NodeView::collect_own(Entries& out) const {
  const Installation& installation = world_.installation;
  out.plain.emplace_back(SettingsKey{}, SettingsValue{.device = record_.id,
                                                      .isolated = record_.isolated,
                                                      .node_lease = installation.node_lease,
                                                      .v4 = record_.addresses.v4,
                                                      .v6 = record_.addresses.v6,
                                                      .overlay_v4 = installation.overlay_v4,
                                                      .overlay_v6 = installation.overlay_v6,
                                                      .underlay = group().underlay});
  collect_target(device_, out);
  for (const std::uint32_t behind : population_.behind(device_)) collect_target(behind, out);
  population_.each_principal_on(device_, when_, [&](std::uint32_t number) {
    const PrincipalRecord& principal = population_.principal(number, when_);
    const bool device_itself = principal.session == nullptr;
    if (!device_itself && !principal.live) return;
    if (!device_itself)
      out.plain.emplace_back(LocalSessionKey{principal.session->id},
                             LocalSessionValue{.user = principal.session->user_name,
                                               .uid = principal.uid,
                                               .v4 = principal.addresses.v4,
                                               .v6 = principal.addresses.v6,
                                               .ends_at = principal.ends_at});
    const PrincipalValue value = own_principal(number);
    const OverlayAddresses& addresses = device_itself ? record_.addresses : principal.addresses;
    each_address(addresses,
                 [&](const Address& address) { out.plain.emplace_back(PrincipalKey{address}, value); });
  });
}

PrincipalValue NodeView::own_principal(std::uint32_t number) const {
  const PrincipalRecord& principal = population_.principal(number, when_);
  PrincipalValue value{.class_id = ClassId{0},
                       .isolated = record_.isolated,
                       .uid = principal.uid,
                       .check_owner = principal.session != nullptr};
  if (!principal.there) return value;
  value.deadlines = principal.deadlines;
  if (const LocalClass* held = local_class(number)) value.class_id = held->id;
  return value;
}

void NodeView::collect_principal(std::uint32_t number, Entries& out) const {
  const PrincipalRecord& principal = population_.principal(number, when_);
  if (principal.device == device_ || !lets_in(principal)) return;
  PrincipalValue value{.class_id = ClassId{0}, .deadlines = principal.deadlines};
  if (principal.group != kNone) value.class_id = ingress_of(groups_.principals(principal.group)).id;
  each_address(principal.addresses,
               [&](const Address& address) { out.plain.emplace_back(PrincipalKey{address}, value); });
}

void NodeView::collect_target(std::uint32_t device, Entries& out) const {
  const auto value = as_target(device);
  if (!value) return;
  const DeviceRecord& target = population_.device(device, when_);
  if (target.gateway != kNone)
    for (const Prefix& prefix : target.in_world->prefixes) out.plain.emplace_back(TargetKey{prefix}, *value);
  each_address(target.addresses, [&](const Address& address) {
    out.plain.emplace_back(TargetKey{Prefix::host(address)}, *value);
  });
}

void NodeView::collect_peer(std::uint32_t device, Entries& out) const {
  if (device == kNone) return;
  if (const std::uint32_t gateway = population_.device(device, When::now).gateway; gateway != kNone)
    device = gateway;
  if (device == device_) return;
  const DeviceRecord& peer = population_.device(device, when_);
  if (peer.group == kNone) return;
  PeerValue value{.public_key = peer.wireguard_key, .allowed_ips = {}, .next_key = peer.next_wireguard_key};
  const auto allow = [&](const OverlayAddresses& addresses) {
    each_address(addresses, [&](const Address& a) { value.allowed_ips.push_back(Prefix::host(a)); });
  };
  bool needed = reaches(peer.group);
  if (needed) allow(peer.addresses);
  for (const std::uint32_t number : population_.behind(device)) {
    const DeviceRecord& behind = population_.device(number, when_);
    if (behind.group == kNone || !reaches(behind.group)) continue;
    needed = true;
    const std::vector<Prefix>& prefixes = behind.in_world->prefixes;
    value.allowed_ips.insert(value.allowed_ips.end(), prefixes.begin(), prefixes.end());
  }
  population_.each_principal_on(device, when_, [&](std::uint32_t number) {
    const PrincipalRecord& principal = population_.principal(number, when_);
    if (!lets_in(principal)) return;
    needed = true;
    allow(principal.addresses);
  });
  if (!needed) return;
  std::ranges::sort(value.allowed_ips);
  const auto repeated = std::ranges::unique(value.allowed_ips);
  value.allowed_ips.erase(repeated.begin(), repeated.end());
  out.plain.emplace_back(PeerKey{peer.id}, std::move(value));
}

void NodeView::collect_ingress_class(const ClassId& class_id, Entries& out) const {
  if (!group().classes.contains(class_id, when_, groups_.epoch())) return;
  // Named by content: any link of that name tells it.
  for (const auto& [pattern, link] : group().links)
    if (link.ingress == class_id) return out.classes.push_back(link.grants);
}

void NodeView::collect_rule(const RuleId& rule, Entries& out) const {
  const std::string* name = rules_.name_of(rule);
  if (name == nullptr) return;
  const auto names = [&](std::uint32_t group) {
    return groups_.targets(group).rules.contains(rule, when_, groups_.epoch());
  };
  const bool named = std::ranges::any_of(hosted(), names) ||
                     std::ranges::any_of(local_classes(), [&](const LocalClass* held) {
                       return std::ranges::binary_search(held->rules, rule);
                     });
  if (named) out.plain.emplace_back(RuleKey{rule}, RuleValue{.name = *name});
}

}  // namespace cordon::policy::engine
