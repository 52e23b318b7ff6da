#pragma once
// People who aren't here: a plan can't say what they hold, but it can say what rules would give them.

#include <optional>

#include "policy/plan_warnings.h"

namespace cordon::policy {

/// What the rules say of each enabled user without an open session, where that changes; conditions of allows
/// count as met, forbids with conditions as not holding.
std::optional<PlanWarning> absent_people(const PlanContext& context);

}  // namespace cordon::policy
