#pragma once
// What may stand behind a gateway, and at which prefixes.

#include "controller/world/kinds.h"

namespace cordon::controller {

/// Everything but the device's name, ids and tags, which are as any device's.
Result<> check_behind(const policy::World& world, const kinds::DeviceAdded& added);
/// Refused while something is behind it.
Result<> check_nothing_behind(const policy::World& world, const DeviceId& gateway);

}  // namespace cordon::controller
