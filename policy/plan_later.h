#pragma once
// What a plan can't see by looking at now: access that stays but would end earlier.

#include <vector>

#include "policy/plan_warnings.h"

namespace cordon::policy {

/// One warning for the ports of a service that somebody keeps for less long: because an allow ends earlier,
/// is another, or a forbid will begin.
std::vector<PlanWarning> later_changes(const PlanContext& context);

}  // namespace cordon::policy
