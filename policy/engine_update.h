#pragma once
// What an advance changed: which nodes, and at each of them what.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "policy/engine_node.h"

namespace cordon::policy::engine {

class Changes {
 public:
  Changes(const World& world, const RuleBook& rules, GroupBook& groups, const Population& population)
      : world_(world), rules_(rules), groups_(groups), population_(population) {}

  using Delta = std::shared_ptr<const NodeDelta>;

  /// After everything has settled: the nodes whose state is another now.
  std::vector<std::uint32_t> find();
  Delta of(std::uint32_t device) const;
  NodeView view(std::uint32_t device, When when) const {
    return {world_, rules_, groups_, population_, device, when};
  }

 private:
  struct Mark {
    std::uint64_t epoch = 0;
    bool own = false;   ///< its own part may have changed
    bool sure = false;  ///< what others are to it has, if its own part hasn't
  };
  /// What one target group's members have in common.
  struct Shared {
    Scope scope;
    std::vector<std::uint32_t> peers_in;  ///< target groups of the peers concerned
    /// Once somebody asked; by the principal groups on the node, none when they make no difference.
    std::map<std::vector<std::uint32_t>, Delta> deltas;
  };
  /// What nodes are told beside their own part that stay in their target group and whose principals were and
  /// are in the same groups.
  struct Alike {
    Scope scope;                               ///< what of others may be another
    std::vector<SharedChanges> of_reach;       ///< what else is
    std::shared_ptr<const CommonChanges> all;  ///< null until a node asked whom the scope doesn't name
  };
  struct NumbersHash {
    std::size_t operator()(const std::vector<std::uint32_t>& numbers) const {
      std::uint64_t hash = 0x9e3779b97f4a7c15;
      for (const std::uint32_t number : numbers)
        hash = (hash ^ number) * 0xff51afd7ed558ccd, hash ^= hash >> 32;
      return hash;
    }
  };
  Mark& mark(std::uint32_t device);
  void mark_principal(std::uint32_t principal);
  void mark_here(std::uint32_t target_group, std::uint32_t principal);
  void add_members(std::uint32_t target_group, std::vector<std::uint32_t>& out) const;
  bool is_marked(std::uint32_t device) const {
    return device < marks_.size() && marks_[device].epoch == groups_.epoch();
  }
  void mark_device(std::uint32_t device);
  void mark_reaching(std::uint32_t target_group, bool sure);
  bool own_differs(std::uint32_t device) const;
  std::vector<ClassId> holds(std::uint32_t principal_group, std::uint32_t own, When when) const;
  bool holds_differ(std::uint32_t was, std::uint32_t was_own, std::uint32_t is, std::uint32_t is_own) const;
  Shared& shared(std::uint32_t target_group) const;
  bool is_like_others(std::uint32_t device, const Shared& shared) const;
  bool may_reach(std::uint32_t device, std::uint32_t target_group) const;
  std::vector<std::uint32_t> groups_on(std::uint32_t device) const;
  Scope scope_of(const NodeView& before, const NodeView& now) const;
  NodeDelta delta_within(const Scope& scope, const NodeView& before, const NodeView& now,
                         std::vector<SharedChanges> others) const;
  void name_groups(std::uint32_t device) const;
  Alike& alike(std::uint32_t device, const NodeView& before, const NodeView& now) const;
  Delta of_own(std::uint32_t device, const NodeView& before, const NodeView& now) const;
  std::vector<Change> own_changes(std::uint32_t device, const NodeView& before, const NodeView& now) const;
  std::vector<std::uint32_t> principals_on(std::uint32_t device) const;
  Scope scope_of_gateway(const NodeView& before, const NodeView& now) const;
  Delta of_gateway(const NodeView& before, const NodeView& now) const;
  bool has_gateways(std::uint32_t target_group) const;
  const SharedChanges& of_reach(std::uint32_t target_group, const NodeView& before,
                                const NodeView& now) const;

  const World& world_;
  const RuleBook& rules_;
  GroupBook& groups_;
  const Population& population_;
  std::vector<Mark> marks_;
  std::vector<std::uint32_t> marked_;
  std::vector<std::uint32_t> touched_groups_;   ///< of targets, at which principals changed
  std::vector<std::uint32_t> moved_devices_;    ///< as targets or peers
  std::vector<std::uint32_t> moved_in_groups_;  ///< the target groups they were or are in
  mutable std::unordered_map<std::uint32_t, Shared> shared_;
  mutable std::unordered_map<std::vector<std::uint32_t>, Alike, NumbersHash> alike_;
  mutable std::vector<std::uint32_t> alike_key_;  ///< what was asked for last
  /// By the node's own target group and the one that comes within its reach or leaves it.
  mutable std::map<std::array<std::uint32_t, 3>, SharedChanges> of_reach_;
  mutable std::unordered_map<std::uint32_t, bool> has_gateways_;  ///< by target group
  /// By principal groups before and now, each with the node's own target group.
  mutable std::map<std::array<std::uint32_t, 4>, bool> holds_differ_;
};

}  // namespace cordon::policy::engine
