#pragma once
// The tunnel's MTU: what every underlay route that it uses takes whole.

#include <cstdint>
#include <set>

#include "base/address.h"
#include "node/netlink/network.h"

namespace cordon::node {

/// The least MTU of the routes to `reached` (the first 64 of them; those that lead nowhere are passed over),
/// less the 80 bytes of an outer IPv6 and UDP header and WireGuard's own; at least 1280, which IPv6 needs
/// (RFC 8200, 5). 1420 while no route is known.
std::uint32_t overlay_mtu(const Network& network, const std::set<Address>& reached);

}  // namespace cordon::node
