#pragma once
// One of the two policies that a plan compares: who its rules select and hold for, what they reach.

#include <set>
#include <string>
#include <vector>

#include "policy/conditions.h"
#include "policy/reach_map.h"
#include "policy/selectors.h"
#include "policy/world.h"

namespace cordon::policy {

class PlanSide {
 public:
  /// The policy must outlive this; it need not be the one in force.
  PlanSide(const Policy& policy, Timestamp now);

  const Policy& policy() const { return policy_; }
  const Selectors& selectors() const { return selectors_; }
  const std::vector<Offering>& offerings(std::uint32_t rule) const { return offerings_[rule]; }

  /// The rules that select the asker and hold for it now.
  Positions rules_that_hold(const Asker& asker) const;
  /// Every rule that selects the asker, whether or not it holds.
  Positions rules_that_select(const Asker& asker) const;

  /// P9: all the segments observe, and there is one.
  bool observes(const Positions& segments, bool isolated) const;
  /// What these rules allow on a target in these segments (P1, P8 to P10).
  ReachMap reach(const Positions& rules, const Positions& segments, bool isolated) const;
  std::set<std::string> names_of(const Positions& segments) const;

 private:
  const Policy& policy_;
  Timestamp now_;
  Selectors selectors_;
  std::vector<std::vector<Offering>> offerings_;  ///< by rule
};

/// The principal's parts, or a device of null when the world has no such principal that may hold anything
/// now.
Asker find_asker(const World& world, const SessionId& session, Timestamp now);
Asker find_asker(const World& world, const DeviceId& device);

}  // namespace cordon::policy
