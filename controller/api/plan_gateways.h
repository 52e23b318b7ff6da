#pragma once
// What stands behind gateways and can't be reached as nodes are now: told when a policy is planned and when
// a device is added.

#include <string>
#include <vector>

#include "controller/distribution/distribution.h"
#include "policy/plan.h"

namespace cordon::controller::api {

/// One sentence with what mends it, if the gateway's node doesn't say that it forwards to all of the device's
/// prefixes; "": it does.
std::string not_forwarded(const policy::Device& device, const Distribution::Told& nodes);

/// `conflict` when the node said that it is of a release without gateways: it would take a prefix for
/// addresses of its own, and forward to it without asking node.toml.
Result<> can_be_gateway(const DeviceId& gateway, const Distribution::Told& nodes);

/// Of what the world's policy speaks of.
std::vector<policy::PlanWarning> gateway_warnings(const policy::World& world, const Distribution::Told& nodes,
                                                  Timestamp now);

}  // namespace cordon::controller::api
