#pragma once
// Does every node's share of a policy fit into its maps (I11), and beside what they hold (I10)?

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "policy/needs.h"
#include "policy/world.h"

namespace cordon::policy {

/// What a node said that its maps hold; the defaults are those of node.toml.
struct MapSizes {
  std::uint32_t principals = 1u << 20;
  std::uint32_t targets = 1u << 16;
  std::uint32_t grants = 1u << 21;
  std::uint32_t grant_ranges = 1u << 16;
  std::uint32_t rule_counters = 1u << 14;
  /// By the maps' names, as nodes tell them; what isn't told keeps its default.
  static MapSizes of(const std::map<std::string, std::uint64_t>& told);
};

/// Of every active device's node (needs.h).
std::map<DeviceId, NodeNeeds> node_needs(const World& world, Timestamp now);

struct Overflow {
  DeviceId node;
  std::string map;  ///< "targets"
  std::size_t needed = 0;
  std::size_t holds = 0;
};

/// What doesn't fit, the worst first.
struct Fit {
  std::vector<Overflow> never;    ///< by itself: to be refused
  std::vector<Overflow> turning;  ///< only beside what the node holds: while it is written, flows are dropped
};

/// How the states of `next` fit into nodes that hold those of `held`, another policy of the same world, and
/// which said that their maps have these sizes. Nodes that are not in `told` have the defaults.
Fit fit(const World& held, const World& next, const std::map<DeviceId, MapSizes>& told, Timestamp now);

/// "node ledger: 70,000 targets, its map holds 65,536; raise ..."
std::string in_words(const Overflow& overflow);
/// "node ledger: while it turns, 70,000 grants stand beside each other, its map holds 65,536: ..."
std::string turning_in_words(const Overflow& overflow);

/// The world as it will be once `next` is in force.
World with_policy(World world, PolicyPtr next);

}  // namespace cordon::policy
