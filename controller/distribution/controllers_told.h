#pragma once
// Where nodes reach the controllers, as they are told it: signed, since it is what a host may still talk to
// while it is isolated.

#include <vector>

#include "base/address.h"
#include "base/time.h"

namespace cordon::wire {
class ToNode;
}

namespace cordon::controller {

class Authority;
struct ControllerConfig;

/// [advertise] nodes; without it [advertise] addresses and the address that is listened on, each with the
/// port that is. Empty: nobody can tell.
std::vector<Endpoint> node_endpoints(const ControllerConfig& config);

/// Signed with the controller's key of now. False: there is nothing to tell.
bool sign_controllers(const ControllerConfig& config, const Authority& authority, Timestamp now,
                      wire::ToNode& out);

}  // namespace cordon::controller
