#pragma once
// Does every node's share of a policy fit into its maps (I11)? Counted by groups that nodes share, without
// making any node's state.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "policy/world.h"

namespace cordon::policy {

/// What a node said that its maps hold; the defaults are those of node.toml.
struct MapSizes {
  std::uint32_t principals = 1u << 20;
  std::uint32_t targets = 1u << 16;
  std::uint32_t grants = 1u << 21;
  std::uint32_t grant_ranges = 1u << 16;
  /// By the maps' names, as nodes tell them; what isn't told keeps its default.
  static MapSizes of(const std::map<std::string, std::uint64_t>& told);
};

/// Entries that a node needs.
struct NodeNeeds {
  std::size_t principals = 0, targets = 0, grants = 0, grant_ranges = 0;
  bool operator==(const NodeNeeds&) const = default;
};

/// Of every active device's node. Never too few; a class that only principals of this very node would be in
/// is counted although the node doesn't get it.
std::map<DeviceId, NodeNeeds> node_needs(const World& world, Timestamp now);

struct Overflow {
  DeviceId node;
  std::string map;  ///< "targets"
  std::size_t needed = 0;
  std::size_t holds = 0;
};
/// What doesn't fit, the worst first. Nodes that are not in `sizes` have the defaults.
std::vector<Overflow> overflows(const World& world, const std::map<DeviceId, MapSizes>& sizes, Timestamp now);

/// "node ledger: 70,000 targets, its map holds 65,536; raise ..."
std::string in_words(const Overflow& overflow);

/// The world as it will be once `next` is in force.
World with_policy(World world, PolicyPtr next);

}  // namespace cordon::policy
