#include "policy/capacity.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "policy/plan_words.h"
#include "policy/relations.h"

namespace cordon::policy {
namespace {

using Table = std::vector<PortGrant>;

std::size_t count(const OverlayAddresses& addresses) {
  return std::size_t{!addresses.v4.is_unspecified()} + std::size_t{!addresses.v6.is_unspecified()};
}

void add_grants(NodeNeeds& needs, const Table& table) {
  for (const PortGrant& grant : table)
    ++(grant.port_bits == 0 || grant.port_bits == 16 ? needs.grants : needs.grant_ranges);
}

/// The overlay's own prefixes are in every node's map of targets.
std::size_t overlay_prefixes(const World& world) {
  return count({world.installation.overlay_v4.address, world.installation.overlay_v6.address});
}

class Counter {
 public:
  Counter(const World& world, Timestamp now) : world_(world), relations_(world, now) {
    const auto& groups = relations_.target_groups();
    for (std::uint32_t g = 0; g < groups.size(); ++g) {
      std::size_t addresses = 0;
      for (const Device* member : groups[g].members) addresses += prefixes_of(*member).size();
      target_addresses_.push_back(addresses);
      if (groups[g].observes) observing_.push_back(g);
    }
    for (const Principal& principal : relations_.principals()) {
      group_addresses_[principal.group] += count(principal.addresses());
      all_principals_ += count(principal.addresses());
    }
    for (std::uint32_t g = 0; g < groups.size(); ++g) ingress_.push_back(ingress_of({g}));
  }

  NodeNeeds of(const Device& device) const {
    const std::vector<std::uint32_t> hosted = relations_.hosted_by(device);
    const auto locals = relations_.principals_on(device.id);
    std::optional<Ingress> merged;
    if (hosted.size() > 1) merged = ingress_of(hosted);
    const Ingress& ingress = merged ? *merged : ingress_[hosted.front()];
    const bool observes = std::ranges::any_of(
        hosted, [&](std::uint32_t group) { return relations_.target_groups()[group].observes; });
    NodeNeeds needs = ingress.needs;
    if (observes) needs.principals = all_principals_;
    add_local_principals(needs, device, observes, ingress);
    std::set<std::uint32_t> groups;
    for (const Principal* local : locals) groups.insert(local->group);
    std::set<std::uint32_t> reached;
    if (!device.isolated) reached.insert(observing_.begin(), observing_.end());
    for (const std::uint32_t group : groups)
      for (const auto& link : relations_.principal_group(group).targets) reached.insert(link.group);
    needs.targets = overlay_prefixes(world_);
    const auto add_hosted = [&](const Device& target) {
      if (!reached.contains(relations_.number_of(target))) needs.targets += prefixes_of(target).size();
    };
    add_hosted(device);
    for (const Device* behind : relations_.behind(device.id)) add_hosted(*behind);
    for (const std::uint32_t target : reached) needs.targets += target_addresses_[target];
    add_local_classes(needs, groups, hosted);
    return needs;
  }

 private:
  /// What all nodes that enforce for the same target groups hold alike: who may come in, and by which
  /// classes.
  struct Ingress {
    NodeNeeds needs;
    std::set<std::uint32_t> groups;
  };

  Ingress ingress_of(const std::vector<std::uint32_t>& hosted) const {
    using Content = std::vector<std::pair<std::uint32_t, const Table*>>;  ///< by target group
    std::map<std::uint32_t, Content> sources;                             ///< by principal group
    for (const std::uint32_t target : hosted)
      for (const auto& source : relations_.target_groups()[target].sources)
        sources[source.group].emplace_back(target, source.grants.get());
    const auto key = [](const Content& content) {
      std::vector<std::uint64_t> words;
      for (const auto& [target, table] : content) {
        words.push_back(target);
        words.push_back(table->size());
        for (const PortGrant& g : *table) {
          words.push_back(std::uint64_t{g.protocol} << 32 | std::uint64_t{g.port_bits} << 16 | g.port);
          words.push_back(std::uint64_t{g.value.rule.value} << 32 | g.value.lease_s);
          words.push_back(std::uint64_t{g.value.slot} << 2 | std::uint64_t{g.value.deny} << 1 |
                          std::uint64_t{g.value.responder});
        }
      }
      return words;
    };
    Ingress ingress;
    std::set<std::vector<std::uint64_t>> seen;  // equal contents are one class
    for (const auto& [group, content] : sources) {
      ingress.groups.insert(group);
      ingress.needs.principals += group_addresses_.at(group);
      if (!seen.insert(key(content)).second) continue;
      for (const auto& [target, table] : content) add_grants(ingress.needs, *table);
    }
    return ingress;
  }

