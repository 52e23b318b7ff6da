#pragma once
// Whether a change makes sense in a world, kind by kind: what `check` says no to and the fold passes over.

#include "base/time_zone.h"
#include "controller/world/kinds.h"
#include "policy/world.h"

namespace cordon::controller {

/// Why `kind` makes no sense in `world` at `at`. A policy's text is not looked at: see parse_policy.
Result<> validate(const policy::World& world, const kinds::Kind& kind, Timestamp at);

/// The parsed policy of a record, or `invalid` with every diagnostic.
Result<policy::PolicyPtr> parse_policy(const kinds::PolicyApplied& kind, const TimeZones& zones);

}  // namespace cordon::controller
