#pragma once
// How many entries each node needs, counted by groups that nodes share: no node's state is made.

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "policy/relations.h"

namespace cordon::policy {

/// Entries that a node needs.
struct NodeNeeds {
  std::size_t principals = 0, targets = 0, grants = 0, grant_ranges = 0;
  std::size_t rule_counters = 0;  ///< rules that let something through
  bool operator==(const NodeNeeds&) const = default;
};

/// Of one state, or of two that stand beside each other: what is in both counts once.
class Needs {
 public:
  /// Everything outlives this. The worlds that `before` and `after` are made of differ by their policies and
  /// by the numbers that those have.
  explicit Needs(const World& world, const Relations& after, const Relations* before = nullptr);

  /// Of an active device's node, with what is behind it. Never too few; a class that only principals of this
  /// very node would be in is counted although the node doesn't get it.
  NodeNeeds of(const Device& device);

 private:
  using Table = std::vector<PortGrant>;
  using Numbers = std::vector<std::uint32_t>;
  static constexpr std::size_t kMostSides = 2;
  using Sides = std::array<std::uint32_t, kMostSides>;  ///< a group of each state

  /// Devices that are in the same group of targets in each of the states.
  struct Target {
    Sides group{};
    bool observes = false;
    std::size_t addresses = 0;
    Numbers sources;             ///< of principals that reach it
    std::size_t principals = 0;  ///< their addresses
    Numbers classes;             ///< that its nodes know them by
    std::vector<RuleId> rules;   ///< that those let through by
  };
  /// Principals that are in the same group in each of the states.
  struct Source {
    Sides group{};
    std::size_t addresses = 0;
    Numbers reached;  ///< targets
  };
  /// What a class holds, whatever its name is.
  struct ClassRow {
    Direction direction = Direction::ingress;
    TargetId target;
    std::uint32_t table = 0;
    auto operator<=>(const ClassRow&) const = default;
  };
  struct Class {
    std::size_t grants = 0, grant_ranges = 0;
    std::vector<RuleId> rules;
  };

  void add_targets();
  void add_sources();
  void link();
  Sides groups_of(const Device& target) const;
  Sides groups_of_principal(std::size_t place) const;
  std::uint32_t table_number(const Table& table);
  std::uint32_t class_number(std::vector<ClassRow> rows);
  std::uint32_t local_class(std::size_t side, std::uint32_t group, const Numbers& own);
  Numbers hosted_by(const Device& node) const;
  Target merged(const Numbers& hosted);
  void add_class(NodeNeeds& needs, std::uint32_t number) const;
  Numbers sources_on(const Device& device) const;

  const World& world_;
  std::vector<const Relations*> sides_;
  std::vector<Target> targets_;
  std::vector<Source> sources_;
  std::map<Sides, std::uint32_t> target_numbers_, source_numbers_;
  Numbers observing_;
  std::size_t all_principals_ = 0;  ///< addresses

  std::map<std::vector<std::uint64_t>, std::uint32_t> tables_;
  std::vector<const Table*> table_by_number_;
  std::unordered_map<const Table*, std::uint32_t> table_numbers_;
  std::map<std::vector<ClassRow>, std::uint32_t> class_numbers_;
  std::vector<Class> classes_;
  /// By side, group of principals and the node's own group of targets, or none.
  std::map<std::array<std::uint32_t, 3>, std::uint32_t> local_classes_;
};

}  // namespace cordon::policy
