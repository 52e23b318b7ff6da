#pragma once
// Which ports a node's underlay guard closes.

#include <map>

#include "policy/node_state.h"
#include "policy/selectors.h"

namespace cordon::policy {

/// The service ports of these segments as disjoint ranges per protocol; a protocol's own ranges go before the
/// entry for any protocol. Counted only where no enforcing segment of the device guards its underlay; the
/// strictest wins where services overlap. A segment that only observes and says `closed`: every port.
std::map<GuardKey, GuardValue> guard_ports(const Selectors& selectors, const Positions& segments);

/// The strictest underlay of those of these segments that enforce (one that observes makes nothing stricter);
/// open when there are none.
Underlay strictest_underlay(const Selectors& selectors, const Positions& segments);

}  // namespace cordon::policy
