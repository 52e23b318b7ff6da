#include "policy/capacity.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "policy/needs.h"
#include "policy/plan_words.h"

namespace cordon::policy {
namespace {

struct MapOfNode {
  const char* name;
  std::string_view what;  ///< it holds
  std::string_view mend;  ///< beside raising its size
  std::size_t NodeNeeds::* needs;
  std::uint32_t MapSizes::* size;
  bool turns;  ///< what a flow stands on is in it: what comes needs room beside what goes
};
constexpr std::array kMapsOfNode{
    MapOfNode{"principals", "principals", "let fewer reach it", &NodeNeeds::principals, &MapSizes::principals,
              true},
    MapOfNode{"targets", "targets", "let those who are on it reach fewer devices", &NodeNeeds::targets,
              &MapSizes::targets, true},
    MapOfNode{"grants", "grants", "let fewer rules reach it and those who are on it", &NodeNeeds::grants,
              &MapSizes::grants, true},
    MapOfNode{"grant_ranges", "grants of port ranges",
              "use whole protocols, single ports or aligned ranges such as 8000-8063",
              &NodeNeeds::grant_ranges, &MapSizes::grant_ranges, true},
    MapOfNode{"rule_counters", "rules that count", "let fewer rules reach it and those who are on it",
              &NodeNeeds::rule_counters, &MapSizes::rule_counters, false},
};

const MapOfNode& map_named(const std::string& name) {
  return *std::ranges::find(kMapsOfNode, name, &MapOfNode::name);
}

std::vector<Overflow> over_capacity(const DeviceId& node, const NodeNeeds& needs, const MapSizes& sizes) {
  std::vector<Overflow> out;
  for (const MapOfNode& map : kMapsOfNode)
    if (const std::size_t needed = needs.*map.needs, holds = sizes.*map.size; needed > holds)
      out.push_back({.node = node, .map = map.name, .needed = needed, .holds = holds});
  return out;
}

void sort_worst_first(std::vector<Overflow>& all) {
  std::ranges::stable_sort(
      all, [](const Overflow& a, const Overflow& b) { return a.needed - a.holds > b.needed - b.holds; });
}

}  // namespace

MapSizes MapSizes::of(const std::map<std::string, std::uint64_t>& told) {
  MapSizes sizes;
  for (const MapOfNode& map : kMapsOfNode)
    if (const auto it = told.find(map.name); it != told.end())
      sizes.*map.size = static_cast<std::uint32_t>(std::min<std::uint64_t>(it->second, UINT32_MAX));
  return sizes;
}

std::map<DeviceId, NodeNeeds> node_needs(const World& world, Timestamp now) {
  const Relations relations(world, now);
  Needs needs(world, relations);
  std::map<DeviceId, NodeNeeds> out;
  for (const auto& [id, device] : world.devices)
    if (device.is_node()) out.emplace(id, needs.of(device));
  return out;
}

Fit fit(const World& held, const World& next, const std::map<DeviceId, MapSizes>& told, Timestamp now) {
  const Relations before(held, now), after(next, now);
  Needs both(next, after, &before);
  std::optional<Needs> alone;  // few nodes need a second look
  Fit out;
  for (const auto& [id, device] : next.devices) {
    if (!device.is_node()) continue;
    const auto it = told.find(id);
    const MapSizes sizes = it == told.end() ? MapSizes{} : it->second;
    const auto turning = over_capacity(id, both.of(device), sizes);
    if (turning.empty()) continue;
    if (!alone) alone.emplace(next, after);
    const auto never = over_capacity(id, alone->of(device), sizes);
    out.never.insert(out.never.end(), never.begin(), never.end());
    for (const Overflow& overflow : turning)
      if (map_named(overflow.map).turns &&
          std::ranges::find(never, overflow.map, &Overflow::map) == never.end())
        out.turning.push_back(overflow);
  }
  sort_worst_first(out.never);
  sort_worst_first(out.turning);
  return out;
}

std::string in_words(const Overflow& overflow) {
  const MapOfNode& map = map_named(overflow.map);
  return fmt::format("node {}: {} {}, its map holds {}; raise [filter.maps] {} in its node.toml or {}",
                     overflow.node.value, with_commas(overflow.needed), map.what, with_commas(overflow.holds),
                     overflow.map, map.mend);
}

std::string turning_in_words(const Overflow& overflow) {
  return fmt::format(
      "node {}: while it turns, {} {} stand beside each other, its map holds {}: flows are dropped for some "
      "milliseconds; set {} = {} in [filter.maps] of its node.toml",
      overflow.node.value, with_commas(overflow.needed), map_named(overflow.map).what,
      with_commas(overflow.holds), overflow.map, overflow.needed);
}

World with_policy(World world, PolicyPtr next) {
  world.policy = std::move(next);
  for (const Rule& rule : world.policy->rules)
    if (world.rule_ids.try_emplace(rule.name, RuleId{world.next_rule}).second) ++world.next_rule;
  number_targets(world);
  return world;
}

}  // namespace cordon::policy