  void add_local_principals(NodeNeeds& needs, const Device& device, bool observes,
                            const Ingress& ingress) const {
    if (device.isolated) {
      needs.principals += count(device.addresses);
      for (const Session* session : relations_.sessions_on(device.id))
        needs.principals += count(session->addresses);
      return;
    }
    if (observes) return;  // all are in already
    for (const Principal* local : relations_.principals_on(device.id))
      if (!ingress.groups.contains(local->group)) needs.principals += count(local->addresses());
  }

  void add_local_classes(NodeNeeds& needs, const std::set<std::uint32_t>& groups,
                         const std::vector<std::uint32_t>& hosted) const {
    using Content = std::vector<std::pair<std::uint32_t, const Table*>>;
    std::vector<Content> different;
    for (const std::uint32_t group : groups) {
      Content content;
      for (const auto& link : relations_.principal_group(group).targets)
        content.emplace_back(link.group, link.grants.get());
      const bool repeated = std::ranges::any_of(different, [&](const Content& other) {
        return std::ranges::equal(other, content, [](const auto& a, const auto& b) {
          return a.first == b.first && *a.second == *b.second;
        });
      });
      if (repeated) continue;
      for (const auto& [target, table] : content) {
        add_grants(needs, *table);
        if (std::ranges::binary_search(hosted, target)) add_grants(needs, *table);  // P8: inwards as well
      }
      different.push_back(std::move(content));
    }
  }

  const World& world_;
  const Relations relations_;
  std::vector<std::size_t> target_addresses_;             ///< by target group
  std::map<std::uint32_t, std::size_t> group_addresses_;  ///< by principal group
  std::vector<std::uint32_t> observing_;
  std::size_t all_principals_ = 0;
  std::vector<Ingress> ingress_;  ///< by target group
};

template <class Visit>
void each_node(const World& world, Timestamp now, Visit visit) {
  const Counter counter(world, now);
  for (const auto& [id, device] : world.devices)
    if (device.is_node()) visit(id, counter.of(device));
}

}  // namespace

MapSizes MapSizes::of(const std::map<std::string, std::uint64_t>& told) {
  MapSizes sizes;
  const auto take = [&](const char* name, std::uint32_t& size) {
    const auto it = told.find(name);
    if (it != told.end()) size = static_cast<std::uint32_t>(std::min<std::uint64_t>(it->second, UINT32_MAX));
  };
  take("principals", sizes.principals);
  take("targets", sizes.targets);
  take("grants", sizes.grants);
  take("grant_ranges", sizes.grant_ranges);
  return sizes;
}

std::map<DeviceId, NodeNeeds> node_needs(const World& world, Timestamp now) {
  std::map<DeviceId, NodeNeeds> out;
  each_node(world, now, [&](const DeviceId& id, const NodeNeeds& needs) { out.emplace(id, needs); });
  return out;
}

std::vector<Overflow> overflows(const World& world, const std::map<DeviceId, MapSizes>& told, Timestamp now) {
  std::vector<Overflow> out;
  each_node(world, now, [&](const DeviceId& id, const NodeNeeds& needs) {
    const auto it = told.find(id);
    const MapSizes sizes = it == told.end() ? MapSizes{} : it->second;
    const auto check = [&](const char* map, std::size_t needed, std::size_t holds) {
      if (needed > holds) out.push_back({.node = id, .map = map, .needed = needed, .holds = holds});
    };
    check("principals", needs.principals, sizes.principals);
    check("targets", needs.targets, sizes.targets);
    check("grants", needs.grants, sizes.grants);
    check("grant_ranges", needs.grant_ranges, sizes.grant_ranges);
  });
  std::ranges::stable_sort(
      out, [](const Overflow& a, const Overflow& b) { return a.needed - a.holds > b.needed - b.holds; });
  return out;
}

std::string in_words(const Overflow& overflow) {
  const std::string what = overflow.map == "grant_ranges" ? "grants of port ranges" : overflow.map;
  const std::string_view mend = overflow.map == "principals" ? "let fewer reach it"
                                : overflow.map == "targets"  ? "let those who are on it reach fewer devices"
                                : overflow.map == "grants"
                                    ? "let fewer rules reach it and those who are on it"
                                    : "use whole protocols, single ports or aligned ranges such as 8000-8063";
  return fmt::format("node {}: {} {}, its map holds {}; raise [filter.maps] {} in its node.toml or {}",
                     overflow.node.value, with_commas(overflow.needed), what, with_commas(overflow.holds),
                     overflow.map, mend);
}

World with_policy(World world, PolicyPtr next) {
  world.policy = std::move(next);
  for (const Rule& rule : world.policy->rules)
    if (world.rule_ids.try_emplace(rule.name, RuleId{world.next_rule}).second) ++world.next_rule;
  number_targets(world);
  return world;
}

}  // namespace cordon::policy
