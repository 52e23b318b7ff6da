#pragma once
// Sockets whose flows the state no longer allows: they are destroyed, so that nobody waits on one for ever
// and a database doesn't keep the locks of a person who is gone.

#include <set>
#include <span>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "node/netlink/network.h"
#include "policy/node_state.h"

namespace cordon::node {

/// The sockets' own ends: where one of them is another's far end, both are on this host.
std::set<Endpoint> own_ends(std::span<const HostSocket> sockets);

/// Of `sockets` those to destroy; `here`: the own ends of all there are. Of the overlay: TCP for which
/// neither end may begin under `state` at `now` (leases count as just confirmed), and TCP and UDP from an
/// address that a session that ended left behind. While this host is isolated also UDP, and every socket of
/// the underlay but the controllers' and DHCP's; what stays within this host is left alone.
std::vector<HostSocket> cut_sockets(std::span<const HostSocket> sockets, const std::set<Endpoint>& here,
                                    const policy::NodeState& state, Timestamp now,
                                    const std::vector<Endpoint>& controllers);

}  // namespace cordon::node
