#pragma once
// What the author of a change should know before it is applied.

#include <vector>

#include "policy/plan.h"
#include "policy/plan_groups.h"

namespace cordon::policy {

struct PlanContext {
  const World& world;
  const PlanSide& before;
  const PlanSide& after;
  const PlanGroups& groups;
  const PlanQuestion& question;
  Timestamp now;
};

/// `plan` has its entries already; all warnings in the order of their kinds.
std::vector<PlanWarning> plan_warnings(const PlanContext& context, const Plan& plan);

/// Whether recorded flows, let through while their target observed, would be dropped now that it enforces.
std::vector<const ObservedFlow*> dropped_when_enforced(const PlanContext& context);

}  // namespace cordon::policy
