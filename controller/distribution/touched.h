#pragma once
// What each kind of record may change of what decisions depend on.

#include "controller/log/record.h"
#include "policy/engine.h"

namespace cordon::controller {

/// What `record` may have changed in the world that folded it; a kind that isn't known here counts as
/// everything.
policy::Touched touched_by(const Record& record);

}  // namespace cordon::controller
