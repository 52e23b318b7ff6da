#pragma once
// The groups that a plan works through: principals for whom the same rules hold under both policies, and
// targets in the same segments under both.

#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "policy/plan_side.h"

namespace cordon::policy {

struct PlanWho {
  Asker asker;
  std::uint32_t group = 0;
};

class PlanGroups {
 public:
  /// All must outlive this.
  PlanGroups(const World& world, const PlanSide& before, const PlanSide& after, Timestamp now);

  struct Principals {
    Positions before, after;  ///< rules that hold
    std::vector<std::uint32_t> members;
  };
  struct Targets {
    Positions before, after;  ///< segments
    bool isolated = false;
    bool observed_before = false, observed_after = false;
    std::vector<const Device*> members;
  };

  const std::vector<PlanWho>& principals() const { return principals_; }
  const std::vector<Principals>& principal_groups() const { return principal_groups_; }
  const std::vector<Targets>& target_groups() const { return target_groups_; }
  /// By position, or null when it holds nothing under either policy.
  const std::uint32_t* find(const DeviceId& device) const;
  const std::uint32_t* find(const SessionId& session) const;
  const std::uint32_t* group_of_target(const DeviceId& device) const;

  /// The target groups that a rule of the group speaks of, under either policy, and between which and the
  /// group something may have changed.
  Positions targets_to_compare(const Principals& from) const;
  ReachMap reach_before(const Principals& from, const Targets& to) const;
  ReachMap reach_after(const Principals& from, const Targets& to) const;

 private:
  void add_targets(const World& world);
  void add(const Asker& asker);
  void intern_rules();
  std::vector<std::uint32_t> contents_of(const std::vector<std::uint32_t>& interned,
                                         const Positions& rules) const;
  void mark(const PlanSide& side, const Positions& rules,
            const std::vector<std::vector<std::uint32_t>>& targets_by_segment, std::vector<bool>& out) const;

  const PlanSide& before_;
  const PlanSide& after_;
  std::vector<PlanWho> principals_;
  std::vector<Principals> principal_groups_;
  std::vector<Targets> target_groups_;
  std::map<std::pair<Positions, Positions>, std::uint32_t> principal_group_numbers_;
  std::unordered_map<DeviceId, std::uint32_t> by_device_, target_group_by_device_;
  std::unordered_map<SessionId, std::uint32_t> by_session_;
  std::vector<std::vector<std::uint32_t>> targets_by_segment_before_, targets_by_segment_after_;
  std::vector<std::uint32_t> moved_targets_;                   ///< their segments changed
  std::vector<std::uint32_t> content_before_, content_after_;  ///< equal: the rules say the same
};

}  // namespace cordon::policy
