#pragma once
// What a plan can't see by looking at now: access that stays but would end earlier, and forbids that begin
// later.

#include <vector>

#include "policy/plan_warnings.h"

namespace cordon::policy {

/// One warning a rule; only rules whose conditions differ between the two policies are looked at.
std::vector<PlanWarning> later_changes(const PlanContext& context);

}  // namespace cordon::policy
