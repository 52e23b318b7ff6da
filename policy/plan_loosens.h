#pragma once
// What a plan loosens for everybody at once, without a rule that grants it to anybody: it is no principal's
// gain, so the entries don't have it.

#include <vector>

#include "policy/plan_warnings.h"

namespace cordon::policy {

/// Active devices on which it happens.
struct Loosened {
  std::size_t observing = 0;  ///< from enforcing, or from no segment, to observing: everything passes
  std::size_t underlays = 0;  ///< the underlay guard passes more than before
};
Loosened loosened(const PlanGroups& groups, const PlanSide& before, const PlanSide& after);

/// One warning for each segment that begins to observe, and for each whose devices' underlay opens.
std::vector<PlanWarning> loosening_warnings(const PlanContext& context);

}  // namespace cordon::policy
