#pragma once
// validate() for the kinds of a policy's life: applied, then confirmed or rolled back. One is pending at a
// time.

#include "controller/world/kinds.h"
#include "policy/world.h"

namespace cordon::controller {

inline constexpr Seconds kShortestConfirmation{10};
inline constexpr Seconds kUsualConfirmation{5 * 60};
inline constexpr Seconds kLongestConfirmation{24 * 3600};

Result<> validate_one(const policy::World& world, const kinds::PolicyApplied& k, Timestamp at);
Result<> validate_one(const policy::World& world, const kinds::PolicyConfirmed& k, Timestamp at);
Result<> validate_one(const policy::World& world, const kinds::PolicyRolledBack& k, Timestamp at);

}  // namespace cordon::controller
