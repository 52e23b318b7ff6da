#pragma once
// What a rule's destinations come down to: accesses by segment.

#include <vector>

#include "policy/model.h"

namespace cordon::policy {

/// The accesses that a destination names: its own, a service's, or all services of the segment.
std::vector<Access> accesses_of(const Policy& policy, const Destination& destination);

/// Does `access` take in this protocol and port (for ICMP the type)?
bool covers(const Access& access, std::uint8_t protocol, std::uint16_t port);

/// Is all of `inner` within `outer`?
bool covers(const Access& outer, const Access& inner);

bool overlap(const Access& a, const Access& b);

}  // namespace cordon::policy
